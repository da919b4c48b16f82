"""One attempt from its delivery to its ack, on the memory adapters."""

from __future__ import annotations

import asyncio
from itertools import count

import msgspec
import pytest

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.core.transition import BeginAttempt, FinishAttempt
from orchestrator.exceptions import UnavailableError
from orchestrator.ports.broker import ActivityQueue, Outgoing
from orchestrator.ports.store import Finished, RetryAt
from orchestrator.wire import codec
from orchestrator.wire.commands import (
    CompleteWorkflowExecution,
    RequestCancelActivityTask,
    ScheduleActivityTask,
)
from orchestrator.wire.failure import ApplicationFailure
from orchestrator.wire.inbox import ActivityCompleted
from orchestrator.wire.options import RetryOptions
from tests.unit.memory_engine import QUEUE, WORKFLOW, Engine
from tests.unit.worker.processes import (
    BOOM,
    PAID,
    Process,
    deliver,
    ready,
    schedule,
    states,
    task_body,
)


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


async def test_doubles_in_one_batch_are_adopted_before_begin_is_answered(
    engine: Engine, first: Process
) -> None:
    await schedule(engine, retry_policy=RetryOptions(initial_interval_ms=1_000))
    first.outcomes.put_nowait(BOOM)
    await engine.settle()
    await first.broker.close()
    await engine.pass_time(1_000)
    second = Process(engine, "p2")
    deliver(engine, codec.encode(msgspec.structs.replace(first.attempts[0].task, attempt=2)))
    await engine.settle()
    assert await ready(engine) == 2
    await second.open()
    await engine.settle()
    assert [one.task.attempt for one in second.attempts] == [2]
    assert second.counters.value("activities_adopted") == 1
    second.outcomes.put_nowait(PAID)
    await engine.settle()
    await second.broker.close()
    assert await ready(engine) == 0


async def test_a_double_of_an_early_acknowledged_attempt_is_acked_at_once(
    engine: Engine, first: Process
) -> None:
    await schedule(engine, start_to_close_timeout_ms=3_600_000)
    deliver(engine, task_body(first))
    await engine.settle()
    assert len(first.attempts) == 1
    await first.broker.close()
    assert await ready(engine) == 0


