"""Heartbeats: at any pace, sent as often as needed, the last details win and are not lost."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator import activity
from orchestrator.activity import ActivityCancellationDetails
from orchestrator.exceptions import UnavailableError
from orchestrator.wire.failure import ApplicationFailure
from orchestrator.wire.options import RetryOptions
from orchestrator.worker.heartbeats import throttle_ms
from tests.unit.memory_engine import Engine
from tests.unit.worker.runners import (
    VALUES,
    Open,
    Runner,
    last_failure,
    record,
    result,
    run,
    until,
)


@pytest.mark.parametrize(
    ("timeout_ms", "expected"), [(None, 30_000), (10_000, 8_000), (100_000, 60_000)]
)
def test_heartbeats_are_sent_well_within_their_time_out(
    timeout_ms: int | None, expected: int
) -> None:
    assert throttle_ms(timeout_ms, default_ms=30_000, max_ms=60_000) == expected


def test_the_throttle_of_the_worker_is_not_exceeded_without_a_time_out() -> None:
    assert throttle_ms(None, default_ms=30_000, max_ms=5_000) == 5_000


class Beater:
    """An activity that beats when the test says so."""

    def __init__(self) -> None:
        self.go: asyncio.Queue[Any] = asyncio.Queue()

    @activity.defn
    async def beat(self) -> Any:
        while True:
            wanted = await self.go.get()
            if isinstance(wanted, Exception):
                raise wanted
            if wanted == "return":
                return list(activity.info().heartbeat_details)
            activity.heartbeat(wanted)


async def begin(engine: Engine, opened: Open, **fields: object) -> tuple[Beater, Runner]:
    beater = Beater()
    runner = await opened(beater.beat)
    fields = {"heartbeat_timeout_ms": 5_000, "start_to_close_timeout_ms": 600_000, **fields}
    await run(engine, "beat", **fields)
    return beater, runner


async def say(engine: Engine, beater: Beater, *wanted: object) -> None:
    for one in wanted:
        beater.go.put_nowait(one)
    await engine.settle()


def details(runner: Runner) -> list[list[Any]]:
    return [found for _, found in runner.beats]


async def test_the_first_is_sent_at_once_and_of_the_others_the_last_one_when_it_is_time(
    engine: Engine, opened: Open
) -> None:
    beater, runner = await begin(engine, opened)
    await say(engine, beater, 1, 2)
    await say(engine, beater, 3, 4)
    assert details(runner) == [[2]]
    first_ms = runner.beats[0][0]
    engine.clock.ms += 3_999
    await engine.settle()
    assert len(runner.beats) == 1
    engine.clock.ms += 1
    await engine.settle()
    assert runner.beats[1:] == [(first_ms + 4_000, [4])]
    engine.clock.ms += 4_500
    await engine.settle()
    assert len(runner.beats) == 2
    await say(engine, beater, 5)
    assert details(runner)[-1] == [5]


async def test_a_heartbeat_keeps_its_attempt_alive(engine: Engine, opened: Open) -> None:
    beater, _ = await begin(engine, opened, retry_policy=RetryOptions(maximum_attempts=1))
    for number in range(5):
        await say(engine, beater, number)
        await engine.pass_time(4_000)
    await say(engine, beater, "return")
    assert await result(engine) == []


async def test_heartbeats_do_not_put_off_start_to_close(engine: Engine, opened: Open) -> None:
    beater, _ = await begin(
        engine,
        opened,
        start_to_close_timeout_ms=10_000,
        retry_policy=RetryOptions(maximum_attempts=1),
    )
    await say(engine, beater, 1)
    await engine.pass_time(4_000)
    await say(engine, beater, 2)
    await engine.pass_time(4_000)
    await say(engine, beater, 3)
    await engine.pass_time(2_000)
    assert await engine.inbox() == ["ActivityTimedOut"]


async def test_unsent_details_are_stored_before_a_failure(engine: Engine, opened: Open) -> None:
    beater, runner = await begin(engine, opened)
    await say(engine, beater, 1)
    await say(engine, beater, 2, ValueError("again"))
    assert details(runner) == [[1], [2]]
    await engine.pass_time(1_000)
    await say(engine, beater, "return")
    assert await result(engine) == [2]


async def test_nothing_is_sent_after_a_success(engine: Engine, opened: Open) -> None:
    beater, runner = await begin(engine, opened)
    await say(engine, beater, 1)
    await say(engine, beater, 2, "return")
    assert await result(engine) == []
    assert details(runner) == [[1]]


async def test_details_that_cannot_be_converted_cancel_the_attempt_and_fail_it(
    engine: Engine, opened: Open
) -> None:
    seen: list[ActivityCancellationDetails | None] = []

    @activity.defn
    async def beat() -> None:
        activity.heartbeat({"lock": threading.Lock()})
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(activity.cancellation_details())

    await opened(beat)
    await run(engine, "beat")
    failed = await last_failure(engine)
    assert isinstance(failed.detail, ApplicationFailure)
    assert failed.detail.error_type == "ConversionError"
    assert "['lock']" in failed.message
    assert seen == [ActivityCancellationDetails()]


async def test_details_are_taken_as_they_are_when_told(engine: Engine, opened: Open) -> None:
    @activity.defn
    async def beat() -> None:
        found = {"done": 1}
        activity.heartbeat(found)
        found["done"] = 2
        raise ValueError("again")

    runner = await opened(beat)
    await run(engine, "beat")
    assert details(runner) == [[{"done": 1}]]


async def test_a_thread_may_beat(engine: Engine, opened: Open, threads: ThreadPoolExecutor) -> None:
    beaten, end = threading.Event(), threading.Event()

    @activity.defn
    def beat() -> None:
        for number in range(100):
            activity.heartbeat(number)
        beaten.set()
        end.wait(5)
        raise ValueError("again")

    runner = await opened(beat, executor=threads)
    await run(engine, "beat")
    await until(beaten.is_set)
    await until(lambda: bool(runner.beats))
    end.set()
    await until(lambda: runner.counters.value("activities_failed") == 1)
    assert details(runner)[-1] == [99]
    assert len(runner.beats) <= 2


async def test_a_heartbeat_without_an_answer_is_sent_again(
    engine: Engine, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    beater, runner = await begin(engine, opened)
    heartbeat, lost = engine.store.heartbeat, 2

    async def fail_twice(beat: Any) -> Any:
        nonlocal lost
        lost -= 1
        if lost >= 0:
            raise UnavailableError("no answer")
        return await heartbeat(beat)

    monkeypatch.setattr(engine.store, "heartbeat", fail_twice)
    await say(engine, beater, 1)
    assert runner.beats == []
    for _ in range(2):
        engine.clock.ms += 1_000
        await engine.settle()
    assert details(runner) == [[1]]


async def test_a_heartbeat_that_breaks_does_not_break_its_activity(
    engine: Engine, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    beater, _ = await begin(engine, opened)

    async def fail(beat: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(engine.store, "heartbeat", fail)
    await say(engine, beater, 1, "return")
    assert await result(engine) == []


async def test_a_heartbeat_without_time_out_still_carries_details(
    engine: Engine, opened: Open
) -> None:
    beater, runner = await begin(engine, opened, heartbeat_timeout_ms=None)
    await say(engine, beater, 1)
    await say(engine, beater, 2)
    engine.clock.ms += 29_999
    await engine.settle()
    assert details(runner) == [[1]]
    engine.clock.ms += 1
    await engine.settle()
    assert details(runner) == [[1], [2]]
    assert (await record(engine)).details != ()


class Silent:
    """Activities that say at most one thing, and end when the test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    @activity.defn(auto_heartbeat=True)
    async def work(self, says: str) -> str:
        if says:
            activity.heartbeat(says)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            return "cancelled"
        return "done"


