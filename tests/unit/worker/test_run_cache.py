"""Which runs stay in memory, and how they leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from orchestrator.ids import WorkflowId
from tests.unit.memory_engine import WORKFLOW, Engine
from tests.unit.worker.workers import Worker, order, signal, start

_T = TypeVar("_T")


async def start_many(engine: Engine, *workflow_ids: str) -> None:
    for workflow_id in workflow_ids:
        await engine.start(
            workflow_type="Diary", workflow_id=WorkflowId(workflow_id), request_id=workflow_id
        )
        await engine.pass_time(2_000)


async def test_the_least_recently_used_run_goes_first(bare: Engine) -> None:
    worker = await Worker(bare, cached=2).open()
    await start_many(bare, "a", "b")
    taken = worker.cache.take(WorkflowId("a"))
    assert taken is not None
    worker.cache.put(WorkflowId("a"), taken)
    await start_many(bare, "c")
    assert [worker.cache.take(WorkflowId(one)) is not None for one in "abc"] == [True, False, True]


async def test_an_evicted_run_leaves_no_task(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await order(bare)
    cached = worker.cache.take(WORKFLOW)
    assert cached is not None
    cached.evict()
    assert not cached.run.loop.tasks


async def test_code_that_swallows_its_cancellation_is_reported_once_and_let_go(
    bare: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Stubborn")
    cached = worker.cache.take(WORKFLOW)
    assert cached is not None
    worker.cache.put(WORKFLOW, cached)
    worker.cache.clear()
    worker.cache.clear()
    (record,) = [one for one in caplog.records if one.msg == "eviction_left_tasks"]
    assert record.levelname == "WARNING"
    assert record.fields["workflow_id"] == WORKFLOW  # type: ignore[attr-defined]  # ours
    assert "shop.py" in record.fields["stack"]  # type: ignore[attr-defined]  # ours
    for task in cached.run.loop.tasks:
        assert task.get_coro().cr_frame is None  # type: ignore[union-attr]  # a coroutine


async def test_a_stubborn_run_goes_on_elsewhere(bare: Engine) -> None:
    first = await Worker(bare).open()
    await start(bare, "Stubborn")
    await first.die()
    second = await Worker(bare, "w2").open()
    await signal(bare, "a")
    assert "WorkflowExecutionSignaled" in await bare.types()
    assert second.in_hand() == 0


async def test_an_eviction_that_blocks_is_cut_off_and_named(
    bare: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    cut = False

    def guard(act: Callable[[], _T]) -> _T:
        if cut:
            raise TimeoutError("ran over 2 s")
        return act()

    worker = await Worker(bare, guard=guard).open()
    await start(bare, "Stubborn")
    cut = True
    worker.cache.clear()
    (record,) = [one for one in caplog.records if one.msg == "eviction_cut_off"]
    assert record.fields["error"] == "ran over 2 s"  # type: ignore[attr-defined]  # ours
    assert len(worker.cache) == 0
