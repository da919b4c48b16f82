"""`orchestrator activity list`, `count`, `describe`: activities without a workflow, looked at."""

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
    write_fields,
    write_json,
    write_line,
    write_table,
)
from orchestrator.cli.standalone import RunId

if TYPE_CHECKING:
    from orchestrator.client import (
        ActivityExecution,
        ActivityExecutionDescription,
        ActivityFilter,
    )

Status: TypeAlias = Literal["running", "completed", "failed", "canceled", "terminated", "timed-out"]
_COLUMNS = ("STATUS", "TYPE", "ACTIVITY ID", "RUN ID", "STARTED", "DURATION", "TASK QUEUE")
_LIMIT = 50
_FILTER = Group("Filter", sort_key=10)


@Parameter(name="*")
@dataclass(frozen=True)
class Wanted:
    """Which activities are meant."""

    status: Annotated[Status | None, Parameter(group=_FILTER, help="Only those that stand so.")] = (
        None
    )
    type: Annotated[
        str | None, Parameter(group=_FILTER, help="Only those of this activity type.")
    ] = None
    task_queue: Annotated[
        str | None, Parameter(group=_FILTER, help="Only those of this task queue.")
    ] = None
    search_attribute: Annotated[
        tuple[str, ...],
        Parameter(group=_FILTER, negative="", show_default=False, help=f"{ATTRIBUTE_HELP}."),
    ] = ()

    def filter(self) -> ActivityFilter:
        """As the client takes it.

        Raises:
            CommandError: a search attribute cannot be read.
        """
        from orchestrator.client import ActivityExecutionStatus

        status = None if self.status is None else ActivityExecutionStatus[to_constant(self.status)]
        return {
            "status": status,
            "activity_type": self.type,
            "task_queue": self.task_queue,
            "search_attributes": read_attributes(self.search_attribute),
        }


async def list_(
    *,
    wanted: Wanted = Wanted(),
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = _LIMIT,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """List activities without a workflow, the newest start first: open, or within retention.

    Parameters
    ----------
    limit
        At most so many.
    """
    asked = wanted.filter()
    async with connected(connection) as client:
        found = [one async for one in client.list_activities(limit=limit, **asked)]
    if output == "table":
        now = datetime.now(UTC)
        write_table(_COLUMNS, (_row(one, now) for one in found))
    for one in found:
        if output == "json":
            write_json(_of_listing(one))
        elif output == "ids":
            write_line(one.activity_id)


async def count(
    *,
    wanted: Wanted = Wanted(),
    output: SumFormat = "table",
    connection: Connection = Connection(),
) -> None:
    """Count activities without a workflow by status: open ones, and ended ones within retention."""
    asked = wanted.filter()
    async with connected(connection) as client:
        counts = await client.count_activities(**asked)
    if output == "json":
        write_json({status.name: number for status, number in counts.items()})
    else:
        rows = ((status.name, str(number)) for status, number in counts.items())
        write_table(("STATUS", "COUNT"), rows)


async def describe(
    activity_id: str,
    /,
    *,
    run_id: RunId = None,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """Show how an activity without a workflow stands: status, attempts, times, what went wrong.

    Parameters
    ----------
    activity_id
        Which one.
    """
    async with connected(connection) as client:
        found = await client.get_activity_handle(activity_id, run_id=run_id).describe()
    if output == "ids":
        write_line(found.activity_id)
    elif output == "json":
        write_json(_as_json(found))
    else:
        _write_description(found)


def _row(one: ActivityExecution, now: datetime) -> tuple[str, ...]:
    return (
        one.status.name,
        one.activity_type,
        one.activity_id,
        one.activity_run_id,
        show_time(one.scheduled_time),
        show_duration(max((one.close_time or now) - one.scheduled_time, timedelta())),
        one.task_queue,
    )


def _of_listing(one: ActivityExecution) -> dict[str, object]:
    """As programs read it; times in ISO 8601."""
    return {
        "activity_id": one.activity_id,
        "run_id": one.activity_run_id,
        "activity_type": one.activity_type,
        "task_queue": one.task_queue,
        "status": one.status.name,
        "scheduled_time": one.scheduled_time,
        "close_time": one.close_time,
        "search_attributes": {pair.key.name: pair.value for pair in one.typed_search_attributes},
    }


def _as_json(found: ActivityExecutionDescription) -> dict[str, object]:
    return {
        **_of_listing(found),
        "run_state": found.run_state,
        "attempt": found.attempt,
        "paused": found.paused,
        "limited_by": found.limited_by,
        "cancel_requested": found.cancel_requested,
        "canceled_reason": found.canceled_reason,
        "last_started_time": found.last_started_time,
        "last_heartbeat_time": found.last_heartbeat_time,
        "last_worker_identity": found.last_worker_identity,
        "last_failure": None if found.last_failure is None else str(found.last_failure),
        "next_attempt_schedule_time": found.next_attempt_schedule_time,
        "expiration_time": found.expiration_time,
        "summary": found.summary,
    }


def _write_description(found: ActivityExecutionDescription) -> None:
    attributes = found.typed_search_attributes
    state = found.run_state or ""
    write_fields(
        {
            "activity": found.activity_id,
            "run": found.activity_run_id,
            "type": found.activity_type,
            "task queue": found.task_queue,
            "status": found.status.name,
            "state": f"{state}, paused" if found.paused else state,
            "waits for": found.limited_by or "",
            "started": show_time(found.scheduled_time),
            "closed": show_time(found.close_time),
            "attempt": str(found.attempt),
            "last began": show_time(found.last_started_time),
            "last heartbeat": show_time(found.last_heartbeat_time),
            "worker": found.last_worker_identity or "",
            "next attempt": show_time(found.next_attempt_schedule_time),
            "expires": show_time(found.expiration_time),
            "last failure": "" if found.last_failure is None else str(found.last_failure),
            "cancel": found.canceled_reason or "requested" if found.cancel_requested else "",
            "summary": found.summary or "",
            "search attributes": ", ".join(f"{one.key.name}={one.value}" for one in attributes),
        }
    )