async def test_a_worker_beats_for_an_activity_that_asks_for_it_and_keeps_its_details(
    engine: Engine, opened: Open
) -> None:
    silent = Silent()
    runner = await opened(silent.work)
    await run(engine, "work", "half", heartbeat_timeout_ms=5_000, start_to_close_timeout_ms=600_000)
    for _ in range(60):
        await engine.pass_time(1_000)
    assert 10 <= len(runner.beats) <= 20
    found = await record(engine)
    assert (found.attempt, VALUES.from_payloads(found.details)) == (1, ["half"])
    silent.go_on.set()
    await engine.settle()
    assert await result(engine) == "done"
    sent = len(runner.beats)
    for _ in range(20):
        await engine.pass_time(1_000)
    assert len(runner.beats) == sent


async def test_without_a_heartbeat_time_out_a_worker_beats_for_nobody(
    engine: Engine, opened: Open
) -> None:
    silent = Silent()
    runner = await opened(silent.work)
    await run(engine, "work", "", start_to_close_timeout_ms=600_000)
    for _ in range(60):
        await engine.pass_time(1_000)
    assert runner.beats == []
    silent.go_on.set()
    await engine.settle()


async def test_a_worker_that_dies_beats_no_more(engine: Engine, opened: Open) -> None:
    silent = Silent()
    runner = await opened(silent.work)
    await run(engine, "work", "", heartbeat_timeout_ms=5_000, start_to_close_timeout_ms=600_000)
    runner.tasks.abort()
    await engine.settle()
    sent = len(runner.beats)
    for _ in range(12):
        await engine.pass_time(1_000)
    assert len(runner.beats) == sent
    assert (await record(engine)).attempt == 2
