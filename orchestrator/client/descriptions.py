"""Runs as a client sees them: status, identity, times, what is pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from orchestrator.client.pending_children import PendingChildWorkflow
from orchestrator.common import Priority, TypedSearchAttributes
from orchestrator.converter import DataConverter
from orchestrator.core.activity_options import effective
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.ports.store import AttemptRecord, AttemptState, RunView
from orchestrator.ports.visibility import IndexRow
from orchestrator.replay.search_attributes import from_priority, from_search_attributes
from orchestrator.units import to_datetime, to_datetime_or_none
from orchestrator.wire.events import (
    ActivityTaskScheduled,
    HistoryEvent,
    WorkflowExecutionStarted,
)
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload


class WorkflowExecutionStatus(IntEnum):
    """How a run stands; the numbers are Temporal's."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7


def status_of(status: RunStatus) -> WorkflowExecutionStatus:
    """The public word for a stored status."""
    return WorkflowExecutionStatus[status.name]


@dataclass(frozen=True)
class WorkflowExecution:
    """A run in a listing."""

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: WorkflowExecutionStatus
    start_time: datetime
    close_time: datetime | None
    typed_search_attributes: TypedSearchAttributes

    @staticmethod
    def of_row(row: IndexRow) -> WorkflowExecution:
        """The public form of a row of the index."""
        return WorkflowExecution(
            id=row.workflow_id,
            run_id=row.run_id,
            workflow_type=row.workflow_type,
            task_queue=row.task_queue,
            status=status_of(row.status),
            start_time=to_datetime(row.started_at_ms),
            close_time=to_datetime_or_none(row.closed_at_ms),
            typed_search_attributes=from_search_attributes(row.search_attributes),
        )


@dataclass(frozen=True)
class PendingActivity:
    """An activity that has not ended: its attempt, and what went wrong before."""

    activity_id: str
    activity_type: str
    scheduled_event_id: int
    state: str
    """One of scheduled, running, backing_off, done."""
    attempt: int
    identity: str | None
    scheduled_time: datetime
    last_started_time: datetime | None
    last_heartbeat_time: datetime | None
    last_failure: str | None
    cancel_requested: bool
    summary: str | None
    completed_outside: bool
    """Its code has left it to be completed from outside."""
    paused: bool
    """No attempt begins until an operator lets it."""
    task_queue: str
    """As an operator may have changed it."""
    limited_by: str | None
    """The limit that it waits for: its turn of a rate (`key …`, `type …` or `queue`), or room under
    a concurrency limit (the same, and how many there may be: `key acme, 2 at a time`)."""
    next_attempt_time: datetime | None
    """When the attempt that backs off, or waits for its turn, may begin; when one that waits for
    room asks again, unless it is called before."""

    @staticmethod
    def of_record(
        record: AttemptRecord, scheduled: ActivityTaskScheduled, *, last_failure: str | None
    ) -> PendingActivity:
        """The public form of an attempt's record."""
        return PendingActivity(
            activity_id=scheduled.activity_id,
            activity_type=scheduled.activity_type,
            scheduled_event_id=record.event_id,
            state=record.state.value,
            attempt=record.attempt,
            identity=record.holder,
            scheduled_time=to_datetime(record.scheduled_at_ms),
            last_started_time=to_datetime_or_none(record.started_at_ms),
            last_heartbeat_time=to_datetime_or_none(record.heartbeat_at_ms),
            last_failure=last_failure,
            cancel_requested=record.cancel_requested,
            summary=scheduled.summary or None,
            completed_outside=record.detached,
            paused=record.paused,
            task_queue=effective(scheduled, record.options).task_queue,
            limited_by=record.limited_by,
            next_attempt_time=to_datetime(record.attempt_scheduled_at_ms)
            if record.state is AttemptState.BACKING_OFF and not record.paused
            else None,
        )


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """A run in detail. `problem` says why its newest workflow task failed; None: it did not."""

    first_run_id: str
    history_length: int
    problem: str | None
    pending_activities: Sequence[PendingActivity]
    pending_children: Sequence[PendingChildWorkflow]
    parent_id: str | None
    parent_run_id: str | None
    root_id: str | None
    root_run_id: str | None
    """Parent and root are None of a run that is no child."""
    attempt: int
    """1 and the retries of the workflow before this run."""
    cron_schedule: str | None
    priority: Priority
    summary: str | None
    """For people; as given at the start, so are the details."""
    details: str | None
    raw_memo: Mapping[str, Payload]
    values: DataConverter

    async def static_summary(self) -> str | None:
        """One line for people, as given at the start."""
        return self.summary

    async def static_details(self) -> str | None:
        """A page for people, as given at the start."""
        return self.details

    async def memo(self) -> Mapping[str, Any]:  # Any: user's values
        """The notes of the run: those of its start, and what its code has changed."""
        memo = await self.values.unseal(dict(self.raw_memo))
        return {key: self.values.from_payloads([memo[key]])[0] for key in memo}

    async def memo_value(
        self,
        key: str,
        default: Any = None,  # Any: user's value
        *,
        type_hint: type | None = None,
    ) -> Any:  # Any: user's value
        """One note, or `default` when there is none of this name."""
        payload = self.raw_memo.get(key)
        if payload is None:
            return default
        hints = None if type_hint is None else [type_hint]
        return (await self.values.decode([payload], hints))[0]

    @staticmethod
    def of_view(
        view: RunView,
        first: HistoryEvent,
        pending: Sequence[PendingActivity],
        children: Sequence[PendingChildWorkflow],
        values: DataConverter,
    ) -> WorkflowExecutionDescription:
        """The public form of a stored run, whose event 1 is `first`."""
        started = first.attributes
        if not isinstance(started, WorkflowExecutionStarted):
            raise RPCError(f"event 1 is a {first.type}", RPCStatusCode.INTERNAL)
        parent, root = started.parent, started.root
        return WorkflowExecutionDescription(
            id=view.workflow_id,
            run_id=view.run_id,
            workflow_type=view.workflow_type,
            task_queue=view.task_queue,
            status=status_of(view.status),
            start_time=to_datetime(view.started_at_ms),
            close_time=to_datetime_or_none(view.closed_at_ms),
            first_run_id=view.first_run_id,
            history_length=view.history_length,
            problem=view.problem,
            pending_activities=pending,
            pending_children=children,
            parent_id=None if parent is None else parent.workflow_id,
            parent_run_id=None if parent is None else parent.run_id,
            root_id=None if root is None else root.workflow_id,
            root_run_id=None if root is None else root.run_id,
            typed_search_attributes=from_search_attributes(view.search_attributes),
            attempt=started.attempt,
            cron_schedule=started.cron_schedule or None,
            priority=from_priority(started.priority),
            summary=started.static_summary or None,
            details=started.static_details or None,
            raw_memo=started.memo if view.memo is None else view.memo,
            values=values,
        )
