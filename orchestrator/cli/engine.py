"""`orchestrator engine`: the engine's duties without any workflow or activity."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.cli.options import Connection, HealthPort, Logs, connected
from orchestrator.limits import DRAIN_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.client import Client


async def engine(
    *,
    health: HealthPort = HealthPort(),
    logs: Logs = Logs(),
    connection: Connection = Connection(),
) -> None:
    """Fire timers, repeat lost messages, clean up and take start messages, until SIGTERM.

    Every worker does its share of this unless it is told --no-engine, so most systems never need
    the command. It serves where workers come and go, and timers must fire while none is running.
    Start as many as you like.
    """
    from orchestrator.worker.process import health_port, leave, run_until_signal

    logs.configure()
    settings = {"health_host": health.health_host, "health_port": health.health_port}
    async with connected(connection, settings) as client:
        service, wanted = _EngineService(client), client.services.settings.health
        async with health_port(service.problems, host=wanted.health_host, port=wanted.health_port):
            in_order = await run_until_signal(service, within_ms=DRAIN_MS)
    leave(in_order=in_order)


class _EngineService:
    """An engine as a service of `orchestrator.worker.process`."""

    def __init__(self, client: Client) -> None:
        from orchestrator.engine.engine import Engine
        from orchestrator.wiring import new_process_name

        self._services, self._process = client.services, new_process_name()
        self._engine = Engine(client.services, process=self._process)
        self._ended = asyncio.Event()

    async def run(self) -> None:
        try:
            await self._engine.run()
        finally:
            self._ended.set()

    async def shutdown(self) -> None:
        self._engine.stop()
        await self._ended.wait()

    async def problems(self) -> Sequence[str]:
        from orchestrator.worker.health import server_problems

        servers = await server_problems(self._services, self._process)
        return [*servers, *self._engine.problems()]
