"""One attempt from its delivery to its ack, on the memory adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.exceptions import UnavailableError
from orchestrator.ports.broker import ActivityQueue, Outgoing
from orchestrator.wire import codec
from orchestrator.wire.commands import CompleteWorkflowExecution, RequestCancelActivityTask
from orchestrator.wire.options import RetryOptions
from tests.unit.memory_engine import QUEUE, WORKFLOW, Engine
from tests.unit.worker.processes import BOOM, PAID, Process, ready, schedule


@pytest.fixture
async def first(engine: Engine) -> AsyncIterator[Process]:
    for consumer in list(engine.broker._consumers):
        if isinstance(consumer.queue, ActivityQueue):
            await consumer.stop()
    made = Process(engine, "p1")
    await made.open()
    yield made
    made.tasks.abort()
    await made.tasks.drain()


async def test_a_result_wakes_its_run_and_then_the_delivery_is_acked(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    (task,) = engine.wakeups
    assert task.entry is not None
    await first.broker.close()
    assert await ready(engine) == 0


async def test_a_failure_is_tried_again_when_its_back_off_is_over(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(BOOM)
    await engine.settle()
    assert await engine.inbox() == []
    await engine.pass_time(1_000)
    assert [attempt.task.attempt for attempt in first.attempts] == [1, 2]
    assert first.attempts[1].begun.last_failure == BOOM


async def test_the_last_failure_reaches_the_run(engine: Engine, first: Process) -> None:
    await schedule(engine, retry_policy=RetryOptions(maximum_attempts=1))
    first.outcomes.put_nowait(BOOM)
    await engine.settle()
    assert await engine.inbox() == ["ActivityFailed"]


async def test_a_doubled_task_runs_once(engine: Engine, first: Process) -> None:
    await schedule(engine)
    body = codec.encode(first.attempts[0].task)
    engine.broker.publish(Outgoing(to=ActivityQueue(QUEUE), body=body))
    await engine.settle()
    assert len(first.attempts) == 1
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    engine.broker.publish(Outgoing(to=ActivityQueue(QUEUE), body=body))
    await engine.settle()
    assert len(first.attempts) == 1
    assert await engine.inbox() == ["ActivityCompleted"]
    await first.broker.close()
    assert await ready(engine) == 0


async def test_a_short_activity_of_a_killed_worker_runs_elsewhere_at_once(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    second = Process(engine, "p2")
    await second.open()
    await first.die()
    (attempt,) = second.attempts
    assert attempt.task.attempt == 2
    second.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    await second.tasks.drain()


async def test_a_redelivery_while_the_holder_lives_runs_nothing(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    second = Process(engine, "p2")
    await second.open()
    await first.broker.close()
    await engine.settle()
    await engine.pass_time(0)
    assert second.attempts == []
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]


async def test_the_wake_up_of_a_finished_attempt_is_published_again(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    engine.wakeups.clear()
    body = codec.encode(first.attempts[0].task)
    engine.broker.publish(Outgoing(to=ActivityQueue(QUEUE), body=body))
    await engine.settle()
    assert len(engine.wakeups) == 1


async def test_a_task_of_a_closed_run_is_acked_without_running(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    body = codec.encode(first.attempts[0].task)
    await engine.commit(CompleteWorkflowExecution())
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    engine.broker.publish(Outgoing(to=ActivityQueue(QUEUE), body=body))
    await engine.settle()
    assert len(first.attempts) == 1
    assert engine.wakeups == []
    await first.broker.close()
    assert await ready(engine) == 0


async def test_a_request_to_cancel_reaches_the_running_attempt_without_a_heartbeat(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    await engine.commit(RequestCancelActivityTask(activity_id="1"))
    await engine.settle()
    assert first.attempts[0].stopping == ActivityCancellationDetails(cancel_requested=True)


async def test_a_heartbeat_says_whether_to_go_on(engine: Engine, first: Process) -> None:
    await schedule(engine, heartbeat_timeout_ms=5_000)
    (attempt,) = first.attempts
    assert await first.tasks.heartbeat(attempt, (PAID,))
    await engine.commit(RequestCancelActivityTask(activity_id="1"))
    assert not await first.tasks.heartbeat(attempt, (PAID,))


async def test_a_malformed_task_is_buried_with_its_reason_and_the_next_one_runs(
    engine: Engine, first: Process
) -> None:
    engine.broker.publish(Outgoing(to=ActivityQueue(QUEUE), body=b'{"type":"activity_task"'))
    await schedule(engine)
    assert len(first.attempts) == 1
    assert await ready(engine) == 0


async def test_an_answer_that_was_lost_is_asked_for_again(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, lost = engine.store.finish, count(1)

    async def lose_the_first_answer(outcome: object) -> object:
        answer = await finish(outcome)  # type: ignore[arg-type]  # passed through
        if next(lost) == 1:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    async def at_once(event: asyncio.Event, *, timeout_ms: int) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(engine.store, "finish", lose_the_first_answer)
    monkeypatch.setattr(engine.clock, "wait", at_once)
    await schedule(engine)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    assert next(lost) == 3


async def test_the_run_goes_on_with_the_result(engine: Engine, first: Process) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    await engine.commit(CompleteWorkflowExecution())
    assert (await engine.types())[-6:] == [
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "WorkflowExecutionCompleted",
    ]
    assert engine.wakeups[-1].workflow_id == WORKFLOW
