"""The timers of one run: numbered in program order, wished for, taken back."""

from __future__ import annotations

from typing import Protocol

from orchestrator.limits import PENDING_TIMERS_MAX
from orchestrator.wire import commands as c


class TimerHost(Protocol):
    """Who takes the commands."""

    def add(self, command: c.Command) -> None: ...

    def drop_start(self, command: type[c.Command], identity: str) -> bool: ...


class Timers:
    """Counts the timers that run, and gives each its number."""

    def __init__(self, host: TimerHost) -> None:
        self._host = host
        self._running = 0
        self._last = 0

    def start(self, delay_ms: int, summary: str) -> str:
        """Wish for a timer; its id.

        Raises:
            RuntimeError: too many timers run.
        """
        if self._running >= PENDING_TIMERS_MAX:
            raise RuntimeError(f"{PENDING_TIMERS_MAX} timers are running; wait for some first")
        timer_id = str(self._last + 1)
        self._host.add(c.StartTimer(timer_id=timer_id, start_to_fire_ms=delay_ms, summary=summary))
        self._last += 1
        self._running += 1
        return timer_id

    def cancel(self, timer_id: str) -> None:
        """Take a timer back; nothing is left of one that was started in this activation."""
        self._running -= 1
        if not self._host.drop_start(c.StartTimer, timer_id):
            self._host.add(c.CancelTimer(timer_id=timer_id))

    def note_fired(self) -> None:
        """One of those that run has fired."""
        self._running -= 1
