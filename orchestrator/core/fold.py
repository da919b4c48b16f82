"""Events → state: the only writer of `ExecutionState`.

Each kind of event has a case; a new kind fails the type check here. Whoever sees an error throws
the state away: it was half changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, assert_never

from orchestrator.core.state import (
    ExecutionState,
    PendingActivity,
    PendingChild,
    PendingExternal,
    PendingTimer,
    UpdateState,
)
from orchestrator.exceptions import OrchestratorError
from orchestrator.ids import RunId, WorkflowId
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.options import RunStatus

_Value = TypeVar("_Value")


class HistoryGapError(OrchestratorError):
    """Events do not follow one another: the history is damaged or was read while it was deleted."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"the history is damaged, or was removed while it was read: expected event "
            f"{self.expected}, found {self.found}"
        )


class ImpossibleEventError(OrchestratorError):
    """An event speaks of something that is not pending: the history is damaged."""

    def __init__(self, event_id: int, type_: str, reference: int | str) -> None:
        super().__init__(event_id, type_, reference)
        self.event_id = event_id
        self.type = type_
        self.reference = reference

    def __str__(self) -> str:
        return (
            f"the history is damaged: event {self.event_id} ({self.type}) refers to "
            f"{self.reference!r}, which is not pending there"
        )


def fold(workflow_id: WorkflowId, run_id: RunId, history: Iterable[HistoryEvent]) -> ExecutionState:
    """The state that `history`, from event 1 on, adds up to.

    Raises:
        HistoryGapError: events are missing or doubled.
        ImpossibleEventError: an event refers to what is not there.
    """
    state = ExecutionState(workflow_id, run_id)
    for event in history:
        apply(state, event)
    return state


def apply(state: ExecutionState, event: HistoryEvent) -> None:
    """Advance `state` by `event`, in place.

    Raises:
        HistoryGapError: `event.event_id` does not follow `state.last_event_id`.
        ImpossibleEventError: it refers to something that is not pending.
    """
    if event.event_id != state.last_event_id + 1:
        raise HistoryGapError(expected=state.last_event_id + 1, found=event.event_id)
    try:
        _apply_attributes(state, event)
    except KeyError as error:
        raise ImpossibleEventError(event.event_id, event.type, error.args[0]) from error
    state.last_event_id = event.event_id
    state.last_time_ms = event.time_ms


def _apply_attributes(state: ExecutionState, event: HistoryEvent) -> None:
    match event.attributes:
        case e.WorkflowExecutionStarted() as started:
            state.started, state.started_at_ms = started, event.time_ms
            state.memo, state.search_attributes = started.memo, started.search_attributes
        case e.WorkflowExecutionCancelRequested():
            state.cancel_requested = True
        case e.WorkflowExecutionSignaled() | e.WorkflowTaskScheduled() | e.WorkflowTaskStarted():
            pass
        case e.WorkflowTaskFailed() | e.ActivityTaskStarted():
            pass
        case e.WorkflowTaskCompleted(command_count=count):
            state.task_completed_event_id = event.event_id
            state.commands_missing = count
        case e.ActivityTaskCompleted() | e.ActivityTaskFailed() as ended:
            _end_activity(state, ended.scheduled_event_id)
        case e.ActivityTaskTimedOut() | e.ActivityTaskCanceled() as ended:
            _end_activity(state, ended.scheduled_event_id)
        case e.TimerFired(started_event_id=started_id):
            _end_timer(state, started_id)
        case (
            r.StartChildWorkflowExecutionFailed()
            | r.ChildWorkflowExecutionStarted()
            | r.ChildWorkflowExecutionCompleted()
            | r.ChildWorkflowExecutionFailed()
            | r.ChildWorkflowExecutionCanceled()
            | r.ChildWorkflowExecutionTimedOut()
            | r.ChildWorkflowExecutionTerminated()
        ) as news:
            _apply_child_news(state, event, news)
        case (
            r.SignalExternalWorkflowExecutionFailed()
            | r.ExternalWorkflowExecutionSignaled()
            | r.RequestCancelExternalWorkflowExecutionFailed()
            | r.ExternalWorkflowExecutionCancelRequested()
        ) as answer:
            _end_external(state, answer.initiated_event_id)
        case e.WorkflowExecutionTimedOut():
            state.status = RunStatus.TIMED_OUT
        case e.WorkflowExecutionTerminated():
            state.status = RunStatus.TERMINATED
        case (
            e.ActivityTaskScheduled()
            | e.ActivityTaskCancelRequested()
            | e.TimerStarted()
            | e.TimerCanceled()
            | e.MarkerRecorded()
            | e.UpsertWorkflowSearchAttributes()
            | e.WorkflowPropertiesModified()
            | e.WorkflowExecutionUpdateAccepted()
            | e.WorkflowExecutionUpdateCompleted()
            | r.StartChildWorkflowExecutionInitiated()
            | r.SignalExternalWorkflowExecutionInitiated()
            | r.RequestCancelExternalWorkflowExecutionInitiated()
            | e.WorkflowExecutionCompleted()
            | e.WorkflowExecutionFailed()
            | e.WorkflowExecutionCanceled()
            | e.WorkflowExecutionContinuedAsNew()
        ) as wished:
            _apply_command_event(state, event, wished)
        case _ as unknown:
            assert_never(unknown)


