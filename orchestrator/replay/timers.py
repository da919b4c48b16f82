"""The timers of one run: numbered in program order, wished for, taken back, and fired one by one
after all other news of an activation: a time-out must not beat what came with it."""

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
        self._due: dict[str, None] = {}

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
        """Take a timer back. Nothing is left of one that was started in this activation, or that
        history has as fired and whose turn has not come."""
        self._running -= 1
        if timer_id in self._due:
            del self._due[timer_id]
        elif not self._host.drop_start(c.StartTimer, timer_id):
            self._host.add(c.CancelTimer(timer_id=timer_id))

    def note_fired(self, timer_id: str) -> None:
        """History says that a timer has fired."""
        self._due[timer_id] = None

    def take_due(self) -> str | None:
        """The next timer that has fired, in the order in which they did; None: there is none."""
        for timer_id in self._due:
            del self._due[timer_id]
            return timer_id
        return None

    def note_gone(self) -> None:
        """A timer that ran has had its turn."""
        self._running -= 1
