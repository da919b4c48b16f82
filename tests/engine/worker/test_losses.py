"""Holders that die, freeze or seem to: who runs the next attempt, when, and how often."""

from __future__ import annotations

import pytest

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.core.transition import BeginAttempt
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import AttemptToken
from orchestrator.ports.store import Begun
from orchestrator.wire.commands import RequestCancelActivityTask
from orchestrator.wire.options import RetryOptions
from tests.unit.memory_engine import Engine
from tests.unit.worker.processes import (
    PAID,
    Process,
    deliver,
    ready,
    schedule,
    states,
    task_body,
)


async def another(engine: Engine, name: str = "p2") -> Process:
    made = Process(engine, name)
    await made.open()
    return made


async def test_a_killed_holder_is_taken_over_without_time_and_without_duties(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    second = await another(engine)
    before_ms = engine.clock.ms
    await first.die()
    assert engine.clock.ms == before_ms
    (attempt,) = second.attempts
    assert (attempt.task.attempt, attempt.name.attempt, attempt.begun.attempt) == (2, 2, 2)
    assert await states(engine) == [(2, "running", "p2")]
    assert second.counters.value("activities_lost") == 1
    second.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    await second.broker.close()
    assert await ready(engine) == 0


async def test_details_of_a_killed_holder_are_there_for_who_takes_over(
    engine: Engine, first: Process
) -> None:
    await schedule(engine, heartbeat_timeout_ms=5_000)
    await first.tasks.heartbeat(first.attempts[0], (PAID,))
    second = await another(engine)
    await first.die()
    assert second.attempts[0].begun.details == (PAID,)
    second.tasks.abort()


async def test_a_zombie_that_was_taken_over_changes_nothing(engine: Engine, first: Process) -> None:
    await schedule(engine)
    second = await another(engine)
    # Its connections are gone and nobody hears of it, but its code runs on.
    await engine.store.withdraw(first.name)
    await first.broker.close()
    await engine.settle()
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == []
    assert await states(engine) == [(2, "running", "p2")]
    assert not await first.tasks.heartbeat(first.attempts[0], (PAID,))
    assert first.counters.value("activities_late") == 1
    assert first.counters.value("activities_completed") == 0
    second.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]


async def test_the_second_loss_in_a_row_is_found_by_asking_and_waits_out_the_back_off(
    engine: Engine, first: Process
) -> None:
    await schedule(
        engine,
        start_to_close_timeout_ms=60_000,
        retry_policy=RetryOptions(initial_interval_ms=12_000, backoff_coefficient=1.0),
    )
    second = await another(engine, "p2")
    await first.die()
    third = await another(engine, "p3")
    await second.die()
    assert third.attempts == []
    await third.live()
    await engine.pass_time(10_000)
    assert third.attempts == []
    await engine.pass_time(2_000)
    (attempt,) = third.attempts
    assert attempt.task.attempt == 3
    third.tasks.abort()


async def test_while_the_holder_lives_its_row_asks_again(engine: Engine, first: Process) -> None:
    await schedule(engine, start_to_close_timeout_ms=60_000)
    second = await another(engine)
    await first.broker.close()
    await engine.settle()
    assert second.attempts == []
    assert await ready(engine) == 0
    await engine.store.withdraw(first.name)
    await engine.pass_time(9_999)
    assert second.attempts == []
    await engine.pass_time(1)
    (attempt,) = second.attempts
    assert attempt.task.attempt == 2
    second.tasks.abort()


async def test_asking_for_a_holder_does_not_put_off_its_time_out(
    engine: Engine, first: Process
) -> None:
    await schedule(engine, retry_policy=RetryOptions(maximum_attempts=1))
    second = await another(engine)
    engine.clock.ms += 4_000
    await first.live()
    await first.broker.close()
    await engine.settle()
    assert second.attempts == []
    await engine.pass_time(6_000)
    assert await engine.inbox() == ["ActivityTimedOut"]


async def test_without_an_answer_the_delivery_is_kept_and_asked_for_again(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schedule(engine)
    second = await another(engine)
    is_alive, asked = engine.store.is_alive, 0

    async def answer_late(process: object) -> bool:
        nonlocal asked
        asked += 1
        if asked <= 3:
            raise UnavailableError("no answer")
        return await is_alive(process)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(engine.store, "is_alive", answer_late)
    await first.die()
    for seconds in range(1, 4):
        assert asked == seconds
        assert second.attempts == []
        assert await ready(engine) == 0
        engine.clock.ms += 1_000
        await engine.settle()
    (attempt,) = second.attempts
    assert attempt.task.attempt == 2
    second.tasks.abort()


async def test_a_loss_at_the_last_attempt_is_recorded_after_asking_for_ten_seconds(
    engine: Engine, first: Process
) -> None:
    await schedule(
        engine,
        start_to_close_timeout_ms=60_000,
        retry_policy=RetryOptions(maximum_attempts=1),
    )
    second = await another(engine)
    await first.die()
    await engine.pass_time(0)
    for _ in range(9):
        await engine.pass_time(1_000)
        assert await engine.inbox() == []
    await engine.pass_time(1_000)
    assert await engine.inbox() == ["ActivityTimedOut"]
    assert second.attempts == []


async def test_a_holder_at_the_last_attempt_that_comes_back_in_time_goes_on(
    engine: Engine, first: Process
) -> None:
    await schedule(
        engine,
        start_to_close_timeout_ms=60_000,
        retry_policy=RetryOptions(maximum_attempts=1),
    )
    second = await another(engine)
    # Cut off from everything for five seconds.
    await engine.store.withdraw(first.name)
    await first.broker.close()
    await engine.settle()
    await engine.pass_time(0)
    for _ in range(5):
        await engine.pass_time(1_000)
    for _ in range(2):
        await first.live()
        await engine.pass_time(9_000)
    assert await engine.inbox() == []
    assert second.attempts == []
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]


