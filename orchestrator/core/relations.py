"""Rules between workflows: who a child is, what is sent to others, and what their answers mean.

Each act on another workflow is made again until it is answered, by whoever finds its row due. So
its names follow from the event that initiated it and nothing else: the same act, made twice or by
two, finds itself. What it says is a part of its name, since after a fail-over the same event may
be issued again for something else; what is encrypted differs each time and says nothing.
"""

from __future__ import annotations

import uuid
from hashlib import blake2b
from typing import TypeAlias, assert_never

from msgspec.structs import replace

from orchestrator.core.start import StartOptions
from orchestrator.core.state import ExecutionState, PendingChild
from orchestrator.core.transition import Append, ForcedClose
from orchestrator.ids import OperationId, RunId, WorkflowId
from orchestrator.limits import CHILD_WATCH_MAX_MS, CHILD_WATCH_MIN_MS
from orchestrator.wire import codec, inbox
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import EventAttributes, WorkflowExecutionStarted
from orchestrator.wire.options import ParentClosePolicy, RunStatus
from orchestrator.wire.payload import BINARY_NULL, BINARY_PLAIN, JSON_PLAIN, Payload

ExternalInitiated: TypeAlias = (
    r.SignalExternalWorkflowExecutionInitiated | r.RequestCancelExternalWorkflowExecutionInitiated
)
_PLAIN = frozenset({JSON_PLAIN, BINARY_PLAIN, BINARY_NULL})
ChildNews: TypeAlias = inbox.ChildStarted | inbox.ChildStartFailed | inbox.ChildOutcome


# Acts ---------------------------------------------------------------------------------------------


def child_run_id(
    parent_id: WorkflowId,
    parent_run_id: RunId,
    event_id: int,
    initiated: r.StartChildWorkflowExecutionInitiated,
) -> RunId:
    """The run that the child of this event has, whenever and by whomever it is started."""
    parts = (parent_id, parent_run_id, initiated.workflow_id, initiated.workflow_type)
    digest = _digest(parts, event_id, codec.encode(_readable(initiated.input)))
    return RunId(str(uuid.UUID(bytes=digest, version=5)))


def child_start(
    parent_id: WorkflowId,
    parent_run_id: RunId,
    event_id: int,
    initiated: r.StartChildWorkflowExecutionInitiated,
    parent: WorkflowExecutionStarted,
) -> StartOptions:
    """The start of a child of the run that began as `parent`."""
    root = parent.root or e.RootExecution(workflow_id=parent_id, run_id=parent_run_id)
    return StartOptions(
        workflow_id=initiated.workflow_id,
        workflow_type=initiated.workflow_type,
        task_queue=initiated.task_queue,
        request_id=child_run_id(parent_id, parent_run_id, event_id, initiated),
        input=initiated.input,
        header=initiated.header,
        reuse=initiated.id_reuse_policy,
        conflict=initiated.id_conflict_policy,
        execution_timeout_ms=initiated.execution_timeout_ms,
        run_timeout_ms=initiated.run_timeout_ms,
        task_timeout_ms=initiated.task_timeout_ms,
        retry_policy=initiated.retry_policy,
        memo=initiated.memo,
        search_attributes=initiated.search_attributes,
        cron_schedule=initiated.cron_schedule,
        static_summary=initiated.static_summary,
        static_details=initiated.static_details,
        priority=initiated.priority,
        identity=f"workflow {parent_id}",
        parent=e.ParentExecution(
            workflow_id=parent_id, run_id=parent_run_id, initiated_event_id=event_id
        ),
        root=root,
    )


def watch_in_ms(*, initiated_at_ms: int, now_ms: int) -> int:
    """When a child that exists is looked at next: as long again as it is old, within bounds."""
    return min(max(now_ms - initiated_at_ms, CHILD_WATCH_MIN_MS), CHILD_WATCH_MAX_MS)


