"""The port to time: what a process waits by. Whether something is due is decided in the store."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Clock(Protocol):
    """Real time, or a virtual one in tests."""

    def now_ms(self) -> int:
        """Epoch milliseconds; an estimate where the store's time is the truth."""
        ...

    async def wait(self, event: asyncio.Event, *, timeout_ms: int) -> None:
        """Return when `event` is set or `timeout_ms` have passed, whichever is first."""
        ...
