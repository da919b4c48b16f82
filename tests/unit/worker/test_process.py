"""A process runs a service until a signal, and does not wait for ever for its end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from orchestrator.exceptions import UnavailableError
from orchestrator.worker.process import run_until_signal


class Service:
    """Ends when asked, unless it is stubborn."""

    def __init__(self, *, stubborn: bool = False, error: Exception | None = None) -> None:
        self.stubborn = stubborn
        self.error = error
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False

    async def run(self) -> None:
        if self.error is not None:
            raise self.error
        try:
            await self.asked.wait()
            if self.stubborn:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()

    async def shutdown(self) -> None:
        self.asked.set()
        await self.ended.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_service_in_good_order(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    service = Service()
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
    assert await run_until_signal(service, within_ms=5_000)
    assert not service.cancelled
    assert signal.getsignal(number) is before


async def test_an_event_ends_a_service_as_a_signal_does() -> None:
    stop = asyncio.Event()
    stop.set()
    assert await run_until_signal(Service(), within_ms=5_000, stop=stop)


async def test_a_service_that_does_not_end_in_time_is_cancelled() -> None:
    stop, service = asyncio.Event(), Service(stubborn=True)
    stop.set()
    assert not await run_until_signal(service, within_ms=1, stop=stop)
    assert service.cancelled


async def test_the_error_of_a_service_is_its_callers() -> None:
    with pytest.raises(UnavailableError):
        await run_until_signal(Service(error=UnavailableError("down")), within_ms=None)
