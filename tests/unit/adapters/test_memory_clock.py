"""A clock that can be skipped wakes who is due, and leaves the others the rest of their time."""

from __future__ import annotations

import asyncio

from orchestrator.adapters.memory.clock import SkippingClock


async def test_who_sleeps_until_the_time_that_was_skipped_to_wakes() -> None:
    clock = SkippingClock()
    sleeping = asyncio.create_task(clock.wait(asyncio.Event(), timeout_ms=3_600_000))
    await asyncio.sleep(0)
    clock.skip_to(clock.now_ms() + 3_600_000)
    async with asyncio.timeout(5):
        await sleeping


async def test_who_is_due_a_moment_later_needs_no_further_skip() -> None:
    clock = SkippingClock()
    sleeping = asyncio.create_task(clock.wait(asyncio.Event(), timeout_ms=3_600_000))
    await asyncio.sleep(0)
    clock.skip_to(clock.now_ms() + 3_600_000 - 5)
    async with asyncio.timeout(5):
        await sleeping


async def test_an_event_ends_a_sleep_early_and_time_never_goes_back() -> None:
    clock, event = SkippingClock(), asyncio.Event()
    sleeping = asyncio.create_task(clock.wait(event, timeout_ms=3_600_000))
    await asyncio.sleep(0)
    before = clock.now_ms()
    clock.skip_to(0)
    assert clock.now_ms() >= before
    event.set()
    async with asyncio.timeout(5):
        await sleeping
