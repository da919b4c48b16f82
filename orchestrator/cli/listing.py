"""`orchestrator list` and `orchestrator count`: the runs of a namespace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter, validators

from orchestrator.cli.options import Connection, connected
from orchestrator.cli.output import (
    Format,
    SumFormat,
    show_duration,
    show_time,
    write_json,
    write_line,
    write_table,
)

if TYPE_CHECKING:
    from orchestrator.client import WorkflowExecution

Status: TypeAlias = Literal[
    "running", "completed", "failed", "canceled", "terminated", "timed-out", "continued-as-new"
]
_COLUMNS = ("STATUS", "TYPE", "WORKFLOW ID", "RUN ID", "STARTED", "DURATION", "TASK QUEUE")
_LIMIT = 50


async def list_(
    *,
    status: Status | None = None,
    type: str | None = None,
    task_queue: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = _LIMIT,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """List workflows, the newest start first: open ones, and closed ones within retention.

    Parameters
    ----------
    status
        Only those that stand so.
    type
        Only those of this workflow type.
    task_queue
        Only those of this task queue.
    limit
        At most so many.
    """
    from orchestrator.client import WorkflowExecutionStatus

    wanted = None if status is None else WorkflowExecutionStatus[_constant(status)]
    async with connected(connection) as client:
        runs = [
            run
            async for run in client.list_workflows(
                status=wanted, workflow_type=type, task_queue=task_queue, limit=limit
            )
        ]
    if output == "table":
        now = datetime.now(UTC)
        write_table(_COLUMNS, (_row(run, now) for run in runs))
    for run in runs:
        if output == "json":
            write_json(run_as_json(run))
        elif output == "ids":
            write_line(run.id)


async def count(*, output: SumFormat = "table", connection: Connection = Connection()) -> None:
    """Count workflows by status: open ones, and closed ones within retention."""
    async with connected(connection) as client:
        counts = await client.count_workflows()
    if output == "json":
        write_json({status.name: number for status, number in counts.items()})
    else:
        rows = ((status.name, str(number)) for status, number in counts.items())
        write_table(("STATUS", "COUNT"), rows)


def run_as_json(run: WorkflowExecution) -> dict[str, object]:
    """A run as programs read it; times in ISO 8601."""
    return {
        "workflow_id": run.id,
        "run_id": run.run_id,
        "workflow_type": run.workflow_type,
        "task_queue": run.task_queue,
        "status": run.status.name,
        "start_time": run.start_time,
        "close_time": run.close_time,
    }


def _row(run: WorkflowExecution, now: datetime) -> tuple[str, ...]:
    return (
        run.status.name,
        run.workflow_type,
        run.id,
        run.run_id,
        show_time(run.start_time),
        show_duration(max((run.close_time or now) - run.start_time, timedelta())),
        run.task_queue,
    )


def _constant(choice: str) -> str:
    return choice.replace("-", "_").upper()