async def test_a_cancel_that_comes_before_the_answer_to_begin_is_not_lost(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = engine.store.begin

    async def begin_slowly(wanted: BeginAttempt) -> object:
        answer = await begin(wanted)
        await engine.commit(RequestCancelActivityTask(activity_id="1"))
        return answer

    monkeypatch.setattr(engine.store, "begin", begin_slowly)
    await schedule(engine)
    await engine.settle()
    assert first.attempts[0].stopping == ActivityCancellationDetails(cancel_requested=True)


async def test_a_heartbeat_of_an_attempt_that_is_gone_stops_it(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    await engine.commit(CompleteWorkflowExecution())
    (attempt,) = first.attempts
    assert not await first.tasks.heartbeat(attempt, None)
    assert attempt.stopping == ActivityCancellationDetails(not_found=True)


async def test_an_error_of_the_worker_itself_ends_the_attempt_and_it_is_tried_again(
    engine: Engine, first: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(KeyError("a bug"))
    await engine.settle()
    assert "activity_hindered" in [one.msg for one in caplog.records]
    await engine.pass_time(1_000)
    failed = first.attempts[1].begun.last_failure
    assert failed is not None
    assert "KeyError" in failed.message
    assert failed.detail == ApplicationFailure(error_type="WorkerError")


async def test_an_outcome_that_the_store_cannot_take_is_a_failure(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = engine.store.finish

    async def take_failures_only(wanted: FinishAttempt) -> object:
        if isinstance(wanted.entry, ActivityCompleted):
            raise ValueError("what is this?")
        return await finish(wanted)

    monkeypatch.setattr(engine.store, "finish", take_failures_only)
    await schedule(engine, retry_policy=RetryOptions(maximum_attempts=1))
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityFailed"]
    assert first.counters.value("activities_failed") == 1
    assert first.counters.value("activities_completed") == 0


async def test_a_delivery_that_breaks_us_is_given_back_once_and_then_left_to_its_row(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def break_down(wanted: object) -> object:
        nonlocal asked
        asked += 1
        raise KeyError("a bug")

    monkeypatch.setattr(engine.store, "begin", break_down)
    await schedule(engine)
    assert asked == 1
    engine.clock.ms += 999
    await engine.settle()
    assert asked == 1
    engine.clock.ms += 1
    await engine.settle()
    assert asked == 2
    engine.clock.ms += 1_000
    await engine.settle()
    assert asked == 2
    await first.broker.close()
    assert await ready(engine) == 0


async def test_what_breaks_leaks_no_slot(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await first.broker.close()
    narrow = Process(engine, "p2", slots=1)
    await narrow.open()
    begin, bugs = engine.store.begin, [KeyError("a bug"), KeyError("a bug")]

    async def break_down(wanted: BeginAttempt) -> object:
        if bugs:
            raise bugs.pop()
        return await begin(wanted)

    monkeypatch.setattr(engine.store, "begin", break_down)
    await schedule(engine)
    for _ in range(2):
        await engine.pass_time(1_000)
    await engine.pass_time(5_000)
    assert len(narrow.attempts) == 1
    narrow.tasks.abort()


async def test_a_store_that_is_away_for_long_does_not_make_the_activity_run_twice(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, is_away = engine.store.finish, True

    async def be_away(wanted: FinishAttempt) -> object:
        if is_away:
            raise UnavailableError("no answer")
        return await finish(wanted)

    monkeypatch.setattr(engine.store, "finish", be_away)
    await schedule(engine, start_to_close_timeout_ms=600_000)
    first.outcomes.put_nowait(PAID)
    for _ in range(100):
        engine.clock.ms += 1_000
        await engine.settle()
    is_away = False
    engine.clock.ms += 1_000
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    assert len(first.attempts) == 1


async def test_a_begin_without_answer_is_repeated_under_the_same_token(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, tokens = engine.store.begin, []

    async def lose_answers(wanted: BeginAttempt) -> object:
        tokens.append(wanted.token)
        answer = await begin(wanted)
        if len(tokens) <= 30:
            raise UnavailableError("the answer was lost")
        return answer

    monkeypatch.setattr(engine.store, "begin", lose_answers)
    await schedule(engine, start_to_close_timeout_ms=600_000)
    for _ in range(30):
        engine.clock.ms += 1_000
        await engine.settle()
    assert len(set(tokens)) == 1
    assert [one.task.attempt for one in first.attempts] == [1]


async def test_finishes_that_a_fail_over_lost_are_told_again(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = engine.store.finish

    async def forget(wanted: FinishAttempt) -> Finished:
        return Finished(now_ms=engine.clock.ms)

    monkeypatch.setattr(engine.store, "finish", forget)
    await schedule(engine)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    monkeypatch.setattr(engine.store, "finish", finish)
    assert await states(engine) == [(1, "running", "p1")]
    engine.clock.ms += 30_000
    await first.tasks.repeat_finishes()
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    assert len(engine.wakeups) == 1
    await first.tasks.repeat_finishes()
    assert await engine.inbox() == ["ActivityCompleted"]


async def test_finishes_that_a_fail_over_lost_long_ago_are_not_told_again(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    engine.wakeups.clear()
    engine.clock.ms += 30_001
    await first.tasks.repeat_finishes()
    await engine.settle()
    assert engine.wakeups == []


async def test_a_retry_that_a_fail_over_lost_is_told_again(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = engine.store.finish

    async def forget(wanted: FinishAttempt) -> RetryAt:
        now_ms = engine.clock.ms
        return RetryAt(attempt=2, at_ms=now_ms + 1_000, now_ms=now_ms)

    monkeypatch.setattr(engine.store, "finish", forget)
    await schedule(engine)
    first.outcomes.put_nowait(BOOM)
    await engine.settle()
    monkeypatch.setattr(engine.store, "finish", finish)
    await first.tasks.repeat_finishes()
    await engine.pass_time(1_000)
    assert [one.task.attempt for one in first.attempts] == [1, 2]


async def test_a_worker_that_drains_begins_nothing_and_asks_to_stop_after_the_grace(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    draining = asyncio.create_task(first.tasks.drain(grace_ms=3_000))
    await engine.settle()
    (attempt,) = first.attempts
    assert attempt.stopping is None
    engine.clock.ms += 3_000
    await engine.settle()
    assert attempt.stopping == ActivityCancellationDetails(worker_shutdown=True)
    assert not draining.done()
    first.outcomes.put_nowait(PAID)
    await draining
    assert await engine.inbox() == ["ActivityCompleted"]


async def test_a_delivery_that_comes_while_a_worker_drains_goes_to_another(
    engine: Engine, first: Process
) -> None:
    await first.tasks.drain()
    second = Process(engine, "p2")
    await second.open()
    (consumer,) = first.broker._consumers
    await schedule(engine)
    await consumer.stop()
    await engine.settle()
    assert first.attempts == []
    assert [one.task.attempt for one in second.attempts] == [1]
    second.tasks.abort()


async def test_early_acknowledged_attempts_are_no_more_than_there_are_slots(
    engine: Engine, first: Process
) -> None:
    await first.broker.close()
    narrow = Process(engine, "p2", slots=1)
    await narrow.open()
    await engine.start()
    for number in ("1", "2"):
        await engine.commit(
            ScheduleActivityTask(
                activity_id=number,
                activity_type="pay",
                task_queue=QUEUE,
                start_to_close_timeout_ms=3_600_000,
            )
        )
    await engine.pass_time(2_000)
    assert [one.task.activity_id for one in narrow.attempts] == ["1"]
    narrow.outcomes.put_nowait(PAID)
    await engine.settle()
    assert [one.task.activity_id for one in narrow.attempts] == ["1", "2"]
    narrow.tasks.abort()


async def test_a_delivery_that_finds_no_slot_in_time_is_for_others(
    engine: Engine, first: Process
) -> None:
    await first.broker.close()
    narrow, second = Process(engine, "p2", slots=1), Process(engine, "p3")
    await narrow.open()
    await schedule(engine, start_to_close_timeout_ms=3_600_000)
    other = task_body(narrow).replace(b'"event_id":5', b'"event_id":6')
    deliver(engine, other)
    await engine.settle()
    assert await ready(engine) == 0
    (consumer,) = narrow.broker._consumers
    await consumer.stop()
    engine.clock.ms += 5_000
    await engine.settle()
    assert await ready(engine) == 1
    await second.open()
    await engine.settle()
    assert await ready(engine) == 0
    narrow.tasks.abort()


async def test_attempts_are_counted(engine: Engine, first: Process) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(BOOM)
    await engine.settle()
    await engine.pass_time(1_000)
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert first.counters.snapshot() == {
        "activities_begun": 2,
        "activities_completed": 1,
        "activities_failed": 1,
        "activities_retried": 1,
    }