async def test_what_was_to_be_cancelled_is_cancelled_when_its_holder_is_lost(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    await engine.commit(RequestCancelActivityTask(activity_id="1"))
    second = await another(engine)
    await first.die()
    await engine.pass_time(0)
    assert second.attempts == []
    assert await engine.inbox() == ["ActivityCanceled"]


async def test_a_cancel_that_meets_a_take_over_reaches_the_new_holder(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schedule(engine)
    second = await another(engine)
    begin = engine.store.begin

    async def cancel_meanwhile(wanted: BeginAttempt) -> object:
        if wanted.take_over is not None:
            await engine.commit(RequestCancelActivityTask(activity_id="1"))
        return await begin(wanted)

    monkeypatch.setattr(engine.store, "begin", cancel_meanwhile)
    await first.die()
    assert second.attempts[0].stopping == ActivityCancellationDetails(cancel_requested=True)
    second.tasks.abort()


async def test_an_attempt_under_our_own_name_that_is_not_in_work_here_is_lost(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    (attempt,) = first.attempts
    first.tasks.abort()
    await engine.settle()
    made = Process(engine, first.name)
    await made.open()
    deliver(engine, task_body(first))
    await engine.settle()
    assert await engine.store.is_alive(first.name)
    assert [one.task.attempt for one in made.attempts] == [attempt.task.attempt + 1]
    made.tasks.abort()


async def test_an_early_acknowledged_attempt_of_a_killed_holder_is_found_by_asking(
    engine: Engine, first: Process
) -> None:
    await schedule(engine, start_to_close_timeout_ms=3_600_000)
    assert not first.attempts[0].task.hold
    second = await another(engine)
    await first.die()
    await second.live()
    await engine.pass_time(9_999)
    assert second.attempts == []
    await engine.pass_time(1)
    (attempt,) = second.attempts
    assert attempt.task.attempt == 2
    second.tasks.abort()


async def test_two_who_meet_a_dead_holder_begin_one_attempt(engine: Engine, first: Process) -> None:
    await schedule(engine)
    body = task_body(first)
    second, third = await another(engine, "p2"), await another(engine, "p3")
    deliver(engine, body)  # a double, at a rival
    await first.die()
    await engine.settle()
    assert len(second.attempts) + len(third.attempts) == 1
    assert (await states(engine))[0][:2] == (2, "running")
    for process in (second, third):
        process.tasks.abort()


async def test_an_attempt_that_ended_while_its_holder_was_asked_for_is_not_run_again(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schedule(engine)
    second = await another(engine)

    async def end_meanwhile(process: object) -> bool:
        first.outcomes.put_nowait(PAID)
        await engine.settle()
        return False

    monkeypatch.setattr(engine.store, "is_alive", end_meanwhile)
    await first.broker.close()
    for _ in range(3):
        await engine.settle()
    assert second.attempts == []
    assert await engine.inbox() == ["ActivityCompleted"]
    await second.broker.close()
    assert await ready(engine) == 0


async def test_a_task_of_a_lost_time_line_runs_nothing(engine: Engine, first: Process) -> None:
    await schedule(engine)
    body = task_body(first).replace(first.attempts[0].task.key.encode(), b"another-key")
    deliver(engine, body)
    await engine.settle()
    assert len(first.attempts) == 1
    assert await states(engine) == [(1, "running", "p1")]


async def test_a_task_of_an_earlier_attempt_runs_nothing(engine: Engine, first: Process) -> None:
    await schedule(engine)
    body = task_body(first)
    second = await another(engine)
    await first.die()
    deliver(engine, body)
    await engine.settle()
    assert len(second.attempts) == 1
    second.tasks.abort()


async def test_a_begin_of_somebody_else_counts(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await first.broker.close()
    second = await another(engine)
    begin, rivals = engine.store.begin, [AttemptToken("rival")]

    async def lose_the_race(wanted: BeginAttempt) -> object:
        if rivals:
            rival = BeginAttempt(
                name=wanted.name, token=rivals.pop(), holder=first.name, due_in_ms=10_000
            )
            assert isinstance(await begin(rival), Begun)
        return await begin(wanted)

    monkeypatch.setattr(engine.store, "begin", lose_the_race)
    await schedule(engine)
    assert second.attempts == []
    assert await states(engine) == [(1, "running", "p1")]


async def test_a_delivery_whose_wake_up_cannot_be_published_comes_again_after_a_pause(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    (tasks,) = first.broker._consumers
    deliveries: list[int] = []
    take = tasks.on_batch
    tasks.on_batch = lambda batch: (deliveries.append(len(batch)), take(batch))[1]
    await engine.broker.close()  # Wake-ups leave over this connection.
    first.outcomes.put_nowait(PAID)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    assert (deliveries, len(tasks.in_hand)) == ([], 1)
    engine.clock.ms += 1_000
    await engine.settle()
    assert (deliveries, len(tasks.in_hand)) == ([1], 1)
    await engine.broker.open()
    engine.clock.ms += 1_000
    await engine.settle()
    assert (deliveries, len(tasks.in_hand)) == ([1, 1], 0)
