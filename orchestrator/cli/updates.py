"""`orchestrator update`: send an update to a workflow, and wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter

from orchestrator.cli.exits import CommandError, ExitCode
from orchestrator.cli.options import Connection, connected, to_timedelta
from orchestrator.cli.output import Format, write_json, write_line
from orchestrator.cli.workflows import Input, RunId, Seconds, read_arguments

update = App(name="update", help="Send an update to an open workflow, or wait for one.")
UpdateId = Annotated[
    str | None,
    Parameter(
        name="--update-id",
        show_default=False,
        help="Names the update: the same id again has no further effect. Default: made up.",
    ),
]


@update.command
async def execute(
    workflow_id: str,
    name: str,
    /,
    *,
    input: Input = [],  # noqa: B006  # cyclopts makes a list of its own
    update_id: UpdateId = None,
    run_id: RunId = None,
    timeout: Seconds = None,
    connection: Connection = Connection(),
) -> None:
    """Send an update, wait until its handler has ended, and print its result as JSON.

    Needs a running worker, and waits for one. Exit code 1 if the update was rejected or failed, 5
    if it has not ended in time; it goes on then.

    Parameters
    ----------
    workflow_id
        Who gets it.
    name
        The update's name.
    timeout
        Seconds to wait at most; default: as long as it takes.
    """
    arguments = read_arguments(input)
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        with _told_in_time(name, timeout):
            found = await handle.execute_update(
                name, args=arguments, id=update_id, rpc_timeout=to_timedelta(timeout)
            )
    write_json(found)


@update.command
async def start(
    workflow_id: str,
    name: str,
    /,
    *,
    input: Input = [],  # noqa: B006  # cyclopts makes a list of its own
    update_id: UpdateId = None,
    run_id: RunId = None,
    timeout: Seconds = None,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """Send an update, wait until the workflow has let it in, and print its id.

    Needs a running worker, and waits for one. Exit code 1 if it was rejected.

    Parameters
    ----------
    workflow_id
        Who gets it.
    name
        The update's name.
    timeout
        Seconds to wait at most; default: as long as it takes.
    """
    from orchestrator.client import WorkflowUpdateStage

    arguments = read_arguments(input)
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        with _told_in_time(name, timeout):
            sent = await handle.start_update(
                name,
                args=arguments,
                id=update_id,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                rpc_timeout=to_timedelta(timeout),
            )
        if sent.is_rejected:
            await sent.result()
    if output == "json":
        write_json(
            {"update_id": sent.id, "workflow_id": sent.workflow_id, "run_id": sent.workflow_run_id}
        )
    else:
        write_line(sent.id if output == "ids" else f"{sent.id}  run {sent.workflow_run_id}")


@update.command
async def result(
    workflow_id: str,
    update_id: str,
    /,
    *,
    run_id: RunId = None,
    timeout: Seconds = None,
    connection: Connection = Connection(),
) -> None:
    """Wait for the end of an update that was let in before, and print its result as JSON.

    Exit code 1 if it failed, 5 if it has not ended in time.

    Parameters
    ----------
    workflow_id
        Who has it.
    update_id
        Which one.
    timeout
        Seconds to wait at most; default: as long as it takes.
    """
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        with _told_in_time(update_id, timeout):
            found = await handle.get_update_handle(update_id).result(
                rpc_timeout=to_timedelta(timeout)
            )
    write_json(found)


@contextmanager
def _told_in_time(name: str, timeout: float | None) -> Generator[None]:
    """A wait that ends by its time-out or by the user, each with its exit code."""
    from orchestrator.client import WorkflowUpdateRPCTimeoutOrCancelledError

    try:
        yield
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise CommandError(
            f"update {name!r} has not come so far within {timeout} s; it goes on, and "
            "`orchestrator update result` waits for it again",
            ExitCode.TIMED_OUT,
        ) from error
