"""Wishes: one function per command of an activation → the event it becomes and what must be stored
beside it.

The event ids are given out here, in program order. Events are applied to the state as they are
made, so a command may speak of what an earlier one of the same activation began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from orchestrator.core.close import close_of, continue_as_new
from orchestrator.core.fold import apply
from orchestrator.core.state import ExecutionState
from orchestrator.core.timeouts import first_due_at_ms
from orchestrator.core.transition import (
    ActivityToCancel,
    ActivityToSchedule,
    Close,
    DueKind,
    TimerToArm,
    UpdateStage,
)
from orchestrator.ids import ActivityKey, EventId, RunId, UpdateId
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import CommandEvent, HistoryEvent
from orchestrator.wire.inbox import ActivityCanceled


@dataclass(slots=True)
class Wishes:
    """What the commands of one commit add up to."""

    events: list[HistoryEvent] = field(default_factory=list[HistoryEvent])
    activities: list[ActivityToSchedule] = field(default_factory=list[ActivityToSchedule])
    cancels: list[ActivityToCancel] = field(default_factory=list[ActivityToCancel])
    timers: list[TimerToArm] = field(default_factory=list[TimerToArm])
    disarm: list[EventId] = field(default_factory=list[EventId])
    updates: list[UpdateStage] = field(default_factory=list[UpdateStage])
    close: Close | None = None


def handle(
    state: ExecutionState,
    command: c.Command,
    wishes: Wishes,
    *,
    now_ms: int,
    unseen_messages: int,
    mint: Callable[[], str],
) -> None:
    """Turn `command` into its event and what goes with it, into `wishes` and `state`.

    `now_ms` is the activation's time: a marker of something that took its time moves it on for all
    that follows. `mint` gives fresh random texts. `unseen_messages` is what a
    forced close leaves unread; 0 otherwise.
    """
    now_ms = max(now_ms, state.last_time_ms)
    match command:
        case c.ScheduleActivityTask():
            _schedule_activity(state, command, wishes, now_ms=now_ms, key=ActivityKey(mint()))
        case c.RequestCancelActivityTask():
            _cancel_activity(state, command, wishes, now_ms=now_ms)
        case c.StartTimer():
            _start_timer(state, command, wishes, now_ms=now_ms)
        case c.CancelTimer():
            _cancel_timer(state, command, wishes, now_ms=now_ms)
        case c.RecordMarker():
            _record_marker(state, command, wishes, now_ms=max(now_ms, command.time_ms))
        case c.UpsertSearchAttributes() | c.ModifyWorkflowProperties():
            _record(state, _note(state, command), wishes, now_ms=now_ms)
        case c.AcceptUpdate():
            _accept_update(state, command, wishes, now_ms=now_ms)
        case c.CompleteUpdate():
            _complete_update(state, command, wishes, now_ms=now_ms)
        case c.StartChildWorkflowExecution():
            _start_child(state, command, wishes, now_ms=now_ms)
        case c.SignalExternalWorkflowExecution():
            _signal_external(state, command, wishes, now_ms=now_ms)
        case c.RequestCancelExternalWorkflowExecution():
            _cancel_external(state, command, wishes, now_ms=now_ms)
        case c.ContinueAsNewWorkflowExecution():
            event, close = continue_as_new(state, command, now_ms=now_ms, run_id=RunId(mint()))
            _record(state, event, wishes, now_ms=now_ms)
            _close(wishes, close)
        case (
            c.CompleteWorkflowExecution() | c.FailWorkflowExecution() | c.CancelWorkflowExecution()
        ):
            event, close = close_of(
                state, command, unseen_messages=unseen_messages, now_ms=now_ms, mint=mint
            )
            _record(state, event, wishes, now_ms=now_ms)
            _close(wishes, close)
        case _ as unknown:
            assert_never(unknown)


def _record(
    state: ExecutionState, attributes: CommandEvent, wishes: Wishes, *, now_ms: int
) -> HistoryEvent:
    event = HistoryEvent(event_id=state.last_event_id + 1, time_ms=now_ms, attributes=attributes)
    apply(state, event)
    wishes.events.append(event)
    return event


def _note(
    state: ExecutionState,
    command: c.UpsertSearchAttributes | c.ModifyWorkflowProperties,
) -> CommandEvent:
    """The event of a command that changes nothing but what is known of the run."""
    task = state.task_completed_event_id
    match command:
        case c.UpsertSearchAttributes(search_attributes=changes):
            return e.UpsertWorkflowSearchAttributes(
                search_attributes=changes, task_completed_event_id=task
            )
        case c.ModifyWorkflowProperties(upserted_memo=notes):
            return e.WorkflowPropertiesModified(upserted_memo=notes, task_completed_event_id=task)
        case _ as unknown:
            assert_never(unknown)


def _close(wishes: Wishes, close: Close) -> None:
    """A closed run has no timers; what it sent to others is on its way all the same, and what
    becomes of its children is a duty of the close."""
    wishes.close = close
    wishes.timers = [timer for timer in wishes.timers if timer.kind is DueKind.EXTERNAL]


def _schedule_activity(
    state: ExecutionState,
    command: c.ScheduleActivityTask,
    wishes: Wishes,
    *,
    now_ms: int,
    key: ActivityKey,
) -> None:
    scheduled = e.ActivityTaskScheduled(
        activity_id=command.activity_id,
        activity_type=command.activity_type,
        task_queue=command.task_queue,
        input=command.input,
        header=command.header,
        schedule_to_close_timeout_ms=command.schedule_to_close_timeout_ms,
        schedule_to_start_timeout_ms=command.schedule_to_start_timeout_ms,
        start_to_close_timeout_ms=command.start_to_close_timeout_ms,
        heartbeat_timeout_ms=command.heartbeat_timeout_ms,
        retry_policy=command.retry_policy,
        summary=command.summary,
        priority=command.priority,
        task_completed_event_id=state.task_completed_event_id,
    )
    event = _record(state, scheduled, wishes, now_ms=now_ms)
    to_close = command.schedule_to_close_timeout_ms
    wishes.activities.append(
        ActivityToSchedule(
            event_id=EventId(event.event_id),
            key=key,
            scheduled_at_ms=now_ms,
            due_at_ms=first_due_at_ms(scheduled, now_ms=now_ms),
            deadline_ms=None if to_close is None else now_ms + to_close,
        )
    )


def _cancel_activity(
    state: ExecutionState, command: c.RequestCancelActivityTask, wishes: Wishes, *, now_ms: int
) -> None:
    event_id = state.activity_ids[command.activity_id]
    requested = e.ActivityTaskCancelRequested(
        scheduled_event_id=event_id, task_completed_event_id=state.task_completed_event_id
    )
    _record(state, requested, wishes, now_ms=now_ms)
    entry = ActivityCanceled(run_id=state.run_id, scheduled_event_id=event_id)
    wishes.cancels.append(ActivityToCancel(event_id=EventId(event_id), entry=entry))


def _start_child(
    state: ExecutionState, command: c.StartChildWorkflowExecution, wishes: Wishes, *, now_ms: int
) -> None:
    initiated = r.StartChildWorkflowExecutionInitiated(
        workflow_id=command.workflow_id,
        workflow_type=command.workflow_type,
        task_queue=command.task_queue,
        input=command.input,
        header=command.header,
        execution_timeout_ms=command.execution_timeout_ms,
        run_timeout_ms=command.run_timeout_ms,
        task_timeout_ms=command.task_timeout_ms,
        parent_close_policy=command.parent_close_policy,
        id_reuse_policy=command.id_reuse_policy,
        id_conflict_policy=command.id_conflict_policy,
        retry_policy=command.retry_policy,
        memo=command.memo,
        search_attributes=command.search_attributes,
        cron_schedule=command.cron_schedule,
        static_summary=command.static_summary,
        static_details=command.static_details,
        priority=command.priority,
        task_completed_event_id=state.task_completed_event_id,
    )
    event = _record(state, initiated, wishes, now_ms=now_ms)
    _arm(wishes, event, DueKind.CHILD)


def _signal_external(
    state: ExecutionState,
    command: c.SignalExternalWorkflowExecution,
    wishes: Wishes,
    *,
    now_ms: int,
) -> None:
    initiated = r.SignalExternalWorkflowExecutionInitiated(
        workflow_id=command.workflow_id,
        signal_name=command.signal_name,
        run_id=command.run_id,
        input=command.input,
        header=command.header,
        child_initiated_event_id=command.child_initiated_event_id,
        follows_event_id=state.newest_externals.get(command.workflow_id, 0),
        task_completed_event_id=state.task_completed_event_id,
    )
    event = _record(state, initiated, wishes, now_ms=now_ms)
    _arm(wishes, event, DueKind.EXTERNAL)


def _cancel_external(
    state: ExecutionState,
    command: c.RequestCancelExternalWorkflowExecution,
    wishes: Wishes,
    *,
    now_ms: int,
) -> None:
    initiated = r.RequestCancelExternalWorkflowExecutionInitiated(
        workflow_id=command.workflow_id,
        run_id=command.run_id,
        reason=command.reason,
        child_initiated_event_id=command.child_initiated_event_id,
        follows_event_id=state.newest_externals.get(command.workflow_id, 0),
        task_completed_event_id=state.task_completed_event_id,
    )
    event = _record(state, initiated, wishes, now_ms=now_ms)
    _arm(wishes, event, DueKind.EXTERNAL)


def _arm(wishes: Wishes, event: HistoryEvent, kind: DueKind) -> None:
    """The act of `event` is due at once: the row is all that stands between it and a crash."""
    wishes.timers.append(
        TimerToArm(event_id=EventId(event.event_id), fire_at_ms=event.time_ms, kind=kind)
    )


def _start_timer(
    state: ExecutionState, command: c.StartTimer, wishes: Wishes, *, now_ms: int
) -> None:
    started = e.TimerStarted(
        timer_id=command.timer_id,
        start_to_fire_ms=command.start_to_fire_ms,
        summary=command.summary,
        task_completed_event_id=state.task_completed_event_id,
    )
    event = _record(state, started, wishes, now_ms=now_ms)
    wishes.timers.append(
        TimerToArm(event_id=EventId(event.event_id), fire_at_ms=now_ms + command.start_to_fire_ms)
    )


def _cancel_timer(
    state: ExecutionState, command: c.CancelTimer, wishes: Wishes, *, now_ms: int
) -> None:
    event_id = EventId(state.timer_ids[command.timer_id])
    canceled = e.TimerCanceled(
        timer_id=command.timer_id,
        started_event_id=event_id,
        task_completed_event_id=state.task_completed_event_id,
    )
    _record(state, canceled, wishes, now_ms=now_ms)
    wishes.disarm.append(event_id)


def _record_marker(
    state: ExecutionState, command: c.RecordMarker, wishes: Wishes, *, now_ms: int
) -> None:
    recorded = e.MarkerRecorded(
        marker_name=command.marker_name,
        details=command.details,
        failure=command.failure,
        task_completed_event_id=state.task_completed_event_id,
    )
    _record(state, recorded, wishes, now_ms=now_ms)


def _accept_update(
    state: ExecutionState, command: c.AcceptUpdate, wishes: Wishes, *, now_ms: int
) -> None:
    accepted = e.WorkflowExecutionUpdateAccepted(
        update_id=command.update_id,
        update_name=command.update_name,
        input=command.input,
        header=command.header,
        identity=command.identity,
        sequencing_event_id=command.sequencing_event_id,
    )
    event = _record(state, accepted, wishes, now_ms=now_ms)
    wishes.updates.append(
        UpdateStage(
            update_id=UpdateId(command.update_id), accepted_event_id=EventId(event.event_id)
        )
    )


def _complete_update(
    state: ExecutionState, command: c.CompleteUpdate, wishes: Wishes, *, now_ms: int
) -> None:
    accepted_event_id = EventId(state.updates[command.update_id].accepted_event_id)
    completed = e.WorkflowExecutionUpdateCompleted(
        update_id=command.update_id,
        accepted_event_id=accepted_event_id,
        result=command.result,
        failure=command.failure,
    )
    event = _record(state, completed, wishes, now_ms=now_ms)
    wishes.updates.append(
        UpdateStage(
            update_id=UpdateId(command.update_id),
            accepted_event_id=accepted_event_id,
            completed_event_id=EventId(event.event_id),
        )
    )
