"""How a run ends: complete, fail, cancel, continue as new; terminate and time-out from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from orchestrator.core.chain import (
    Following,
    after_completion,
    after_failure,
    has_followers,
    new_run,
)
from orchestrator.core.search_attributes import CHANGE_VERSION
from orchestrator.core.state import ExecutionState, started_of
from orchestrator.core.transition import Close
from orchestrator.ids import RunId
from orchestrator.limits import WORKFLOW_TASK_TIMEOUT_MAX_MS
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.events import CommandEvent, WorkflowExecutionStarted
from orchestrator.wire.options import RunInitiator, RunStatus
from orchestrator.wire.search_attributes import SearchAttributes


def close_of(
    state: ExecutionState,
    command: c.CompleteWorkflowExecution | c.FailWorkflowExecution | c.CancelWorkflowExecution,
    *,
    unseen_messages: int,
    now_ms: int,
    mint: Callable[[], str],
) -> tuple[CommandEvent, Close]:
    """The closing event of `command`, and the close, with the run that follows a failure or in a
    schedule. It is forced when messages stay unseen; a successor sees them."""
    task = state.task_completed_event_id
    match command:
        case c.CompleteWorkflowExecution():
            following = after_completion(state, command.result, now_ms=now_ms, mint=mint)
            event: CommandEvent = e.WorkflowExecutionCompleted(
                result=command.result,
                new_execution_run_id=following.run_id,
                task_completed_event_id=task,
                unseen_messages=unseen_messages,
            )
            status = RunStatus.COMPLETED
        case c.FailWorkflowExecution():
            following = after_failure(state, command.failure, now_ms=now_ms, mint=mint)
            event = e.WorkflowExecutionFailed(
                failure=command.failure,
                retry_outcome=following.outcome if has_followers(started_of(state)) else None,
                new_execution_run_id=following.run_id,
                task_completed_event_id=task,
                unseen_messages=unseen_messages,
            )
            status = RunStatus.FAILED
        case c.CancelWorkflowExecution():
            following = Following()
            event = e.WorkflowExecutionCanceled(
                details=command.details,
                task_completed_event_id=task,
                unseen_messages=unseen_messages,
            )
            status = RunStatus.CANCELED
        case _ as unknown:
            assert_never(unknown)
    successor = following.successor
    told = successor is not None or started_of(state).parent is None
    return event, Close(
        status=status,
        forced=unseen_messages > 0,
        successor=successor,
        keep_inbox=successor is not None,
        nothing_left=_nothing_left(state) and told,
    )


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
    successor = new_run(run_id, started, now_ms=now_ms)
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
        forced=True,
        successor=successor,
        keep_inbox=True,
        nothing_left=_nothing_left(state),
    )


def _without_versions(state: ExecutionState) -> SearchAttributes:
    """The search attributes of a run as its successor begins with: it has taken no patch yet."""
    found = state.search_attributes.items()
    return {name: attribute for name, attribute in found if name != CHANGE_VERSION}


def _nothing_left(state: ExecutionState) -> bool:
    return not state.activities and not state.timers and not state.children


def _or_inherited(given: int | None, inherited: int | None) -> int | None:
    return inherited if given is None else given
