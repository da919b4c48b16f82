"""Workflow code that never comes back, under the real watchdog: its run rests, its worker lives."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from orchestrator.ids import WorkflowId
from orchestrator.wire.messages import QueryResponse
from orchestrator.worker.watchdog import Watchdog
from tests.unit.memory_engine import Engine
from tests.unit.worker.shop import Looping
from tests.unit.worker.workers import Worker, ask, ask_for_text, order, result, signal, start, view


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog(budget_ms=30)
    yield made
    made.close()


async def test_a_run_that_loops_for_ever_fails_its_task_with_the_stack(
    bare: Engine, watchdog: Watchdog
) -> None:
    worker = await Worker(bare, guard=watchdog.guarded).open()
    await bare.start(workflow_type="Looping", workflow_id=WorkflowId("other"), request_id="run-0")
    await order(bare)
    blocked = await bare.store.run(WorkflowId("other"))
    assert blocked is not None
    assert blocked.problem is not None
    assert blocked.problem.startswith("blocked: ")
    assert "shop.py" in blocked.problem
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert worker.in_hand() == 0


async def test_a_cached_run_that_begins_to_loop_is_thrown_away_whatever_it_does_then(
    bare: Engine, watchdog: Watchdog
) -> None:
    worker = await Worker(bare, guard=watchdog.guarded, workflows=[Looping]).open()
    await start(bare, "Looping", "not yet")
    assert len(worker.cache) == 1
    await signal(bare, "now")
    problem = (await view(bare)).problem
    assert problem is not None
    assert problem.startswith("blocked: ")
    assert len(worker.cache) == 0
    assert worker.in_hand() == 0
    await worker.die()
    gc.collect()


async def test_a_query_that_loops_for_ever_is_a_failure(bare: Engine, watchdog: Watchdog) -> None:
    worker = await Worker(bare, guard=watchdog.guarded).open()
    await start(bare, "Looping", "not yet")
    answer = await ask(bare, "loops")
    assert isinstance(answer, QueryResponse)
    assert answer.failure is not None
    assert "shop.py" in answer.failure.message
    assert await ask_for_text(bare, "answers") == '"yes"'
    await worker.die()
    gc.collect()  # Nothing is left whose collection would enter the code again.
