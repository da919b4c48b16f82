"""The clocks of one process: real time as the store tells it, and a time that can be skipped.

What a process waits by stands here; whether something is due is decided in the store.
"""

from __future__ import annotations

import asyncio
import time


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
        self._sleepers: dict[asyncio.Future[None], int] = {}

    def now_ms(self) -> int:
        """Epoch milliseconds of this clock."""
        return _real_ms() + self._skipped_ms

    async def wait(self, event: asyncio.Event, *, timeout_ms: int) -> None:
        """Return when `event` is set or this clock has moved on by `timeout_ms`."""
        if event.is_set():
            return
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers[sleeper] = self.now_ms() + timeout_ms
        timer = loop.call_later(timeout_ms / 1000, _wake, sleeper)
        waiting = loop.create_task(event.wait())
        try:
            await asyncio.wait((sleeper, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._sleepers[sleeper]
            timer.cancel()
            waiting.cancel()

    def skip_to(self, epoch_ms: int) -> None:
        """Make it `epoch_ms` now, unless it is later already, and wake whose time has come."""
        self._skipped_ms += max(0, epoch_ms - self.now_ms())
        now_ms = self.now_ms()
        for sleeper, due_ms in self._sleepers.items():
            if due_ms <= now_ms:
                _wake(sleeper)


def _real_ms() -> int:
    return time.time_ns() // 1_000_000


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
