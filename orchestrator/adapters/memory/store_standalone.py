"""Standalone activities in memory: runs of one activity, which no workflow code advances."""

from __future__ import annotations

import msgspec

from orchestrator.adapters.memory.store_state import Attempt, MemoryState
from orchestrator.core.standalone_records import (
    SCHEDULED_EVENT_ID,
    CancelStandalone,
    StandaloneActivity,
    StandaloneEnd,
)
from orchestrator.core.transition import FinishAttempt
from orchestrator.ids import AttemptToken, CommitToken, EventId, RunKind, WorkflowId, kind_of
from orchestrator.ports.store import AttemptRecord, AttemptState, CancelAsked, DueKind, NotOpen
from orchestrator.wire.events import HistoryEvent


class MemoryStandalone:
    """The right to ask a standalone activity to end."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def cancel_standalone(self, cancel: CancelStandalone) -> CancelAsked | NotOpen:
        """See `ActivityStore.cancel_standalone`."""
        state, now_ms = self._state, self._state.now_ms()
        run = state.runs.get((cancel.workflow_id, cancel.run_id))
        workflow = state.open_workflow(cancel.workflow_id, cancel.run_id)
        if workflow is None or run is None:
            status = None if run is None else run.status
            return NotOpen(run_id=cancel.run_id, status=status, now_ms=now_ms)
        attempt = run.attempts[SCHEDULED_EVENT_ID]
        record = attempt.record
        if record.cancel_requested:
            return CancelAsked(closed=False, now_ms=now_ms)
        event_id = EventId(workflow.head.last_event_id + 1)
        run.history.append(
            HistoryEvent(event_id=event_id, time_ms=now_ms, attributes=cancel.requested)
        )
        workflow.set_head(last_event_id=event_id)
        if record.state is not AttemptState.RUNNING:
            close_standalone(state, cancel.workflow_id, cancel.end, token=None, now_ms=now_ms)
            return CancelAsked(closed=True, now_ms=now_ms)
        attempt.record = msgspec.structs.replace(record, cancel_requested=True)
        state.tell_holder(run, attempt.record)
        return CancelAsked(closed=False, now_ms=now_ms)


def schedule_standalone(
    state: MemoryState, workflow_id: WorkflowId, new: StandaloneActivity, *, now_ms: int
) -> None:
    """Give a run that was just made its activity: a record and a row, and never an inbox."""
    workflow = state.workflows[workflow_id]
    run = state.runs[workflow_id, workflow.head.run_id]
    event_id, at_ms = SCHEDULED_EVENT_ID, now_ms + new.delay_ms
    run.history.append(HistoryEvent(event_id=event_id, time_ms=now_ms, attributes=new.scheduled))
    workflow.set_head(last_event_id=event_id)
    record = AttemptRecord(
        event_id=event_id,
        key=new.key,
        attempt=0 if new.delay_ms else 1,
        state=AttemptState.BACKING_OFF if new.delay_ms else AttemptState.SCHEDULED,
        token=None,
        holder=None,
        cancel_requested=False,
        scheduled_at_ms=at_ms,
        attempt_scheduled_at_ms=at_ms,
        started_at_ms=None,
        heartbeat_at_ms=None,
        deadline_ms=None if new.deadline_in_ms is None else at_ms + new.deadline_in_ms,
        dispatches=0,
        losses=0,
    )
    run.attempts[event_id] = Attempt(record, retry_at_ms=at_ms)
    due_at_ms = at_ms if new.delay_ms else now_ms + new.due_in_ms
    state.timers[DueKind.ACTIVITY, workflow_id, run.run_id, event_id] = due_at_ms


def close_standalone(
    state: MemoryState,
    workflow_id: WorkflowId,
    end: StandaloneEnd,
    *,
    token: AttemptToken | None,
    now_ms: int,
) -> None:
    """Close the run of a standalone activity: how its last attempt began, and the outcome."""
    workflow = state.workflows[workflow_id]
    run = state.runs[workflow_id, workflow.head.run_id]
    state.timers.pop((DueKind.ACTIVITY, workflow_id, run.run_id, SCHEDULED_EVENT_ID), None)
    event_id = workflow.head.last_event_id + 1
    if end.started is not None:
        run.history.append(
            HistoryEvent(event_id=event_id, time_ms=end.started_at_ms, attributes=end.started)
        )
        event_id += 1
    run.history.append(HistoryEvent(event_id=event_id, time_ms=now_ms, attributes=end.closing))
    workflow.set_head(last_event_id=EventId(event_id), token=CommitToken(token or state.mint()))
    state.end_run(workflow, run, status=end.status, now_ms=now_ms, nothing_left=True)


def was_closed_by(state: MemoryState, finish: FinishAttempt) -> bool:
    """Whether this very end closed the run of a standalone activity."""
    name = finish.name
    workflow = state.workflows.get(name.workflow_id)
    return (
        kind_of(name.workflow_id) is RunKind.ACTIVITY
        and workflow is not None
        and workflow.head.run_id == name.run_id
        and finish.token is not None
        and workflow.head.token == CommitToken(finish.token)
    )
