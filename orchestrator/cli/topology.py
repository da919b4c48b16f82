"""`orchestrator topology`: what exists in RabbitMQ, made or written down before any worker runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import Connection, Flag, settings_of
from orchestrator.cli.output import write_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.ids import TaskQueue

topology = App(
    name="topology", help="Make or write down the exchanges and queues that RabbitMQ needs."
)
TaskQueues = Annotated[
    list[str],
    Parameter(
        name="--task-queue",
        negative="",
        show_default=False,
        help="A task queue whose two queues are wanted; repeat it for more.",
    ),
]


@topology.command
async def declare(
    *,
    task_queue: TaskQueues = [],  # noqa: B006  # cyclopts makes a list of its own
    connection: Connection = Connection(),
) -> None:
    """Declare exchanges, shared queues and those of task queues; what is there stays as it is.

    Workers do this by themselves where their user may. It is for users with fewer rights, and for
    start messages that shall wait before the first worker runs.
    """
    from orchestrator.ports.broker import ActivityQueue, WorkflowQueue
    from orchestrator.wiring import services_of

    settings, checked = settings_of(connection), _checked(task_queue)
    if settings.connection.embedded:
        raise CommandError("there is no RabbitMQ behind memory://")
    broker = services_of(settings).broker
    try:
        await broker.open()
        write_line(f"namespace {settings.connection.namespace}: exchanges and shared queues exist")
        for name in checked:
            made = await broker.declare(WorkflowQueue(name), ActivityQueue(name))
            write_line(f"task queue {name}: {'made' if made else 'was there'}")
    finally:
        await broker.close()


@topology.command
def export(
    *,
    task_queue: TaskQueues = [],  # noqa: B006  # cyclopts makes a list of its own
    users: Flag = False,
    connection: Connection = Connection(),
) -> None:
    """Print a definitions file for RabbitMQ's load_definitions, without connecting to anything.

    Parameters
    ----------
    users
        Also users with the rights that their roles need; their passwords are read from the
        variables WORKER_PASSWORD, CLIENT_PASSWORD and so on. Importing users keeps RabbitMQ from
        making its user guest.
    """
    from orchestrator.wiring import rabbitmq_definitions

    passwords = _passwords() if users else None
    sys.stdout.write(
        rabbitmq_definitions(settings_of(connection), _checked(task_queue), passwords=passwords)
    )


def _checked(task_queues: Sequence[str]) -> Sequence[TaskQueue]:
    from orchestrator.ids import check_task_queue

    return [check_task_queue(name) for name in task_queues]


def _passwords() -> dict[str, str]:
    ending = "_PASSWORD"
    return {
        name.removesuffix(ending).lower(): value
        for name, value in os.environ.items()
        if name.endswith(ending) and value
    }
