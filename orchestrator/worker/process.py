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

from orchestrator.telemetry.log import get_logger
from orchestrator.worker.health import Check, HealthServer

SIGNALS = (signal.SIGTERM, signal.SIGINT)
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
    stop: asyncio.Event | None = None,
    at_once: Callable[[], None] = _nothing,
) -> None:
    """Run `service` until it ends, the process is signalled, or `stop` is set.

    Must be called on the main thread. A second signal does not return: after `at_once` the process
    exits with 128 and the signal's number.
    """
    asked = asyncio.Event() if stop is None else stop
    with _on_signal(asked, at_once):
        running = asyncio.create_task(service.run(), name="service")
        asking = asyncio.create_task(asked.wait(), name="signal")
        try:
            await asyncio.wait((running, asking), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await service.shutdown()
            await running
        finally:
            asking.cancel()


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


def leave_busy_threads(code: int) -> None:
    """End the process now, with `code`, if threads of user code would keep it.

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
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


@contextmanager
def _on_signal(asked: asyncio.Event, at_once: Callable[[], None]) -> Generator[None, None, None]:
    """Set `asked` at the first signal. These are handlers of the interpreter, not of the loop, so
    that the second signal also ends a process whose loop is blocked."""
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
