"""A process that runs a service until it is told to stop, in good order or at once.

The first SIGTERM or SIGINT asks for an orderly end; the second ends the process where it stands:
what it had in work is somebody else's then, as after a kill.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from orchestrator.telemetry.log import get_logger

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Service(Protocol):
    """What a process runs: a worker, or the engine's duties."""

    async def run(self) -> None:
        """Serve until `shutdown`."""
        ...

    async def shutdown(self) -> None:
        """End `run` in good order, and return when it has ended."""
        ...


async def run_until_signal(service: Service, stop: asyncio.Event | None = None) -> None:
    """Run `service` until it ends, the process is signalled, or `stop` is set.

    Must be called on the main thread. A second signal does not return: the process exits with 128
    and the signal's number.
    """
    asked = asyncio.Event() if stop is None else stop
    with _on_signal(asked):
        running = asyncio.create_task(service.run(), name="service")
        asking = asyncio.create_task(asked.wait(), name="signal")
        try:
            await asyncio.wait((running, asking), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await service.shutdown()
            await running
        finally:
            asking.cancel()


@contextmanager
def _on_signal(asked: asyncio.Event) -> Generator[None, None, None]:
    """Set `asked` at the first signal. These are handlers of the interpreter, not of the loop, so
    that the second signal also ends a process whose loop is blocked."""
    loop, log = asyncio.get_running_loop(), get_logger("process")
    seen: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if seen:
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
