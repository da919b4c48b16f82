"""One process of engine duties, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.cli.examination import warn_of_store
from orchestrator.client import Client
from orchestrator.engine.engine import Engine
from orchestrator.limits import DRAIN_MS
from orchestrator.wiring import new_process_name
from orchestrator.worker.health import server_problems
from orchestrator.worker.process import health_port, leave, run_until_signal


async def run_engine(client: Client) -> None:
    """Do the duties, and answer on the health port of the settings, until the process is
    signalled.

    Raises:
        UnavailableError: a server does not answer at the start, or the port cannot be had.
    """
    await warn_of_store(client.services.settings)
    service, wanted = EngineService(client), client.services.settings.health
    async with health_port(service.problems, host=wanted.health_host, port=wanted.health_port):
        in_order = await run_until_signal(service, within_ms=DRAIN_MS)
    await client.close()
    leave(in_order=in_order)


class EngineService:
    """An engine as a service of `orchestrator.worker.process`."""

    def __init__(self, client: Client) -> None:
        """Over the connections of `client`, which stays its owner's."""
        self._services, self._process = client.services, new_process_name()
        self._engine = Engine(client.services, process=self._process)
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Do the duties until `shutdown`."""
        try:
            await self._engine.run()
        finally:
            self._ended.set()

    async def shutdown(self) -> None:
        """Finish what is being done, and return when `run` has ended."""
        self._engine.stop()
        await self._ended.wait()

    async def problems(self) -> Sequence[str]:
        """Why the duties cannot be done now; empty when they can."""
        return [*await server_problems(self._services, self._process), *self._engine.problems()]
