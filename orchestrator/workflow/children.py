"""Calls of child workflows: `start_child_workflow` and `execute_child_workflow`.

An overload for each shape of run method lets a checker know the result and compare a single
argument.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack, overload

from orchestrator.common import (
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from orchestrator.core.cron import check_cron
from orchestrator.core.properties import check_memo
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.ids import check_name, check_task_queue, check_text, check_workflow_id
from orchestrator.limits import DETAILS_BYTES_MAX, SUMMARY_BYTES_MAX
from orchestrator.replay.children import ChildWorkflowCancellationType, ChildWorkflowHandle
from orchestrator.replay.context import current_run
from orchestrator.replay.interceptors import StartChildWorkflowInput
from orchestrator.replay.policies import to_options
from orchestrator.replay.run import WorkflowRun
from orchestrator.replay.search_attributes import inherited_priority, to_search_attributes
from orchestrator.units import checked_ms
from orchestrator.wire.commands import StartChildWorkflowExecution
from orchestrator.wire.options import Conflict, Reuse
from orchestrator.wire.options import ParentClosePolicy as WirePolicy
from orchestrator.workflow.runtime import uuid4

_Self = TypeVar("_Self")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


class ParentClosePolicy(IntEnum):
    """What becomes of a child when its parent's run closes, for whatever reason; continuing as new
    is one."""

    UNSPECIFIED = 0
    """As TERMINATE."""
    TERMINATE = 1
    ABANDON = 2
    """Nothing: the child goes on. One that was asked for in the parent's last task is started."""
    REQUEST_CANCEL = 3


class ChildWorkflowConfig(TypedDict, total=False):
    """The options of every form of a child's start.

    `id` None: a random one. `task_queue` None: the workflow's own.
    """

    id: str | None
    task_queue: str | None
    cancellation_type: ChildWorkflowCancellationType
    parent_close_policy: ParentClosePolicy
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None  # Any: user's values
    search_attributes: TypedSearchAttributes | None
    static_summary: str | None
    static_details: str | None
    priority: Priority | None
    """None: that of the workflow."""


