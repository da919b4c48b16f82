"""Workflows that block, loop for ever or reach out: the task fails with the stack, the worker and
its other runs live, and the run goes on with better code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.ids import RunId, WorkflowId
from orchestrator.wire.events import WorkflowTaskFailed, WorkflowTaskFailureCause
from orchestrator.wire.options import RunStatus
from orchestrator.worker.guards import ActivationGuard
from tests.realtime import blocking
from tests.unit.memory_engine import RUN, WORKFLOW, Engine
from tests.unit.worker import shop
from tests.unit.worker.workers import Worker, result, signal, start, view

_OTHER = {"workflow_id": WorkflowId("order-2"), "request_id": RunId("run-2")}


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[ActivationGuard]:
    monkeypatch.setattr("orchestrator.worker.watchdog.INTERRUPT_REPEAT_MS", 1)
    made = ActivationGuard(budget_ms=100)
    yield made
    made.close()


async def failure(engine: Engine) -> WorkflowTaskFailed:
    events = [e async for page in engine.store.history(WORKFLOW, RUN) for e in page]
    (found,) = [e.attributes for e in events if isinstance(e.attributes, WorkflowTaskFailed)]
    return found


async def other_run_completes(engine: Engine) -> bool:
    await start(engine, "Hasty", **_OTHER)
    for _ in range(3):  # a machine that is busy may cut it off once
        await engine.pass_time(1_000)
    run = await engine.store.run(_OTHER["workflow_id"], None)
    return run is not None and run.status is RunStatus.COMPLETED


@pytest.mark.parametrize("kind", [*blocking.BLOCKING, *blocking.REACHING], ids=lambda k: k.__name__)
async def test_such_a_run_fails_its_task_and_completes_with_better_code(
    bare: Engine, guard: ActivationGuard, kind: type
) -> None:
    worker = await Worker(bare, workflows=[kind, shop.Hasty], guard=guard).open()
    await start(bare, kind.__name__)
    failed = await failure(bare)
    problem = (await view(bare)).problem
    assert failed.cause is WorkflowTaskFailureCause.BLOCKED
    assert problem is not None
    assert problem.startswith(f"blocked: {failed.failure.message.strip()}")
    assert await other_run_completes(bare)
    assert worker.in_hand() == 0
    await worker.die()
    await Worker(bare, "w2", workflows=[blocking.corrected(kind.__name__)]).open()
    for _ in range(3):
        await bare.pass_time(2_000)
    assert await result(bare) == '"done"'


@pytest.mark.parametrize("kind", blocking.BLOCKING, ids=lambda kind: kind.__name__)
async def test_the_failure_of_one_that_blocks_shows_where_it_was(
    bare: Engine, guard: ActivationGuard, kind: type
) -> None:
    await Worker(bare, workflows=[kind], guard=guard).open()
    await start(bare, kind.__name__)
    message = (await failure(bare)).failure.message
    assert "neither awaited nor returned for 100 ms" in message
    assert f'File "{blocking.__file__}"' in message


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (blocking.Waits, "time.sleep: await workflow.sleep()"),
        (blocking.Reads, "socket: talk to the network in an activity"),
        (blocking.Forks, "threading.Thread.start: use asyncio tasks"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_the_failure_of_one_that_reaches_out_names_the_call_its_line_and_the_remedy(
    bare: Engine, guard: ActivationGuard, kind: type, named: str
) -> None:
    await Worker(bare, workflows=[kind], guard=guard).open()
    await start(bare, kind.__name__)
    failed = (await failure(bare)).failure
    assert f"must not call {named}" in failed.message
    assert f"in {kind.__name__}.run" in failed.stack_trace


async def test_a_handler_that_blocks_fails_the_task_and_the_signal_is_kept(
    bare: Engine, guard: ActivationGuard
) -> None:
    worker = await Worker(bare, workflows=[blocking.BlocksLate], guard=guard).open()
    await start(bare, "BlocksLate")
    await signal(bare, "a")
    assert "in add" in (await failure(bare)).failure.message
    assert "WorkflowExecutionSignaled" not in await bare.types()
    await worker.die()
    await Worker(bare, "w2", workflows=[blocking.ComesLate]).open()
    await bare.pass_time(2_000)
    assert await result(bare) == '"a"'
