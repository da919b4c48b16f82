"""Attempts that their code leaves to those outside, under accidents: one outcome, no second run."""

from __future__ import annotations

import pytest

from orchestrator.core.attempts import completed
from orchestrator.exceptions import UnavailableError
from orchestrator.ports.store import Finished
from orchestrator.wire.inbox import AttemptStarted
from orchestrator.worker.attempt import Detached
from tests.unit.memory_engine import Engine
from tests.unit.worker.processes import PAID, Process, deliver, ready, schedule, states, task_body

LEFT = Detached.FROM_HOLDER


async def complete(engine: Engine, process: Process) -> object:
    """What somebody outside does who holds the task token."""
    attempt = process.attempts[-1]
    started = AttemptStarted(attempt=attempt.begun.attempt, time_ms=attempt.begun.now_ms)
    return await engine.store.finish(completed(attempt.name, attempt.token, started, PAID))


async def test_its_delivery_is_acked_and_a_doubled_one_runs_nothing(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    first.outcomes.put_nowait(LEFT)
    await engine.settle()
    assert await ready(engine) == 0
    deliver(engine, task_body(first))
    await engine.settle()
    assert len(first.attempts) == 1
    assert first.counters.snapshot()["activities_detached"] == 1


async def test_the_death_of_its_holder_changes_nothing(engine: Engine, first: Process) -> None:
    await schedule(engine, start_to_close_timeout_ms=3_600_000)
    first.outcomes.put_nowait(LEFT)
    await engine.settle()
    second = Process(engine, "p2")
    await second.open()
    await first.die()
    for _ in range(60):
        await engine.pass_time(10_000)
    assert second.attempts == []
    assert await states(engine) == [(1, "running", "p1")]
    assert isinstance(await complete(engine, first), Finished)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]


async def test_a_holder_that_dies_before_it_has_left_it_is_taken_over(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    second = Process(engine, "p2")
    await second.open()
    await first.die()
    assert [attempt.begun.attempt for attempt in second.attempts] == [2]
    second.outcomes.put_nowait(LEFT)
    await engine.settle()
    assert await states(engine) == [(2, "running", "p2")]


async def test_an_answer_that_was_lost_is_asked_for_again(
    engine: Engine, first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat, calls = engine.store.heartbeat, 0

    async def forgetful(beat: object) -> object:
        nonlocal calls
        calls += 1
        answer = await heartbeat(beat)  # type: ignore[arg-type]  # passed through
        if calls == 1:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    monkeypatch.setattr(engine.store, "heartbeat", forgetful)
    await schedule(engine)
    first.outcomes.put_nowait(LEFT)
    await engine.settle()
    await engine.pass_time(1_000)
    assert calls == 2
    await first.die()
    assert await ready(engine) == 0


async def test_whoever_outside_is_faster_than_its_code_has_completed_it(
    engine: Engine, first: Process
) -> None:
    await schedule(engine)
    assert isinstance(await complete(engine, first), Finished)
    first.outcomes.put_nowait(LEFT)
    await engine.settle()
    assert await engine.inbox() == ["ActivityCompleted"]
    assert await ready(engine) == 0


async def test_its_time_is_over_all_the_same(engine: Engine, first: Process) -> None:
    await schedule(engine, start_to_close_timeout_ms=60_000)
    first.outcomes.put_nowait(LEFT)
    await engine.settle()
    await engine.pass_time(59_000)
    assert await states(engine) == [(1, "running", "p1")]
    await engine.pass_time(1_100)
    await engine.pass_time(1_100)
    assert len(first.attempts) == 2
