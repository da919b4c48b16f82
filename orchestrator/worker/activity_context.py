"""What one attempt sees through `orchestrator.activity`, in this process.

Made on the worker's event loop and used from there or from the thread in which the user's code
runs; nothing in it blocks, but for the two waits that say so.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from orchestrator.activity import ActivityCancellationDetails, Info
from orchestrator.converter import PayloadConverter
from orchestrator.metering import MetricMeter
from orchestrator.worker.interruption import Interruption

OnHeartbeat = Callable[..., None]
"""Takes the details of a heartbeat; called in whatever thread beats, and must not block."""


class LocalOccurrence:
    """Implements `orchestrator.activity.Occurrence` for all loops and threads of this process."""

    def __init__(self) -> None:
        self._happened = threading.Event()
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def set(self) -> None:
        """It has happened; again changes nothing."""
        with self._lock:
            self._happened.set()
            waiting, self._waiting = self._waiting, {}
        for future, loop in waiting.items():
            try:
                loop.call_soon_threadsafe(_resolve, future)
            except RuntimeError:
                pass  # That loop is closed: nobody waits there any more.

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened.is_set()

    async def wait(self) -> None:
        """Return when it has happened."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._happened.is_set():
                return
            future: asyncio.Future[None] = loop.create_future()
            self._waiting[future] = loop
        try:
            await future
        finally:
            with self._lock:
                self._waiting.pop(future, None)

    def wait_sync(self, timeout_s: float | None) -> None:
        """Block the thread until it has happened or the time is over."""
        self._happened.wait(timeout_s)


class Outbound(Protocol):
    """What interceptors stand around."""

    def info(self) -> Info:
        """What is known about the attempt."""
        ...

    def heartbeat(self, *details: Any) -> None:  # Any: user's values
        """A sign of life."""
        ...


class LocalContext:
    """The context of one attempt; implements `orchestrator.activity.ActivityContext`."""

    def __init__(
        self,
        info: Info,
        payload_converter: PayloadConverter,
        *,
        on_heartbeat: OnHeartbeat,
        worker_shutdown: LocalOccurrence,
        interruption: Interruption | None,
        client: Any = None,  # Any: a Client, or what a test gives for one
    ) -> None:
        """`interruption` is set for code in a thread that may be interrupted."""
        self.client = client
        self.own_info = info
        self.metric_meter = MetricMeter.noop
        self.outbound: Outbound | None = None
        """Interceptors around what the code asks for."""
        self.payload_converter = payload_converter
        self.cancelled = LocalOccurrence()
        self.worker_shutdown = worker_shutdown
        self._on_heartbeat = on_heartbeat
        self.interruption = interruption
        self._details: ActivityCancellationDetails | None = None

    @property
    def info(self) -> Info:
        """What the attempt is told about itself."""
        return self.own_info if self.outbound is None else self.outbound.info()

    def heartbeat(self, *details: object) -> None:
        """Hand the details on."""
        beat = self.own_heartbeat if self.outbound is None else self.outbound.heartbeat
        beat(*details)

    def own_heartbeat(self, *details: object) -> None:
        """As `heartbeat`, past all interceptors."""
        self._on_heartbeat(*details)

    def cancellation_details(self) -> ActivityCancellationDetails | None:
        """Why it was asked to end."""
        return self._details

    def shield(self) -> AbstractContextManager[None]:
        """Hold an interruption back."""
        return nullcontext() if self.interruption is None else self.interruption.shield()

    def cancel(self, details: ActivityCancellationDetails) -> bool:
        """Let the code see that it shall end; False when it was told before (the first reason
        stays)."""
        if self._details is not None:
            return False
        self._details = details
        self.cancelled.set()
        return True


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