def external_append(
    sender_id: WorkflowId,
    sender_run_id: RunId,
    event_id: int,
    initiated: ExternalInitiated,
    *,
    child_run_id: RunId | None = None,
) -> Append:
    """What is put into the other workflow's inbox. `child_run_id` is the first run of the child
    that is meant; runs of others that got its workflow id are not."""
    identity, run_id = f"workflow {sender_id}", initiated.run_id
    body: inbox.SignalReceived | inbox.CancelReceived
    said: tuple[Payload, ...] = ()
    match initiated:
        case r.SignalExternalWorkflowExecutionInitiated():
            body = inbox.SignalReceived(
                signal_name=initiated.signal_name,
                input=initiated.input,
                header=initiated.header,
                identity=identity,
            )
            what, said = initiated.signal_name, _readable(initiated.input)
        case r.RequestCancelExternalWorkflowExecutionInitiated():
            body = inbox.CancelReceived(reason=initiated.reason, identity=identity)
            what = initiated.reason
    parts = (sender_id, sender_run_id, type(body).__name__, what, initiated.workflow_id)
    digest = _digest((*parts, run_id or ""), event_id, codec.encode(said))
    operation_id = OperationId(digest.hex())
    return Append(
        workflow_id=WorkflowId(initiated.workflow_id),
        body=replace(body, operation_id=operation_id),
        operation_id=operation_id,
        run_id=None if run_id is None else RunId(run_id),
        first_run_id=child_run_id,
        message=isinstance(body, inbox.SignalReceived),
    )


def external_answer(
    run_id: RunId, event_id: int, initiated: ExternalInitiated, *, found: bool
) -> inbox.ExternalAnswer:
    """What the sender is told: whether there was an open run."""
    kind: type[inbox.ExternalAnswer]
    if isinstance(initiated, r.SignalExternalWorkflowExecutionInitiated):
        kind = inbox.ExternalSignaled if found else inbox.ExternalSignalFailed
    else:
        kind = inbox.ExternalCancelRequested if found else inbox.ExternalCancelFailed
    return kind(run_id=run_id, initiated_event_id=event_id)


# The end of a child, and of its parent ------------------------------------------------------------


def outcome_for_parent(
    parent: e.ParentExecution, first_run_id: RunId, run_id: RunId, closing: EventAttributes
) -> inbox.ChildOutcome | None:
    """What the parent is told of its child `first_run_id`, whose run `run_id` ended by `closing`;
    None: its end is not the child's, there is a successor."""
    if successor_of(closing) is not None:
        return None
    run = {"run_id": parent.run_id, "child_run_id": first_run_id, "last_run_id": run_id}
    event_id = parent.initiated_event_id
    match closing:
        case e.WorkflowExecutionCompleted(result=result):
            return inbox.ChildCompleted(**run, initiated_event_id=event_id, result=result)
        case e.WorkflowExecutionFailed(failure=failure, retry_outcome=outcome):
            return inbox.ChildFailed(
                **run, initiated_event_id=event_id, failure=failure, retry_outcome=outcome
            )
        case e.WorkflowExecutionCanceled(details=details):
            return inbox.ChildCanceled(**run, initiated_event_id=event_id, details=details)
        case e.WorkflowExecutionTimedOut(retry_outcome=outcome):
            return inbox.ChildTimedOut(**run, initiated_event_id=event_id, retry_outcome=outcome)
        case e.WorkflowExecutionTerminated(reason=reason, details=details):
            return inbox.ChildTerminated(
                **run, initiated_event_id=event_id, reason=reason, details=details
            )
        case _:
            return None


def successor_of(closing: EventAttributes) -> RunId | None:
    """The run that was made in the same instant as this one ended, if one was."""
    match closing:
        case e.WorkflowExecutionContinuedAsNew(new_run_id=run_id):
            return RunId(run_id)
        case (
            e.WorkflowExecutionCompleted(new_execution_run_id=run_id)
            | e.WorkflowExecutionFailed(new_execution_run_id=run_id)
            | e.WorkflowExecutionTimedOut(new_execution_run_id=run_id)
        ):
            return None if run_id is None else RunId(run_id)
        case _:
            return None


def close_policy_act(
    parent_id: WorkflowId, parent_run_id: RunId, child: PendingChild, first_run_id: RunId
) -> ForcedClose | Append | None:
    """What becomes of a child that exists when its parent's run has closed; None: nothing."""
    target, identity = WorkflowId(child.initiated.workflow_id), f"workflow {parent_id}"
    reason = "its parent's run has closed"
    match child.initiated.parent_close_policy:
        case ParentClosePolicy.ABANDON:
            return None
        case ParentClosePolicy.TERMINATE:
            return ForcedClose(
                workflow_id=target,
                event=e.WorkflowExecutionTerminated(reason=reason, identity=identity),
                status=RunStatus.TERMINATED,
                first_run_id=first_run_id,
            )
        case ParentClosePolicy.REQUEST_CANCEL:
            parts = (parent_id, parent_run_id, "parent close policy")
            operation_id = OperationId(_digest(parts, child.event_id, b"").hex())
            return Append(
                workflow_id=target,
                body=inbox.CancelReceived(
                    reason=reason, identity=identity, operation_id=operation_id
                ),
                operation_id=operation_id,
                first_run_id=first_run_id,
            )
        case _ as unknown:
            assert_never(unknown)


