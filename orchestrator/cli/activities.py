"""`orchestrator activity`: end, pause, reset or change a pending activity; start one without a
workflow, and what goes with it (see `standalone` beside this)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import Connection, Flag, connected, to_timedelta
from orchestrator.cli.standalone import cancel, result, start, terminate
from orchestrator.cli.standalone_listing import count, describe, list_
from orchestrator.cli.workflows import RunId, Seconds

if TYPE_CHECKING:
    from orchestrator.client import AsyncActivityHandle

_NO_WORKFLOW = "{}"
"""Stands for the workflow id of an activity that has none; no workflow can have this one."""
activity = App(
    name="activity",
    help="Activities: change pending ones; start, see and end those without a workflow.",
)
for command in (start, result, describe, list_, count, cancel, terminate):
    activity.command(command)
Result = Annotated[
    str | None, Parameter(name="--result", help="As JSON; default: nothing.", show_default=False)
]


@activity.command
async def complete(
    workflow_id: str,
    activity_id: str,
    /,
    *,
    result: Result = None,
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """End an activity with a result, whether its code runs, is left to others, or waits.

    Parameters
    ----------
    workflow_id
        Whose activity it is; {} for one without a workflow.
    activity_id
        As `describe` shows it.
    """
    async with _pending(workflow_id, activity_id, run_id, connection) as found:
        if result is None:
            await found.complete()
        else:
            await found.complete(_json(result))


@activity.command
async def fail(
    workflow_id: str,
    activity_id: str,
    /,
    *,
    message: str = "failed by an operator",
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Fail an activity for good, whatever its retry policy says.

    Parameters
    ----------
    workflow_id
        Whose activity it is; {} for one without a workflow.
    activity_id
        As `describe` shows it.
    message
        What the workflow's code is told.
    """
    from orchestrator.exceptions import ApplicationError

    async with _pending(workflow_id, activity_id, run_id, connection) as found:
        await found.fail(ApplicationError(message, type="Operator", non_retryable=True))


@activity.command
async def pause(
    workflow_id: str,
    activity_id: str,
    /,
    *,
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Let no further attempt begin. One that runs is told by its heartbeat.

    Parameters
    ----------
    workflow_id
        Whose activity it is; {} for one without a workflow.
    activity_id
        As `describe` shows it.
    """
    async with _pending(workflow_id, activity_id, run_id, connection) as found:
        await found.pause()


@activity.command
async def unpause(
    workflow_id: str,
    activity_id: str,
    /,
    *,
    reset_attempts: Flag = False,
    reset_heartbeat: Flag = False,
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Let attempts begin again, at once.

    Parameters
    ----------
    workflow_id
        Whose activity it is; {} for one without a workflow.
    activity_id
        As `describe` shows it.
    reset_attempts
        Count them anew, from 1.
    reset_heartbeat
        Forget what heartbeats have told.
    """
    async with _pending(workflow_id, activity_id, run_id, connection) as found:
        await found.unpause(reset_attempts=reset_attempts, reset_heartbeat=reset_heartbeat)


@activity.command
async def reset(
    workflow_id: str,
    activity_id: str,
    /,
    *,
    keep_paused: Flag = False,
    reset_heartbeat: Flag = False,
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Begin anew with attempt 1: at once, or after the attempt that runs.

    Parameters
    ----------
    workflow_id
        Whose activity it is; {} for one without a workflow.
    activity_id
        As `describe` shows it.
    keep_paused
        Leave a paused activity paused.
    reset_heartbeat
        Forget what heartbeats have told.
    """
    async with _pending(workflow_id, activity_id, run_id, connection) as found:
        await found.reset(keep_paused=keep_paused, reset_heartbeat=reset_heartbeat)


@activity.command(name="update-options")
async def update_options(
    workflow_id: str,
    activity_id: str,
    /,
    *,
    task_queue: str | None = None,
    schedule_to_close_timeout: Seconds = None,
    schedule_to_start_timeout: Seconds = None,
    start_to_close_timeout: Seconds = None,
    heartbeat_timeout: Seconds = None,
    restore_original: Flag = False,
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Change what is given and leave the rest. An attempt that runs keeps its options.

    Parameters
    ----------
    workflow_id
        Whose activity it is; {} for one without a workflow.
    activity_id
        As `describe` shows it.
    task_queue
        Whose workers run it.
    schedule_to_close_timeout
        Seconds over all attempts, since it was scheduled.
    schedule_to_start_timeout
        Seconds that an attempt may wait for a worker.
    start_to_close_timeout
        Seconds for one attempt.
    heartbeat_timeout
        Seconds between two signs of life.
    restore_original
        Take back all changes before, first.
    """
    async with _pending(workflow_id, activity_id, run_id, connection) as found:
        await found.update_options(
            task_queue=task_queue,
            schedule_to_close_timeout=to_timedelta(schedule_to_close_timeout),
            schedule_to_start_timeout=to_timedelta(schedule_to_start_timeout),
            start_to_close_timeout=to_timedelta(start_to_close_timeout),
            heartbeat_timeout=to_timedelta(heartbeat_timeout),
            restore_original=restore_original,
        )


@asynccontextmanager
async def _pending(
    workflow_id: str, activity_id: str, run_id: str | None, connection: Connection
) -> AsyncGenerator[AsyncActivityHandle, None]:
    async with connected(connection) as client:
        yield client.get_async_activity_handle(
            workflow_id=None if workflow_id == _NO_WORKFLOW else workflow_id,
            run_id=run_id,
            activity_id=activity_id,
        )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"--result: expected JSON, found {text!r}: {error}") from None
