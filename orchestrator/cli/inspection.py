"""`orchestrator describe` and `orchestrator show`: one run, as it stands and as it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.listing import run_as_json
from orchestrator.cli.options import Connection, Flag, connected
from orchestrator.cli.output import (
    Format,
    show_time,
    write_fields,
    write_json,
    write_line,
    write_table,
)
from orchestrator.cli.workflows import RunId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.client import (
        Client,
        PendingActivity,
        PendingChildWorkflow,
        WorkflowExecutionDescription,
        WorkflowHandle,
    )
    from orchestrator.wire.events import HistoryEvent

_PENDING = ("ACTIVITY", "EVENT", "STATE", "ATTEMPT", "WORKER", "LAST FAILURE")
_CHILDREN = ("CHILD", "EVENT", "RUN", "WHEN THE PARENT CLOSES")


async def describe(
    workflow_id: str,
    /,
    *,
    run_id: RunId = None,
    details: Flag = False,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """Show how a workflow stands: status, times, what is pending, and why it is stalled.

    Parameters
    ----------
    workflow_id
        Which one.
    details
        Also what its code has set as current details; this asks a worker.
    """
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        found = await handle.describe()
        memo = dict(await found.memo())
        current = await _current_details(handle) if details else ""
    if output == "ids":
        write_line(found.id)
    elif output == "json":
        write_json(_as_json(found, memo, current))
    else:
        write_description(found, memo, current)


async def show(
    workflow_id: str,
    /,
    *,
    run_id: RunId = None,
    json: Flag = False,
    redis: Flag = False,
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """Show the history of a workflow as a timeline, and what is pending.

    Times count from the start of the run.

    Parameters
    ----------
    workflow_id
        Which one.
    json
        Events as they are stored, one JSON object a line; the same as -o json.
    redis
        Print the redis-cli commands that show the same instead of the history.
    """
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        if redis:
            await _write_redis_lines(client, handle, connection)
            return
        events = [event async for event in handle.fetch_history_events()]
        if json or output == "json":
            _write_events(events)
        elif output == "ids":
            for event in events:
                write_line(str(event.event_id))
        else:
            values = client.data_converter
            await write_timeline(handle, [await values.unseal(event) for event in events])


async def _write_redis_lines(
    client: Client,
    handle: WorkflowHandle[Any, Any],  # Any: nothing is known of a workflow given by name
    connection: Connection,
) -> None:
    from orchestrator.wiring import redis_cli_lines

    found = await handle.describe()
    for line in redis_cli_lines(client.services.settings, found.id, found.run_id):
        write_line(line)


def _write_events(events: Sequence[HistoryEvent]) -> None:
    import msgspec

    from orchestrator.wire.codec import event_fields

    for event in events:
        type_, time, data = event_fields(event)
        write_json(
            {"event_id": event.event_id, "time": time, "type": type_, "data": msgspec.Raw(data)}
        )


async def write_timeline(
    handle: WorkflowHandle[Any, Any],  # Any: nothing is known of a workflow given by name
    events: Sequence[HistoryEvent],
) -> None:
    """Print what happened in a run, step by step, and what is pending."""
    from orchestrator.cli.timeline import COLUMNS, timeline

    found = await handle.describe()
    write_line(f"{found.workflow_type} {found.id}, run {found.run_id}: {found.status.name}")
    write_table(COLUMNS, timeline(events))
    if found.problem is not None:
        write_line(f"stalled: {found.problem}")
    _write_pending(found.pending_activities)
    _write_children(found.pending_children)


async def _current_details(handle: WorkflowHandle[Any, Any]) -> str:  # Any: as above
    """What the code of a run has set for people to read; empty: nothing."""
    from orchestrator.replay.metadata import METADATA_QUERY

    metadata: dict[str, Any] = await handle.query(METADATA_QUERY)  # Any: plain JSON
    return str(metadata["currentDetails"])


def _attributes(found: WorkflowExecutionDescription) -> str:
    pairs = found.typed_search_attributes
    return ", ".join(f"{pair.key.name}={pair.value}" for pair in pairs)


def _priority(found: WorkflowExecutionDescription) -> str:
    asked = found.priority
    parts = (asked.priority_key, asked.fairness_key, asked.fairness_weight)
    return " ".join(str(part) for part in parts if part is not None)


def write_description(
    found: WorkflowExecutionDescription,
    memo: dict[str, Any],  # Any: user's values
    current_details: str,
) -> None:
    """Print what is known of a run, and what is pending."""
    import msgspec

    notes = msgspec.json.encode(memo, enc_hook=str).decode() if memo else ""
    write_fields(
        {
            "workflow id": found.id,
            "run id": found.run_id,
            "first run id": "" if found.first_run_id == found.run_id else found.first_run_id,
            "type": found.workflow_type,
            "task queue": found.task_queue,
            "status": found.status.name,
            "started": show_time(found.start_time),
            "closed": show_time(found.close_time),
            "events": str(found.history_length),
            "summary": found.summary or "",
            "details": found.details or "",
            "search attributes": _attributes(found),
            "memo": notes,
            "attempt": "" if found.attempt == 1 else str(found.attempt),
            "schedule": found.cron_schedule or "",
            "priority": _priority(found),
            "current details": current_details,
            "parent": f"{found.parent_id}, run {found.parent_run_id}" if found.parent_id else "",
            "root": f"{found.root_id}, run {found.root_run_id}" if found.root_id else "",
            "stalled": found.problem or "",
        }
    )
    _write_pending(found.pending_activities)
    _write_children(found.pending_children)


def _write_pending(pending: Sequence[PendingActivity]) -> None:
    rows = [
        (
            f"{one.activity_type} ({one.activity_id})",
            str(one.scheduled_event_id),
            one.state
            + (", paused" if one.paused else "")
            + (f", waits for its turn: {one.limited_by}" if one.limited_by else "")
            + (", completed from outside" if one.completed_outside else "")
            + (", cancel requested" if one.cancel_requested else ""),
            str(one.attempt),
            one.identity or "",
            one.last_failure or "",
        )
        for one in pending
    ]
    if rows:
        write_line("")
        write_table(_PENDING, rows)


def _write_children(pending: Sequence[PendingChildWorkflow]) -> None:
    rows = [
        (
            f"{one.workflow_type} ({one.workflow_id})",
            str(one.initiated_event_id),
            one.run_id or "not started yet",
            one.parent_close_policy,
        )
        for one in pending
    ]
    if rows:
        write_line("")
        write_table(_CHILDREN, rows)


def _as_json(
    found: WorkflowExecutionDescription,
    memo: dict[str, Any],  # Any: user's values
    current_details: str,
) -> dict[str, object]:
    return {
        **run_as_json(found),
        "first_run_id": found.first_run_id,
        "history_length": found.history_length,
        "problem": found.problem,
        "memo": memo,
        "attempt": found.attempt,
        "cron_schedule": found.cron_schedule,
        "static_summary": found.summary,
        "static_details": found.details,
        "current_details": current_details or None,
        "pending_activities": found.pending_activities,
        "pending_children": found.pending_children,
        "parent_id": found.parent_id,
        "parent_run_id": found.parent_run_id,
        "root_id": found.root_id,
        "root_run_id": found.root_run_id,
    }
