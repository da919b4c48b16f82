"""`orchestrator list` and `orchestrator count`: the runs of a namespace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Group, Parameter, validators

from orchestrator.cli.attributes import ATTRIBUTE_HELP, read_attributes
from orchestrator.cli.options import Connection, connected, to_constant
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
    from orchestrator.client import WorkflowExecution, WorkflowFilter

Status: TypeAlias = Literal[
    "running", "completed", "failed", "canceled", "terminated", "timed-out", "continued-as-new"
]
_COLUMNS = ("STATUS", "TYPE", "WORKFLOW ID", "RUN ID", "STARTED", "DURATION", "TASK QUEUE")
_LIMIT = 50
_FILTER = Group("Filter", sort_key=10)


@Parameter(name="*")
@dataclass(frozen=True)
class Wanted:
    """Which workflows are meant."""

    status: Annotated[Status | None, Parameter(group=_FILTER, help="Only those that stand so.")] = (
        None
    )
    type: Annotated[
        str | None, Parameter(group=_FILTER, help="Only those of this workflow type.")
    ] = None
    task_queue: Annotated[
        str | None, Parameter(group=_FILTER, help="Only those of this task queue.")
    ] = None
    started_from: Annotated[
        datetime | None, Parameter(group=_FILTER, help="Only those that started then or later.")
    ] = None
    started_before: Annotated[
        datetime | None, Parameter(group=_FILTER, help="Only those that started before.")
    ] = None
    search_attribute: Annotated[
        tuple[str, ...],
        Parameter(group=_FILTER, negative="", show_default=False, help=f"{ATTRIBUTE_HELP}."),
    ] = ()

    def filter(self) -> WorkflowFilter:
        """As the client takes it.

        Raises:
            CommandError: a search attribute cannot be read.
        """
        from orchestrator.client import WorkflowExecutionStatus

        status = None if self.status is None else WorkflowExecutionStatus[to_constant(self.status)]
        return {
            "status": status,
            "workflow_type": self.type,
            "task_queue": self.task_queue,
            "started_from": self.started_from,
            "started_before": self.started_before,
            "search_attributes": read_attributes(self.search_attribute),
        }


async def list_(
    *,
    wanted: Wanted = Wanted(),
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = _LIMIT,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """List workflows, the newest start first: open ones, and closed ones within retention.

    Parameters
    ----------
    limit
        At most so many.
    """
    asked = wanted.filter()
    async with connected(connection) as client:
        runs = [run async for run in client.list_workflows(limit=limit, **asked)]
    if output == "table":
        now = datetime.now(UTC)
        write_table(_COLUMNS, (_row(run, now) for run in runs))
    for run in runs:
        if output == "json":
            write_json(run_as_json(run))
        elif output == "ids":
            write_line(run.id)


async def count(
    *,
    wanted: Wanted = Wanted(),
    output: SumFormat = "table",
    connection: Connection = Connection(),
) -> None:
    """Count workflows by status: open ones, and closed ones within retention."""
    asked = wanted.filter()
    async with connected(connection) as client:
        counts = await client.count_workflows(**asked)
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
        "search_attributes": {pair.key.name: pair.value for pair in run.typed_search_attributes},
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
