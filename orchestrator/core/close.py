"""How a run ends: complete, fail, cancel, continue as new; terminate and time-out from outside."""

from __future__ import annotations

from typing import assert_never

from orchestrator.core.search_attributes import CHANGE_VERSION
from orchestrator.core.state import ExecutionState
from orchestrator.core.transition import Close, NewRun
from orchestrator.exceptions import OrchestratorError
from orchestrator.ids import RunId
from orchestrator.limits import WORKFLOW_TASK_TIMEOUT_MAX_MS
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.events import CommandEvent, WorkflowExecutionStarted
from orchestrator.wire.options import RunInitiator, RunStatus
from orchestrator.wire.search_attributes import SearchAttributes


class NotStartedError(OrchestratorError):
    """A history without its first event: it was read while retention took it, or it is damaged."""


def close_of(
    state: ExecutionState,
    command: c.CompleteWorkflowExecution | c.FailWorkflowExecution | c.CancelWorkflowExecution,
    *,
    unseen_messages: int,
) -> tuple[CommandEvent, Close]:
    """The closing event of `command`, and the close. It is forced when messages stay unseen."""
    task = state.task_completed_event_id
    forced = unseen_messages > 0
    nothing_left = _nothing_left(state) and started_of(state).parent is None
    match command:
        case c.CompleteWorkflowExecution():
            completed = e.WorkflowExecutionCompleted(
                result=command.result,
                task_completed_event_id=task,
                unseen_messages=unseen_messages,
            )
            return completed, Close(
                status=RunStatus.COMPLETED, forced=forced, nothing_left=nothing_left
            )
        case c.FailWorkflowExecution():
            failed = e.WorkflowExecutionFailed(
                failure=command.failure,
                task_completed_event_id=task,
                unseen_messages=unseen_messages,
            )
            return failed, Close(status=RunStatus.FAILED, forced=forced, nothing_left=nothing_left)
        case c.CancelWorkflowExecution():
            canceled = e.WorkflowExecutionCanceled(
                details=command.details,
                task_completed_event_id=task,
                unseen_messages=unseen_messages,
            )
            return canceled, Close(
                status=RunStatus.CANCELED, forced=forced, nothing_left=nothing_left
            )
        case _ as unknown:
            assert_never(unknown)


def continue_as_new(
    state: ExecutionState,
    command: c.ContinueAsNewWorkflowExecution,
    *,
    now_ms: int,
    run_id: RunId,
) -> tuple[CommandEvent, Close]:
    """End `state`'s run with a successor `run_id`, which inherits what `command` leaves out.

    The chain's deadline stays what it was; unread entries are the successor's.
    """
    before = started_of(state)
    workflow_type = command.workflow_type or before.workflow_type
    task_queue = command.task_queue or before.task_queue
    started = WorkflowExecutionStarted(
        workflow_type=workflow_type,
        task_queue=task_queue,
        input=command.input,
        header=command.header or before.header,
        execution_timeout_ms=before.execution_timeout_ms,
        execution_deadline_ms=before.execution_deadline_ms,
        run_timeout_ms=_or_inherited(command.run_timeout_ms, before.run_timeout_ms),
        task_timeout_ms=min(
            command.task_timeout_ms or before.task_timeout_ms, WORKFLOW_TASK_TIMEOUT_MAX_MS
        ),
        identity=before.identity,
        retry_policy=command.retry_policy or before.retry_policy,
        first_run_id=before.first_run_id or state.run_id,
        continued_run_id=state.run_id,
        memo=state.memo if command.memo is None else command.memo,
        search_attributes=_without_versions(state)
        if command.search_attributes is None
        else command.search_attributes,
        cron_schedule=before.cron_schedule,
        static_summary=before.static_summary,
        static_details=before.static_details,
        priority=before.priority,
        initiator=RunInitiator.WORKFLOW,
        first_task_backoff_ms=command.backoff_start_interval_ms,
        last_completion_result=before.last_completion_result,
        parent=before.parent,
        root=before.root,
    )
    successor = NewRun(
        run_id=run_id, started=started, run_timeout_ms=run_timeout_ms(started, now_ms=now_ms)
    )
    event = e.WorkflowExecutionContinuedAsNew(
        new_run_id=run_id,
        workflow_type=workflow_type,
        task_queue=task_queue,
        input=command.input,
        backoff_start_interval_ms=command.backoff_start_interval_ms,
        task_completed_event_id=state.task_completed_event_id,
    )
    return event, Close(
        status=RunStatus.CONTINUED_AS_NEW,
        successor=successor,
        keep_inbox=True,
        nothing_left=_nothing_left(state),
    )


def run_timeout_ms(started: WorkflowExecutionStarted, *, now_ms: int) -> int | None:
    """Milliseconds from `now_ms` until the nearer of run time-out and chain deadline; None:
    never."""
    times = [] if started.run_timeout_ms is None else [started.run_timeout_ms]
    if started.execution_deadline_ms is not None:
        times.append(max(0, started.execution_deadline_ms - now_ms))
    return min(times, default=None)


def started_of(state: ExecutionState) -> WorkflowExecutionStarted:
    """The first event's attributes.

    Raises:
        NotStartedError: the state was folded from nothing.
    """
    if state.started is None:
        raise NotStartedError(f"run {state.run_id!r} has no first event; read its history again")
    return state.started


def _without_versions(state: ExecutionState) -> SearchAttributes:
    """The search attributes of a run as its successor begins with: it has taken no patch yet."""
    found = state.search_attributes.items()
    return {name: attribute for name, attribute in found if name != CHANGE_VERSION}


def _nothing_left(state: ExecutionState) -> bool:
    return not state.activities and not state.timers and not state.children


def _or_inherited(given: int | None, inherited: int | None) -> int | None:
    return inherited if given is None else given
