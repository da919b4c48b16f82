"""How many attempts run at once.

The broker's prefetch bounds what is in hand unacknowledged; attempts that are acknowledged early
run on outside of it and are counted here.
"""

from __future__ import annotations

import asyncio
from collections import deque

from orchestrator.ports.clock import Clock


class Slots:
    """A bound, handed on in the order of asking. None bounds nothing."""

    def __init__(self, limit: int | None, clock: Clock) -> None:
        self._free = limit
        self._clock = clock
        self._waiting: deque[asyncio.Event] = deque()

    async def acquire(self, *, timeout_ms: int) -> bool:
        """Take a slot; False when none came free in time. `release` it afterwards."""
        if self._free is None:
            return True
        if self._free > 0:
            self._free -= 1
            return True
        handed_over = asyncio.Event()
        self._waiting.append(handed_over)
        try:
            await self._clock.wait(handed_over, timeout_ms=timeout_ms)
        except asyncio.CancelledError:
            self._give_up(handed_over)
            raise
        if handed_over.is_set():
            return True
        self._give_up(handed_over)
        return False

    def release(self) -> None:
        """Give a slot to whoever waits longest, or back."""
        if self._free is None:
            return
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1

    def _give_up(self, handed_over: asyncio.Event) -> None:
        if handed_over.is_set():
            self.release()
        else:
            self._waiting.remove(handed_over)