def _apply_command_event(
    state: ExecutionState, event: HistoryEvent, wished: e.CommandEvent
) -> None:
    state.commands_missing = max(0, state.commands_missing - 1)
    match wished:
        case e.ActivityTaskScheduled():
            state.activities[event.event_id] = PendingActivity(
                event.event_id, wished, event.time_ms
            )
            state.activity_ids[wished.activity_id] = event.event_id
        case e.ActivityTaskCancelRequested():
            state.activities[wished.scheduled_event_id].cancel_requested = True
        case e.TimerStarted():
            state.timers[event.event_id] = PendingTimer(
                event.event_id, wished, event.time_ms + wished.start_to_fire_ms
            )
            state.timer_ids[wished.timer_id] = event.event_id
        case e.TimerCanceled():
            _end_timer(state, wished.started_event_id)
        case e.MarkerRecorded():
            pass
        case e.UpsertWorkflowSearchAttributes(search_attributes=changes):
            state.search_attributes = upserted(state.search_attributes, changes)
        case e.WorkflowPropertiesModified(upserted_memo=notes):
            state.memo = upserted(state.memo, notes)
        case e.WorkflowExecutionUpdateAccepted():
            state.updates[wished.update_id] = UpdateState(event.event_id)
            state.updates_open += 1
        case e.WorkflowExecutionUpdateCompleted():
            state.updates[wished.update_id].completed_event_id = event.event_id
            state.updates_open -= 1
        case r.StartChildWorkflowExecutionInitiated():
            state.children[event.event_id] = PendingChild(event.event_id, wished, event.time_ms)
        case (
            r.SignalExternalWorkflowExecutionInitiated()
            | r.RequestCancelExternalWorkflowExecutionInitiated()
        ):
            state.externals[event.event_id] = PendingExternal(event.event_id, wished)
            state.newest_externals[wished.workflow_id] = event.event_id
        case e.WorkflowExecutionCompleted():
            state.status = RunStatus.COMPLETED
        case e.WorkflowExecutionFailed():
            state.status = RunStatus.FAILED
        case e.WorkflowExecutionCanceled():
            state.status = RunStatus.CANCELED
        case e.WorkflowExecutionContinuedAsNew():
            state.status = RunStatus.CONTINUED_AS_NEW
        case _ as unknown:
            assert_never(unknown)


def upserted(
    before: Mapping[str, _Value], changes: Mapping[str, _Value | None]
) -> dict[str, _Value]:
    """`before` with `changes`, of which None removes; neither is changed."""
    after = {**before, **changes}
    return {name: value for name, value in after.items() if value is not None}


def _apply_child_news(
    state: ExecutionState,
    event: HistoryEvent,
    news: r.ChildWorkflowExecutionStarted | r.ChildEndEvent,
) -> None:
    if isinstance(news, r.ChildWorkflowExecutionStarted):
        child = state.children[news.initiated_event_id]
        child.started_event_id, child.run_id = event.event_id, RunId(news.run_id)
    else:
        del state.children[news.initiated_event_id]


def _end_external(state: ExecutionState, event_id: int) -> None:
    target = state.externals.pop(event_id).initiated.workflow_id
    # Answers come in the order of the acts; a later one that comes first leaves nothing to follow.
    if state.newest_externals.get(target) == event_id:
        del state.newest_externals[target]


def _end_activity(state: ExecutionState, event_id: int) -> None:
    ended = state.activities.pop(event_id)
    del state.activity_ids[ended.scheduled.activity_id]


def _end_timer(state: ExecutionState, event_id: int) -> None:
    ended = state.timers.pop(event_id)
    del state.timer_ids[ended.started.timer_id]
