"""`orchestrator engine`: the engine's duties without any workflow or activity."""

from __future__ import annotations

from orchestrator.cli.options import Connection, HealthPort, Logs, connected


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
    from orchestrator.cli.engine_process import run_engine

    logs.configure()
    settings = {"health_host": health.health_host, "health_port": health.health_port}
    async with connected(connection, settings) as client:
        await run_engine(client)
