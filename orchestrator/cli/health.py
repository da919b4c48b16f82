"""`orchestrator health`: asks a process, or both servers, whether they are well."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from orchestrator.cli.exits import CommandError, ExitCode
from orchestrator.cli.options import Connection, Flag, settings_of
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.limits import HEALTH_ANSWER_MS, HEALTH_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a process listens on all addresses → where it is asked."""


async def health(
    *,
    port: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=65_535))] = None,
    host: str | None = None,
    live: Flag = False,
    servers: Flag = False,
    connection: Connection = Connection(),
) -> int:
    """Check a worker or engine process, or the two servers; exit code 0 means well, 1 not.

    Without options it asks the process of this machine (or container) that answers on
    ORCHESTRATOR_HEALTH_PORT whether it can take work. Start a worker with --health-port or with
    that variable to have it answer.

    Parameters
    ----------
    port
        The process's health port; default: ORCHESTRATOR_HEALTH_PORT, else 8686.
    host
        Where the process runs; default: ORCHESTRATOR_HEALTH_HOST, else 127.0.0.1.
    live
        Ask only whether the process is alive, not whether it can take work.
    servers
        Connect to RabbitMQ and Redis instead of asking a process.
    """
    settings = settings_of(connection).health
    if servers:
        problems = await _server_problems(connection)
    else:
        where = host or settings.health_host
        problems = await _process_problems(
            _ANY_ADDRESS.get(where, where), port or settings.health_port or HEALTH_PORT, live
        )
    for problem in problems:
        sys.stderr.write(f"orchestrator: {problem}\n")
    if problems:
        return ExitCode.FAILED
    sys.stdout.write("ok\n")
    return ExitCode.DONE


async def _process_problems(host: str, port: int, live: bool) -> Sequence[str]:
    from orchestrator.telemetry.health import LIVE, READY, ask_health

    try:
        answer = await ask_health(
            host, port, LIVE if live else READY, timeout_ms=HEALTH_ANSWER_MS + 500
        )
    except UnavailableError as error:
        raise CommandError(str(error), ExitCode.FAILED) from None
    return answer.problems


async def _server_problems(connection: Connection) -> Sequence[str]:
    """To connect is to be checked: both servers say what they think of it."""
    from orchestrator.wiring import services_of

    services = services_of(settings_of(connection))
    try:
        await services.open()
    except (UnavailableError, MisconfiguredError) as error:
        return [str(error)]
    await services.close()
    return []
