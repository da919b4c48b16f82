"""Runs from start to end on the memory adapters, with workers that die, rival and lack the code."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.transition import Transition
from orchestrator.ids import WorkflowId
from orchestrator.ports.store import CommitAnswer
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from tests.unit.memory_engine import WORKFLOW, Engine
from tests.unit.worker.workers import Worker, order, result, signal, start


async def test_an_order_runs_from_start_to_end(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await order(bare)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert len(worker.paid) == 1


async def test_a_durable_timer_ends_the_wait(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await order(bare)
    await bare.pass_time(3_599_000)
    await bare.pass_time(3_000)
    assert await result(bare) == '"paid, nothing added"'


async def test_without_a_cache_every_task_replays_the_history(bare: Engine) -> None:
    worker = Worker(bare, "w1", cached=0)
    await worker.open()
    await order(bare)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_another_worker_goes_on_where_a_killed_one_was(bare: Engine) -> None:
    first = Worker(bare, "w1")
    await first.open()
    await order(bare)
    first.workflows.abort()
    await first.broker.close()
    second = Worker(bare, "w2")
    await second.open()
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert second.paid == []


async def test_two_workers_with_the_run_cached_have_one_outcome(bare: Engine) -> None:
    first, second = Worker(bare, "w1"), Worker(bare, "w2")
    await first.open()
    await order(bare)
    await second.open()
    await asyncio.gather(signal(bare, "cola"), signal(bare, "salad"))
    await bare.pass_time(2_000)
    run = await bare.store.run(WORKFLOW)
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    types = await bare.types()
    assert types.count("WorkflowExecutionSignaled") == 2
    assert types.count("WorkflowExecutionCompleted") == 1


async def test_a_repeated_signal_counts_once(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await bare.start(input=(Payload.of_json(b'"pizza"'),))
    await signal(bare, "cola", operation="s1")
    await signal(bare, "cola", operation="s1")
    await bare.pass_time(2_000)
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_a_bug_fails_the_task_and_not_the_run(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await bare.start(workflow_type="Broken")
    await bare.pass_time(2_000)
    run = await bare.store.run(WORKFLOW)
    assert run is not None
    assert run.status is RunStatus.RUNNING
    assert run.problem is not None
    assert "a bug" in run.problem
    await bare.pass_time(2_000)
    await bare.pass_time(4_000)
    assert (await bare.types()).count("WorkflowTaskFailed") == 1


async def test_a_worker_that_lacks_the_type_hands_the_run_back_uncounted(bare: Engine) -> None:
    stranger = Worker(bare, "w1", workflows=[])
    await stranger.open()
    await order(bare)
    assert await bare.types() == ["WorkflowExecutionStarted"]
    await stranger.broker.close()
    worker = Worker(bare, "w2")
    await worker.open()
    await bare.pass_time(5_000)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


@pytest.mark.parametrize(("workflow_type", "due_in_ms"), [("Hurried", [500]), ("Order", [])])
async def test_who_arms_a_time_out_that_is_due_soon_drives_it(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, workflow_type: str, due_in_ms: list[int]
) -> None:
    expected: list[int] = []
    monkeypatch.setattr(bare.duties, "expect", lambda shard, due_ms: expected.append(due_ms))
    worker = await Worker(bare, "w1", takes_activities=False).open()
    await start(bare, workflow_type, "pizza")
    assert [due_ms - bare.clock.ms for due_ms in expected] == due_in_ms
    assert worker.paid == []


async def test_no_more_tasks_are_in_work_than_there_are_slots(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_work, most = 0, 0
    commit = bare.store.commit

    async def slow_commit(transition: Transition) -> CommitAnswer:
        nonlocal in_work, most
        in_work += 1
        most = max(most, in_work)
        await asyncio.sleep(0)
        in_work -= 1
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", slow_commit)
    worker = await Worker(bare, "w1", slots=2, sticky=True, takes_activities=False).open()
    for number in range(6):
        await bare.start(
            workflow_id=WorkflowId(f"order-{number}"),
            request_id=f"run-{number}",
            input=(Payload.of_json(b'"pizza"'),),
        )
    await bare.pass_time(2_000)
    assert most == 2
    assert worker.counters.value("commits") == 6
    assert worker.in_hand() == 0
