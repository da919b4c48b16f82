"""News: inbox entries → events. What is late, doubled or void drops out here, and is counted.

An update becomes no event: it goes to the code as a request, which may become one. The id of an
update that was accepted before, or is among the same news, drops out; whoever sent it again waits
for the outcome of the first.

An entry for another run of the workflow id is void. A result for an activity, a fired timer, or an
answer of another workflow, that is no longer waited for is late. Several entries are taken in the
order of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from msgspec.structs import replace

from orchestrator.core.fold import apply
from orchestrator.core.relations import child_attributes, external_attributes
from orchestrator.core.state import ExecutionState
from orchestrator.core.transition import UpdateAnswer
from orchestrator.core.updates import UpdateRequest, refusal, request_of
from orchestrator.ids import EventId, OperationId
from orchestrator.wire import events as e
from orchestrator.wire import inbox
from orchestrator.wire.events import EventAttributes, HistoryEvent
from orchestrator.wire.failure import TimeoutFailure
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.messages import UpdateReply
from orchestrator.wire.options import RetryOutcome, TimeoutKind

_FINAL_TIMEOUTS = (TimeoutKind.SCHEDULE_TO_START, TimeoutKind.SCHEDULE_TO_CLOSE)
"""Which no policy retries."""


@dataclass(slots=True)
class Intake:
    """The events made of a page of entries, already applied to the state.

    `resolved` are the activities whose outcome was consumed, whether it counted or was late: their
    records are no longer needed.
    """

    events: list[HistoryEvent] = field(default_factory=list[HistoryEvent])
    resolved: list[EventId] = field(default_factory=list[EventId])
    updates: dict[str, UpdateRequest] = field(default_factory=dict[str, UpdateRequest])
    """By update id, in the order in which they came."""
    answers: list[UpdateAnswer] = field(default_factory=list[UpdateAnswer])
    """For those whose updates the run does not take."""
    dropped: int = 0


def intake(state: ExecutionState, entries: Sequence[InboxEntry]) -> Intake:
    """Turn `entries` into events and apply them to `state`, in order."""
    news = Intake()
    for entry in entries:
        attributes = _attributes(state, entry, news)
        if attributes is None:
            news.dropped += 1
            continue
        for one in attributes:
            event = HistoryEvent(
                event_id=state.last_event_id + 1,
                time_ms=max(entry.time_ms, state.last_time_ms),
                attributes=one,
            )
            apply(state, event)
            news.events.append(event)
    return news


def _attributes(
    state: ExecutionState, entry: InboxEntry, news: Intake
) -> tuple[EventAttributes, ...] | None:
    body = entry.body
    match body:
        case inbox.SignalReceived():
            return (
                e.WorkflowExecutionSignaled(
                    signal_name=body.signal_name,
                    input=body.input,
                    header=body.header,
                    identity=body.identity,
                    operation_id=body.operation_id,
                ),
            )
        case inbox.CancelReceived():
            if state.cancel_requested:
                return None
            return (
                e.WorkflowExecutionCancelRequested(
                    reason=body.reason, identity=body.identity, operation_id=body.operation_id
                ),
            )
        case inbox.UpdateReceived():
            return () if _take_update(state, body, news) else None
        case inbox.FirstTask(run_id=run_id):
            return () if run_id == state.run_id else None
        case inbox.TimerDue(run_id=run_id, started_event_id=started_id):
            timer = state.timers.get(started_id) if run_id == state.run_id else None
            if timer is None:
                return None
            return (e.TimerFired(timer_id=timer.started.timer_id, started_event_id=started_id),)
        case (
            inbox.ActivityCompleted()
            | inbox.ActivityFailed()
            | inbox.ActivityTimedOut()
            | inbox.ActivityCanceled()
        ):
            return _activity_attributes(state, body, news)
        case (
            inbox.ChildStarted()
            | inbox.ChildStartFailed()
            | inbox.ChildCompleted()
            | inbox.ChildFailed()
            | inbox.ChildCanceled()
            | inbox.ChildTimedOut()
            | inbox.ChildTerminated()
        ):
            return child_attributes(state, body)
        case (
            inbox.ExternalSignaled()
            | inbox.ExternalSignalFailed()
            | inbox.ExternalCancelRequested()
            | inbox.ExternalCancelFailed()
        ):
            return external_attributes(state, body)
        case _ as unknown:
            assert_never(unknown)


def _take_update(state: ExecutionState, body: inbox.UpdateReceived, news: Intake) -> bool:
    """Make a request of an update; False: it drops out."""
    if body.update_id in state.updates or body.run_id not in (None, state.run_id):
        return False
    request = request_of(body, after_event_id=state.last_event_id)
    first = news.updates.get(body.update_id)
    if first is not None:
        waiting = (*first.operation_ids, *request.operation_ids)
        news.updates[body.update_id] = replace(first, operation_ids=waiting)
        return False
    refused = refusal(state, coming=len(news.updates))
    if not refused:
        news.updates[body.update_id] = request
    elif body.operation_id:
        reply = UpdateReply(refused=refused)
        answer = UpdateAnswer(operation_id=OperationId(body.operation_id), reply=reply)
        news.answers.append(answer)
    return not refused


def _activity_attributes(
    state: ExecutionState, body: inbox.ActivityOutcome, news: Intake
) -> tuple[EventAttributes, ...] | None:
    if body.run_id != state.run_id:
        return None
    news.resolved.append(EventId(body.scheduled_event_id))
    pending = state.activities.get(body.scheduled_event_id)
    if pending is None:
        return None
    cancel_requested = pending.cancel_requested
    if body.started is None:
        end = _end(body, started_event_id=0, identity="", cancel_requested=cancel_requested)
        return (end,)
    begun = e.ActivityTaskStarted(
        scheduled_event_id=body.scheduled_event_id,
        identity=body.started.identity,
        attempt=body.started.attempt,
        last_failure=body.started.last_failure,
    )
    end = _end(
        body,
        started_event_id=state.last_event_id + 1,
        identity=body.started.identity,
        cancel_requested=cancel_requested,
    )
    return (begun, end)


def _end(
    body: inbox.ActivityOutcome, *, started_event_id: int, identity: str, cancel_requested: bool
) -> EventAttributes:
    match body:
        case inbox.ActivityCompleted():
            return e.ActivityTaskCompleted(
                scheduled_event_id=body.scheduled_event_id,
                started_event_id=started_event_id,
                result=body.result,
                identity=identity,
            )
        case inbox.ActivityFailed():
            return e.ActivityTaskFailed(
                scheduled_event_id=body.scheduled_event_id,
                started_event_id=started_event_id,
                failure=body.failure,
                retry_outcome=_retry_outcome(body, cancel_requested=cancel_requested),
                identity=identity,
            )
        case inbox.ActivityTimedOut():
            return e.ActivityTaskTimedOut(
                scheduled_event_id=body.scheduled_event_id,
                started_event_id=started_event_id,
                failure=body.failure,
                retry_outcome=_retry_outcome(body, cancel_requested=cancel_requested),
            )
        case inbox.ActivityCanceled():
            return e.ActivityTaskCanceled(
                scheduled_event_id=body.scheduled_event_id,
                started_event_id=started_event_id,
                details=body.details,
                identity=identity,
            )
        case _ as unknown:
            assert_never(unknown)


def _retry_outcome(
    body: inbox.ActivityFailed | inbox.ActivityTimedOut, *, cancel_requested: bool
) -> RetryOutcome:
    """Why there is no further attempt. Whoever ended the last one saw no cancel: where time was the
    only thing that might have stood against a retry, the cancel did."""
    if not cancel_requested or body.retry_outcome is not RetryOutcome.TIMEOUT:
        return body.retry_outcome
    detail = body.failure.detail
    is_over = isinstance(detail, TimeoutFailure) and detail.timeout in _FINAL_TIMEOUTS
    return RetryOutcome.TIMEOUT if is_over else RetryOutcome.CANCEL_REQUESTED
