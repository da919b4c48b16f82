"""A process that runs a service until it is told to stop, in good order or at once.

The first SIGTERM or SIGINT asks for an orderly end; the second ends the process where it stands:
what it had in work is somebody else's then, as after a kill.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Protocol

from orchestrator.telemetry.health import Check, HealthServer
from orchestrator.telemetry.log import get_logger

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CANCELLED_SECONDS = 2.0
"""What is cancelled may need a moment to say its goodbyes."""
_THREADS_LEAVE_SECONDS = 0.2
"""Threads that have nothing more to do need so long to notice it."""


class Service(Protocol):
    """What a process runs: a worker, the engine's duties, or a supervisor of such processes."""

    async def run(self) -> None:
        """Serve until `shutdown`."""
        ...

    async def shutdown(self) -> None:
        """End `run` in good order, and return when it has ended."""
        ...


def _nothing() -> None:
    """There is nothing to do before the process ends at once."""


async def run_until_signal(
    service: Service,
    *,
    within_ms: int | None,
    stop: asyncio.Event | None = None,
    at_once: Callable[[], None] = _nothing,
) -> bool:
    """Run `service` until it ends, the process is signalled, or `stop` is set.

    Must be called on the main thread. A second signal does not return: after `at_once` the process
    exits with 128 and the signal's number.

    Args:
        service: Run once.
        within_ms: How long an orderly end may take, before the service is cancelled; None: as long
            as it takes.
        stop: Asks for an orderly end, as a signal does.
        at_once: Called by the second signal.

    Returns:
        Whether it ended by itself in time; if not, leave the process by `leave`.
    """
    asked = asyncio.Event() if stop is None else stop
    with _on_signal(asked, at_once):
        running = asyncio.create_task(service.run(), name="service")
        asking = asyncio.create_task(asked.wait(), name="signal")
        stopping: asyncio.Task[None] | None = None
        try:
            await asyncio.wait((running, asking), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                stopping = asyncio.create_task(service.shutdown(), name="shutdown")
                timeout = None if within_ms is None else within_ms / 1000
                await asyncio.wait((running,), timeout=timeout)
            if not running.done():
                get_logger("process").warning("stop_overdue", within_ms=within_ms)
                running.cancel()
                await asyncio.wait((running,), timeout=_CANCELLED_SECONDS)
                return False
            await running
            return True
        finally:
            asking.cancel()
            if stopping is not None:
                stopping.cancel()


@asynccontextmanager
async def health_port(check: Check, *, host: str, port: int) -> AsyncGenerator[None, None]:
    """Answer health checks inside; port 0: do not.

    Raises:
        UnavailableError: the port cannot be had.
    """
    if port == 0:
        yield
        return
    server = HealthServer(check)
    await server.start(host=host, port=port)
    try:
        yield
    finally:
        await server.stop()


def leave(*, in_order: bool) -> None:
    """End the process now, with 0, if user code would keep it: when it did not end in order, or
    one of its threads is still busy.

    A thread cannot be stopped from outside, and the interpreter would wait for it: for a sync
    activity that goes on after its grace, as long as that takes. Its attempt is taken over.
    """
    here, deadline = threading.current_thread(), time.monotonic() + _THREADS_LEAVE_SECONDS
    busy = [one for one in threading.enumerate() if one is not here and not one.daemon]
    for one in busy:
        one.join(max(0.0, deadline - time.monotonic()))
    names = [one.name for one in busy if one.is_alive()]
    if names:
        get_logger("process").warning("threads_left_behind", threads=names)
    if names or not in_order:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


@contextmanager
def _on_signal(asked: asyncio.Event, at_once: Callable[[], None]) -> Generator[None, None, None]:
    """Set `asked` at the first signal. These are handlers of the interpreter, not of the loop, so
    that the second signal also ends a process whose loop is blocked.

    Two signals within microseconds may go to two threads. A main thread that sleeps sees the
    other one with the next signal, or when it wakes.
    """
    loop, log = asyncio.get_running_loop(), get_logger("process")
    seen: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if seen:
            at_once()
            os.write(2, b"orchestrator: a second signal: ending at once\n")
            os._exit(128 + number)
        seen.append(number)
        loop.call_soon_threadsafe(begin, number)

    def begin(number: int) -> None:
        log.info("stop_asked", signal=signal.Signals(number).name)
        asked.set()

    before = {one: signal.signal(one, take) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
