"""Heartbeats of one attempt: noted at any pace, sent as often as is needed, the last details win.

The first one is sent at once, further ones when the throttle allows; details that have not been
sent when the attempt fails are sent then, so that the next attempt finds them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from orchestrator.exceptions import UnavailableError
from orchestrator.limits import HEARTBEAT_THROTTLE_SHARE, IDLE_POLL_MS
from orchestrator.ports.clock import Clock
from orchestrator.telemetry.log import get_logger
from orchestrator.wire.payload import Payload

_log = get_logger("worker.heartbeats")
Send = Callable[[tuple[Payload, ...]], Awaitable[None]]
"""Sends one; raises UnavailableError when there is no answer."""


def throttle_ms(heartbeat_timeout_ms: int | None, *, default_ms: int, max_ms: int) -> int:
    """The least time between two heartbeats that are sent."""
    if heartbeat_timeout_ms is None:
        return min(max_ms, default_ms)
    return min(max_ms, int(heartbeat_timeout_ms * HEARTBEAT_THROTTLE_SHARE))


class Heartbeats:
    """Owns the task that sends, which exists from the first heartbeat on."""

    def __init__(self, clock: Clock, send: Send, *, throttle_ms: int) -> None:
        self._clock = clock
        self._send = send
        self._throttle_ms = throttle_ms
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._unsent: tuple[Payload, ...] | None = None
        self._is_called = False
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, details: tuple[Payload, ...]) -> None:
        """A sign of life, from any thread."""
        with self._lock:
            self._unsent = details
            call, self._is_called = not self._is_called, True
        if call:
            self._loop.call_soon_threadsafe(self._called)

    async def stop(self) -> None:
        """Send nothing more by itself; what is on its way arrives first."""
        self._stopped.set()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def abort(self) -> None:
        """Stop at once, whatever is on its way."""
        self._stopped.set()
        if self._task is not None:
            self._task.cancel()

    async def flush(self) -> None:
        """Send what has not been sent, as often as it takes. Call it after `stop`."""
        details = self._take()
        while details is not None and not await self._try(details):
            await self._clock.wait(asyncio.Event(), timeout_ms=IDLE_POLL_MS)

    def _called(self) -> None:
        """Begin to send, unless that is under way."""
        with self._lock:
            self._is_called = False
        if self._task is None and not self._stopped.is_set():
            self._task = self._loop.create_task(self._run(), name="heartbeats")

    async def _run(self) -> None:
        while not self._stopped.is_set():
            details = self._take()
            if details is None:
                break
            if await self._try(details):
                wait_ms = self._throttle_ms
            else:
                wait_ms = min(self._throttle_ms, IDLE_POLL_MS)
                self._put_back(details)
            await self._clock.wait(self._stopped, timeout_ms=wait_ms)
        if not self._stopped.is_set():
            self._task = None

    async def _try(self, details: tuple[Payload, ...]) -> bool:
        """Whether nothing is left to do about it."""
        try:
            await self._send(details)
        except UnavailableError:
            return False
        except Exception:  # the boundary of a heartbeat: it must not fail its activity
            _log.exception("heartbeat_failed")
        return True

    def _take(self) -> tuple[Payload, ...] | None:
        with self._lock:
            details, self._unsent = self._unsent, None
            return details

    def _put_back(self, details: tuple[Payload, ...]) -> None:
        with self._lock:
            if self._unsent is None:
                self._unsent = details
