"""What a worker holds back: slots, deadlines, and the ends it may have to tell again."""

from __future__ import annotations

import asyncio

from orchestrator.core.transition import FinishAttempt
from orchestrator.ids import AttemptToken, RunId
from orchestrator.limits import FINISHES_KEPT_BYTES_MAX, FINISHES_KEPT_MAX
from orchestrator.wire.inbox import ActivityCompleted, AttemptStarted
from orchestrator.wire.payload import Payload
from orchestrator.worker.deadlines import Deadlines
from orchestrator.worker.finishes import KeptFinishes
from orchestrator.worker.slots import Slots
from tests.unit.core.test_attempts import NAME
from tests.unit.memory_engine import TurnedClock


async def turn(times: int = 10) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_slots_are_handed_on_in_the_order_of_asking() -> None:
    slots, order = Slots(1, TurnedClock()), []

    async def take(name: str) -> None:
        assert await slots.acquire(timeout_ms=1_000)
        order.append(name)

    assert await slots.acquire(timeout_ms=0)
    waiting = [asyncio.create_task(take(name)) for name in ("a", "b")]
    await turn()
    assert order == []
    slots.release()
    await turn()
    assert order == ["a"]
    slots.release()
    await asyncio.gather(*waiting)
    assert order == ["a", "b"]


async def test_who_waits_too_long_or_goes_away_takes_no_slot() -> None:
    clock = TurnedClock()
    slots = Slots(1, clock)
    assert await slots.acquire(timeout_ms=0)
    late = asyncio.create_task(slots.acquire(timeout_ms=1_000))
    gone = asyncio.create_task(slots.acquire(timeout_ms=9_000))
    await turn()
    clock.ms += 1_000
    await turn()
    assert not await late
    gone.cancel()
    await turn()
    slots.release()
    assert await slots.acquire(timeout_ms=0)


async def test_a_slot_handed_to_who_goes_away_in_that_moment_is_not_lost() -> None:
    slots = Slots(1, TurnedClock())
    assert await slots.acquire(timeout_ms=0)
    gone = asyncio.create_task(slots.acquire(timeout_ms=9_000))
    await turn()
    slots.release()
    gone.cancel()
    await turn()
    again = asyncio.create_task(slots.acquire(timeout_ms=9_000))
    await turn()
    assert again.done()


async def test_deadlines_are_called_in_the_order_of_their_time() -> None:
    clock, called = TurnedClock(), []
    deadlines = Deadlines(clock)
    for name, in_ms in (("late", 2_000), ("soon", 1_000), ("never", 1_500)):
        deadline = deadlines.watch(clock.ms + in_ms, lambda name=name: called.append(name))
        if name == "never":
            deadline.cancel()
            deadline.cancel()
    await turn()
    clock.ms += 999
    await turn()
    assert called == []
    clock.ms += 1
    await turn()
    assert called == ["soon"]
    clock.ms += 1_000
    await turn()
    assert called == ["soon", "late"]
    await deadlines.close()


async def test_a_deadline_may_move_on() -> None:
    clock, called = TurnedClock(), []
    deadlines = Deadlines(clock)

    def look() -> int | None:
        called.append(clock.ms)
        return clock.ms + 500 if len(called) == 1 else None

    start_ms = clock.ms
    deadlines.watch(start_ms + 1_000, look)
    for _ in range(4):
        await turn()
        clock.ms += 500
    await turn()
    assert called == [start_ms + 1_000, start_ms + 1_500]
    await deadlines.close()


async def test_a_deadline_that_breaks_does_not_stop_the_others() -> None:
    clock, called = TurnedClock(), []
    deadlines = Deadlines(clock)

    def fail() -> None:
        raise KeyError("a bug")

    deadlines.watch(clock.ms + 1, fail)
    deadlines.watch(clock.ms + 2, lambda: called.append("other"))
    await turn()
    clock.ms += 2
    await turn()
    assert called == ["other"]
    await deadlines.close()


async def test_cancelled_deadlines_are_swept_out() -> None:
    clock = TurnedClock()
    deadlines = Deadlines(clock)
    for number in range(10_000):
        deadlines.watch(clock.ms + 600_000 + number, lambda: None).cancel()
    assert len(deadlines._heap) < 500
    await deadlines.close()


def finish(size_bytes: int = 10) -> FinishAttempt:
    entry = ActivityCompleted(
        run_id=RunId("run-1"),
        scheduled_event_id=5,
        started=AttemptStarted(attempt=1, time_ms=0),
        result=Payload.of_json(b'"' + b"x" * size_bytes + b'"'),
    )
    return FinishAttempt(name=NAME, token=AttemptToken("t"), entry=entry)


def test_finishes_are_kept_for_thirty_seconds() -> None:
    kept = KeptFinishes()
    kept.add(finish(), now_ms=1_000)
    kept.add(finish(), now_ms=2_000)
    assert len(kept.all(now_ms=31_000)) == 2
    assert len(kept.all(now_ms=31_001)) == 1
    assert kept.all(now_ms=32_001) == []


def test_finishes_are_bounded_in_number_and_in_bytes() -> None:
    kept, small = KeptFinishes(), finish()
    for _ in range(FINISHES_KEPT_MAX + 5):
        kept.add(small, now_ms=0)
    assert len(kept.all(now_ms=0)) == FINISHES_KEPT_MAX
    large = finish(FINISHES_KEPT_BYTES_MAX // 2)
    for _ in range(3):
        kept.add(large, now_ms=0)
    assert kept.all(now_ms=0) == [large]
