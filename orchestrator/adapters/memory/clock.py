"""The clocks of one process: real time as the store tells it, and a time that can be skipped.

What a process waits by stands here; whether something is due is decided in the store.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass


class SystemClock:
    """Real time, corrected by what the store last said; implements `orchestrator.ports.clock`."""

    def __init__(self) -> None:
        self._offset_ms = 0

    def now_ms(self) -> int:
        """Epoch milliseconds, an estimate of the store's."""
        return _real_ms() + self._offset_ms

    def learn(self, store_ms: int) -> None:
        """The store's time was `store_ms` when it answered just now."""
        self._offset_ms = store_ms - _real_ms()

    async def wait(self, event: asyncio.Event, *, timeout_ms: int) -> None:
        """Return when `event` is set or `timeout_ms` have passed, whichever is first."""
        if event.is_set():
            return
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await event.wait()
        except TimeoutError:
            pass  # The time has passed, which was asked for.


class SkippingClock:
    """Real time plus what was skipped: it passes by itself and may jump forward, never back."""

    def __init__(self) -> None:
        self._skipped_ms = 0
        self._sleepers: dict[asyncio.Future[None], _Sleep] = {}

    def now_ms(self) -> int:
        """Epoch milliseconds of this clock."""
        return _real_ms() + self._skipped_ms

    async def wait(self, event: asyncio.Event, *, timeout_ms: int) -> None:
        """Return when `event` is set or this clock has moved on by `timeout_ms`."""
        if event.is_set():
            return
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        due_ms = self.now_ms() + timeout_ms
        self._sleepers[sleeper] = _Sleep(due_ms, loop.call_later(timeout_ms / 1000, _wake, sleeper))
        waiting = loop.create_task(event.wait())
        try:
            await asyncio.wait((sleeper, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.pop(sleeper).timer.cancel()
            waiting.cancel()

    def next_wake_ms(self) -> int | None:
        """When the first sleeper wakes if nothing is skipped; None: nobody sleeps."""
        return min((sleep.due_ms for sleep in self._sleepers.values()), default=None)

    def skip_to(self, epoch_ms: int) -> None:
        """Make it `epoch_ms` now, unless it is later already. Who sleeps until then wakes; for the
        others less real time is left."""
        self._skipped_ms += max(0, epoch_ms - self.now_ms())
        now_ms, loop = self.now_ms(), asyncio.get_running_loop()
        for sleeper, sleep in self._sleepers.items():
            sleep.timer.cancel()
            left_s = max(0, sleep.due_ms - now_ms) / 1000
            sleep.timer = loop.call_later(left_s, _wake, sleeper)


@dataclass(slots=True)
class _Sleep:
    """When a sleeper is due, and the real timer that wakes it if nothing is skipped."""

    due_ms: int
    timer: asyncio.TimerHandle


def _real_ms() -> int:
    return time.time_ns() // 1_000_000


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
