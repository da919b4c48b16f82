"""`orchestrator doctor`: looks at both servers and the queues, and says what to mend."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import Connection, settings_of
from orchestrator.cli.output import Format, write_json, write_line, write_table

_COLUMNS = ("LEVEL", "SUBJECT", "FOUND", "REMEDY")


async def doctor(
    *,
    task_queue: Annotated[list[str], Parameter(negative="", show_default=False)] = [],  # noqa: B006
    output: Format = "table",
    connection: Connection = Connection(),
) -> int:
    """Examine RabbitMQ, Redis and the queues; each finding comes with its remedy.

    Looks at versions, durability, eviction, memory, clocks, a message's round trip, who takes the
    tasks of each task queue with open workflows, and dead letters. Exit code 0: no errors; 1:
    errors; 4: a server does not answer.

    Parameters
    ----------
    task_queue
        A task queue to look at, beside those of open workflows; repeat it for more.
    """
    from orchestrator.cli.examination import examine
    from orchestrator.ids import check_task_queue

    settings, wanted = settings_of(connection), [check_task_queue(name) for name in task_queue]
    if settings.connection.embedded:
        raise CommandError("doctor examines servers: there are none behind memory://")
    findings, code = await examine(settings, wanted)
    if output == "table":
        rows = ((one.level.value, one.subject, one.found, one.remedy) for one in findings)
        write_table(_COLUMNS, rows)
    for one in findings:
        if output == "json":
            write_json(one)
        elif output == "ids":
            write_line(f"{one.level.value} {one.subject}")
    return code
