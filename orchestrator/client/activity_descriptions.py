"""Standalone activities as a client sees them: in a listing, and in detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from orchestrator.common import Priority, RetryPolicy, TypedSearchAttributes
from orchestrator.converter import DataConverter
from orchestrator.core.activity_options import effective
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.ids import standalone_activity_id
from orchestrator.ports.store import AttemptRecord, AttemptState, RunView
from orchestrator.ports.visibility import IndexRow
from orchestrator.replay.policies import from_options
from orchestrator.replay.search_attributes import from_priority, from_search_attributes
from orchestrator.units import to_datetime, to_datetime_or_none, to_timedelta_or_none
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload


class ActivityExecutionStatus(IntEnum):
    """How a standalone activity stands; the numbers are Temporal's."""

    RUNNING = 1
    """It has not ended: it may wait for a worker, or for its next attempt."""
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    TIMED_OUT = 6


def activity_status_of(status: RunStatus) -> ActivityExecutionStatus:
    """The public word for a stored status."""
    return ActivityExecutionStatus[status.name]


@dataclass(frozen=True)
class ActivityExecution:
    """A standalone activity in a listing."""

    activity_id: str
    activity_run_id: str
    activity_type: str
    task_queue: str
    status: ActivityExecutionStatus
    scheduled_time: datetime
    close_time: datetime | None
    typed_search_attributes: TypedSearchAttributes

    @property
    def execution_duration(self) -> timedelta | None:
        """From the start to the end; None while it is open."""
        return None if self.close_time is None else self.close_time - self.scheduled_time

    @staticmethod
    def of_row(row: IndexRow) -> ActivityExecution:
        """The public form of a row of the index."""
        return ActivityExecution(
            activity_id=standalone_activity_id(row.workflow_id),
            activity_run_id=row.run_id,
            activity_type=row.workflow_type,
            task_queue=row.task_queue,
            status=activity_status_of(row.status),
            scheduled_time=to_datetime(row.started_at_ms),
            close_time=to_datetime_or_none(row.closed_at_ms),
            typed_search_attributes=from_search_attributes(row.search_attributes),
        )


@dataclass(frozen=True)
class ActivityExecutionDescription(ActivityExecution):
    """A standalone activity in detail. Options are those in force; what is of an attempt is of the
    current or the last one."""

    run_state: str | None
    """One of scheduled, running, backing_off while it is open."""
    attempt: int
    """From 1; 0 while a start delay lasts. Of a closed one: the attempt that ran when it ended, 0
    if none did."""
    paused: bool
    """No attempt begins until an operator lets it."""
    limited_by: str | None
    """The limit for which it waits: `key …`, `type …` or `queue`; of a concurrency limit also how
    many run at a time."""
    cancel_requested: bool
    canceled_reason: str | None
    last_started_time: datetime | None
    last_heartbeat_time: datetime | None
    last_worker_identity: str | None
    last_failure: BaseException | None
    """Why the attempt before the current one failed; of a closed activity: why it did."""
    next_attempt_schedule_time: datetime | None
    expiration_time: datetime | None
    """When schedule-to-close is over."""
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy
    priority: Priority
    summary: str | None
    raw_heartbeat_details: Sequence[Payload]
    values: DataConverter

    async def static_summary(self) -> str | None:
        """One line for people, as given at the start."""
        return self.summary

    async def heartbeat_details(
        self,
        type_hints: list[type] | None = None,
    ) -> Sequence[Any]:  # Any: user's values
        """What the newest heartbeat told."""
        return await self.values.decode(self.raw_heartbeat_details, type_hints)


async def description_of(
    view: RunView,
    history: Sequence[HistoryEvent],
    record: AttemptRecord | None,
    values: DataConverter,
) -> ActivityExecutionDescription:
    """The public form of a stored activity; `record` while it is open."""
    scheduled, started, started_at_ms, requested = None, None, None, None
    for event in history:
        match event.attributes:
            case e.ActivityTaskScheduled() as found:
                scheduled = found
            case e.ActivityTaskStarted() as found:
                started, started_at_ms = found, event.time_ms
            case e.WorkflowExecutionCancelRequested() as found:
                requested = found
            case _:
                pass
    if scheduled is None:
        raise RPCError(
            f"the history of {view.workflow_id!r} schedules nothing", RPCStatusCode.INTERNAL
        )
    if record is not None:
        scheduled = effective(scheduled, record.options)
        started_at_ms = record.started_at_ms
    failure = None if record is None else record.last_failure
    if isinstance(ended := view.closing and view.closing.attributes, e.WorkflowExecutionFailed):
        failure = ended.failure
    waits = record is not None and record.state is AttemptState.BACKING_OFF and not record.paused
    identity = None if started is None else started.identity
    return ActivityExecutionDescription(
        activity_id=scheduled.activity_id,
        activity_run_id=view.run_id,
        activity_type=scheduled.activity_type,
        task_queue=scheduled.task_queue,
        status=activity_status_of(view.status),
        scheduled_time=to_datetime(view.started_at_ms),
        close_time=to_datetime_or_none(view.closed_at_ms),
        typed_search_attributes=from_search_attributes(view.search_attributes),
        run_state=None if record is None else record.state.value,
        attempt=(started.attempt if started else 0) if record is None else record.attempt,
        paused=record is not None and record.paused,
        limited_by=None if record is None else record.limited_by,
        cancel_requested=requested is not None,
        canceled_reason=None if requested is None else requested.reason or None,
        last_started_time=to_datetime_or_none(started_at_ms),
        last_heartbeat_time=None if record is None else to_datetime_or_none(record.heartbeat_at_ms),
        last_worker_identity=identity if record is None else record.holder,
        last_failure=None if failure is None else await values.decode_failure(failure),
        next_attempt_schedule_time=to_datetime(record.attempt_scheduled_at_ms)
        if record is not None and waits
        else None,
        expiration_time=None if record is None else to_datetime_or_none(record.deadline_ms),
        schedule_to_close_timeout=to_timedelta_or_none(scheduled.schedule_to_close_timeout_ms),
        schedule_to_start_timeout=to_timedelta_or_none(scheduled.schedule_to_start_timeout_ms),
        start_to_close_timeout=to_timedelta_or_none(scheduled.start_to_close_timeout_ms),
        heartbeat_timeout=to_timedelta_or_none(scheduled.heartbeat_timeout_ms),
        retry_policy=from_options(scheduled.retry_policy),
        priority=from_priority(scheduled.priority),
        summary=scheduled.summary or None,
        raw_heartbeat_details=() if record is None else record.details,
        values=values,
    )