@overload
async def start_child_workflow(
    workflow: Callable[[_Self], Awaitable[_Result]], **options: Unpack[ChildWorkflowConfig]
) -> ChildWorkflowHandle[_Self, _Result]: ...
@overload
async def start_child_workflow(
    workflow: Callable[[_Self, _Param], Awaitable[_Result]],
    arg: _Param,
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[_Self, _Result]: ...
@overload
async def start_child_workflow(
    workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[_Self, _Result]: ...
@overload
async def start_child_workflow(
    workflow: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: type[_Result],
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[Any, _Result]: ...  # Any: the class is not known
@overload
async def start_child_workflow(
    workflow: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: Any = ...,  # Any: annotations are of no common type
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[Any, Any]: ...  # Any: nothing is known of a workflow given by name
async def start_child_workflow(
    workflow: Any,  # Any: a name or a run method
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    result_type: Any = None,  # Any: annotations are of no common type
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[Any, Any]:  # Any: see the overloads
    """Start a child and return its handle, which is a task, once the child exists.

    Args:
        workflow: The run method of a workflow class, or the workflow's name.
        arg: Its only argument.
        args: Its arguments, if there are several.
        result_type: What a workflow given by name returns; otherwise its annotation says so.
        options: Among them what the waiting code sees when it cancels (`cancellation_type`: by
            default the child's end) and what becomes of the child when this run closes
            (`parent_close_policy`: by default it is terminated).

    Raises:
        WorkflowAlreadyStartedError: the id is taken, by a run that is open or by one that
            `id_reuse_policy` protects.
        ChildWorkflowError: the wait was cancelled, and so the child; its cause is a CancelledError.
        ValueError: both `arg` and `args` are given, a time is no time, a name cannot be one, or
            `workflow` is not a run method.
        ConversionError: an argument cannot be converted.
    """
    current = current_run()
    current.check_writable("start a child workflow")
    name, found_type = workflow, None
    if not isinstance(workflow, str):
        name, found_type, _ = WorkflowDefinition.of_run(workflow)
    asked = StartChildWorkflowInput(
        workflow=check_name("workflow type", name),
        id=check_workflow_id(options.get("id") or str(uuid4())),
        args=one_or_all(arg, args),
        options=options,
        headers={},
        result_type=result_type or found_type,
        proceed=partial(_start, current),
    )
    if current.outbound is None:
        return await _start(current, asked)
    handle: ChildWorkflowHandle[Any, Any] = await current.outbound.start_child_workflow(asked)
    return handle  # Any: see the overloads


async def _start(
    current: WorkflowRun, asked: StartChildWorkflowInput
) -> ChildWorkflowHandle[Any, Any]:  # Any: see the overloads
    children, convert = current.operations.children, current.values.to_payloads
    options = asked.options
    task_queue = options.get("task_queue")
    reuse = options.get("id_reuse_policy", WorkflowIDReusePolicy.ALLOW_DUPLICATE)
    terminates = reuse is WorkflowIDReusePolicy.TERMINATE_IF_RUNNING
    policy = options.get("retry_policy")
    memo: Mapping[str, Any] = options.get("memo") or {}  # Any: user's values
    command = StartChildWorkflowExecution(
        number=children.next_number(),
        workflow_id=check_workflow_id(asked.id),
        workflow_type=asked.workflow,
        task_queue=check_task_queue(task_queue or current.facts.started.task_queue),
        input=tuple(convert(asked.args)),
        header=dict(asked.headers),
        execution_timeout_ms=checked_ms("execution_timeout", options.get("execution_timeout")),
        run_timeout_ms=checked_ms("run_timeout", options.get("run_timeout")),
        task_timeout_ms=checked_ms("task_timeout", options.get("task_timeout")),
        parent_close_policy=_PARENT_CLOSE[
            options.get("parent_close_policy", ParentClosePolicy.TERMINATE)
        ],
        id_reuse_policy=_REUSE[reuse],
        id_conflict_policy=Conflict.TERMINATE_EXISTING if terminates else Conflict.FAIL,
        retry_policy=None if policy is None else to_options(policy),
        memo=check_memo(dict(zip(memo, convert(list(memo.values())), strict=True))),
        search_attributes=to_search_attributes(options.get("search_attributes")),
        cron_schedule=check_cron(options.get("cron_schedule") or ""),
        static_summary=check_text(
            "static_summary", options.get("static_summary") or "", bytes_max=SUMMARY_BYTES_MAX
        ),
        static_details=check_text(
            "static_details", options.get("static_details") or "", bytes_max=DETAILS_BYTES_MAX
        ),
        priority=inherited_priority(options.get("priority"), current.facts.started.priority),
    )
    return await children.start(
        command,
        namespace=current.facts.namespace,
        result_type=asked.result_type,
        cancellation_type=options.get(
            "cancellation_type", ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
        ),
    )


@overload
async def execute_child_workflow(
    workflow: Callable[[_Self], Awaitable[_Result]], **options: Unpack[ChildWorkflowConfig]
) -> _Result: ...
@overload
async def execute_child_workflow(
    workflow: Callable[[_Self, _Param], Awaitable[_Result]],
    arg: _Param,
    **options: Unpack[ChildWorkflowConfig],
) -> _Result: ...
@overload
async def execute_child_workflow(
    workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[ChildWorkflowConfig],
) -> _Result: ...
@overload
async def execute_child_workflow(
    workflow: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: type[_Result],
    **options: Unpack[ChildWorkflowConfig],
) -> _Result: ...
@overload
async def execute_child_workflow(
    workflow: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: Any = ...,  # Any: annotations are of no common type
    **options: Unpack[ChildWorkflowConfig],
) -> Any: ...  # Any: nothing is known of a workflow given by name
async def execute_child_workflow(
    workflow: Any,  # Any: a name or a run method
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    result_type: Any = None,  # Any: annotations are of no common type
    **options: Unpack[ChildWorkflowConfig],
) -> Any:  # Any: see the overloads
    """As `start_child_workflow`, and wait for the result: that of the child's last run.

    Raises:
        ChildWorkflowError: it ended otherwise; the cause says how.
    """
    call: Any = start_child_workflow  # Any: the overloads fit no forwarded call
    return await (await call(workflow, arg, args=args, result_type=result_type, **options))


_PARENT_CLOSE = {
    ParentClosePolicy.UNSPECIFIED: WirePolicy.TERMINATE,
    ParentClosePolicy.TERMINATE: WirePolicy.TERMINATE,
    ParentClosePolicy.ABANDON: WirePolicy.ABANDON,
    ParentClosePolicy.REQUEST_CANCEL: WirePolicy.REQUEST_CANCEL,
}
_REUSE = {
    WorkflowIDReusePolicy.ALLOW_DUPLICATE: Reuse.ALLOW_DUPLICATE,
    WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY: Reuse.ALLOW_DUPLICATE_FAILED_ONLY,
    WorkflowIDReusePolicy.REJECT_DUPLICATE: Reuse.REJECT_DUPLICATE,
    WorkflowIDReusePolicy.TERMINATE_IF_RUNNING: Reuse.ALLOW_DUPLICATE,
}