# Answers → events ---------------------------------------------------------------------------------


def child_attributes(state: ExecutionState, body: ChildNews) -> tuple[EventAttributes, ...] | None:
    """The events of news of a child; None when they are void, late or doubled. The end of a child
    that was not known to exist says both."""
    child = state.children.get(body.initiated_event_id) if body.run_id == state.run_id else None
    if child is None:
        return None
    initiated = child.initiated
    run_id = child_run_id(state.workflow_id, state.run_id, child.event_id, initiated)
    if body.child_run_id != run_id:
        return None  # The event was issued again, for another child.
    if isinstance(body, inbox.ChildStartFailed):
        if child.started_event_id:
            return None
        return (
            r.StartChildWorkflowExecutionFailed(
                initiated_event_id=child.event_id,
                workflow_id=initiated.workflow_id,
                workflow_type=initiated.workflow_type,
            ),
        )
    begun = r.ChildWorkflowExecutionStarted(
        initiated_event_id=child.event_id,
        workflow_id=initiated.workflow_id,
        run_id=run_id,
        workflow_type=initiated.workflow_type,
    )
    if isinstance(body, inbox.ChildStarted):
        return None if child.started_event_id else (begun,)
    if child.started_event_id:
        return (_end(child, body, started_event_id=child.started_event_id),)
    return (begun, _end(child, body, started_event_id=state.last_event_id + 1))


def external_attributes(
    state: ExecutionState, body: inbox.ExternalAnswer
) -> tuple[EventAttributes, ...] | None:
    """The event of an answer of another workflow; None when nobody waits for it."""
    pending = state.externals.get(body.initiated_event_id) if body.run_id == state.run_id else None
    if pending is None:
        return None
    event_id, initiated = pending.event_id, pending.initiated
    kind: type[r.ExternalEndEvent]
    match body:
        case inbox.ExternalSignaled():
            kind = r.ExternalWorkflowExecutionSignaled
        case inbox.ExternalSignalFailed():
            kind = r.SignalExternalWorkflowExecutionFailed
        case inbox.ExternalCancelRequested():
            kind = r.ExternalWorkflowExecutionCancelRequested
        case inbox.ExternalCancelFailed():
            kind = r.RequestCancelExternalWorkflowExecutionFailed
        case _ as unknown:
            assert_never(unknown)
    return (
        kind(
            initiated_event_id=event_id,
            workflow_id=initiated.workflow_id,
            run_id=initiated.run_id,
        ),
    )


def _end(
    child: PendingChild, body: inbox.ChildOutcome, *, started_event_id: int
) -> EventAttributes:
    event_id, initiated = child.event_id, child.initiated
    run = {
        "workflow_id": initiated.workflow_id,
        "run_id": body.last_run_id,
        "workflow_type": initiated.workflow_type,
    }
    match body:
        case inbox.ChildCompleted(result=result):
            return r.ChildWorkflowExecutionCompleted(
                **run,
                initiated_event_id=event_id,
                started_event_id=started_event_id,
                result=result,
            )
        case inbox.ChildFailed(failure=failure, retry_outcome=outcome):
            return r.ChildWorkflowExecutionFailed(
                **run,
                initiated_event_id=event_id,
                started_event_id=started_event_id,
                failure=failure,
                retry_outcome=outcome,
            )
        case inbox.ChildCanceled(details=details):
            return r.ChildWorkflowExecutionCanceled(
                **run,
                initiated_event_id=event_id,
                started_event_id=started_event_id,
                details=details,
            )
        case inbox.ChildTimedOut(retry_outcome=outcome):
            return r.ChildWorkflowExecutionTimedOut(
                **run,
                initiated_event_id=event_id,
                started_event_id=started_event_id,
                retry_outcome=outcome,
            )
        case inbox.ChildTerminated(reason=reason, details=details):
            return r.ChildWorkflowExecutionTerminated(
                **run,
                initiated_event_id=event_id,
                started_event_id=started_event_id,
                reason=reason,
                details=details,
            )
        case _ as unknown:
            assert_never(unknown)


def _readable(payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
    return tuple(payload for payload in payloads if payload.encoding in _PLAIN)


def _digest(parts: tuple[str, ...], event_id: int, content: bytes) -> bytes:
    """16 bytes that no other act of ours has; control characters, which no id holds, part it."""
    text = "\x00".join((*parts, str(event_id), "")).encode()
    return blake2b(text + content, digest_size=16).digest()
