"""Interceptors of workflow code: they stand around its calls, outermost first, and pass headers on.

Each link hands the input on to `next`, changed or not; what is not overridden passes through. They
run inside of the workflow, on replay as well, and must be as deterministic as its code is. Names
and fields are those of Temporal's Python SDK.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from orchestrator.common import Priority, RetryPolicy, TypedSearchAttributes
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.run_info import Info
from orchestrator.wire.payload import Payload

AnyCallable = Callable[..., Any]  # Any: a user function of any signature


@dataclass
class ExecuteWorkflowInput:
    """A run's method is called. `run_fn` takes the object first."""

    type: type
    run_fn: AnyCallable
    args: Sequence[Any]  # Any: user's values
    headers: Mapping[str, Payload]


@dataclass
class HandleSignalInput:
    """A signal's handler is called; a dynamic one's `args` are `RawValue`s."""

    signal: str
    args: Sequence[Any]  # Any: user's values
    headers: Mapping[str, Payload]


@dataclass
class HandleQueryInput:
    """A query's handler is called; a dynamic one's `args` are `RawValue`s."""

    id: str
    query: str
    args: Sequence[Any]  # Any: user's values
    headers: Mapping[str, Payload]


@dataclass
class HandleUpdateInput:
    """An update's validator or handler is called; a dynamic one's `args` are `RawValue`s."""

    id: str
    update: str
    args: Sequence[Any]  # Any: user's values
    headers: Mapping[str, Payload]


@dataclass
class StartActivityInput:
    """Workflow code starts an activity. `result_type` is what its result is read as."""

    activity: str
    args: Sequence[Any]  # Any: user's values
    activity_id: str | None
    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    headers: Mapping[str, Payload]
    summary: str | None
    result_type: Any  # Any: annotations are of no common type
    priority: Priority | None = None


@dataclass
class ContinueAsNewInput:
    """Workflow code ends its run and starts the next; what is None is inherited, and so are empty
    headers."""

    workflow: str | None
    args: Sequence[Any]  # Any: user's values
    task_queue: str | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | None  # Any: user's values
    search_attributes: TypedSearchAttributes | None
    backoff_start_interval: timedelta | None
    headers: Mapping[str, Payload]


@dataclass
class StartLocalActivityInput:
    """Workflow code starts a local activity; `options` are those of the call. `proceed` does it:
    the end of the chain calls it."""

    activity: str
    args: Sequence[Any]  # Any: user's values
    options: Mapping[str, Any]  # Any: of no common type
    headers: Mapping[str, Payload]
    result_type: Any  # Any: annotations are of no common type
    proceed: Callable[[StartLocalActivityInput], ActivityHandle[Any]]  # Any: its result


@dataclass
class StartChildWorkflowInput:
    """Workflow code starts a child; `options` are those of the call. `proceed` does it: the end of
    the chain calls it."""

    workflow: str
    id: str
    args: Sequence[Any]  # Any: user's values
    options: Mapping[str, Any]  # Any: of no common type
    headers: Mapping[str, Payload]
    result_type: Any  # Any: annotations are of no common type
    proceed: Callable[[StartChildWorkflowInput], Awaitable[Any]]  # Any: a ChildWorkflowHandle


@dataclass
class SignalExternalWorkflowInput:
    """Workflow code signals another workflow. `proceed` does it: the end of the chain calls it."""

    signal: str
    args: Sequence[Any]  # Any: user's values
    workflow_id: str
    workflow_run_id: str | None
    headers: Mapping[str, Payload]
    proceed: Callable[[SignalExternalWorkflowInput], Awaitable[None]]


@dataclass
class SignalChildWorkflowInput(SignalExternalWorkflowInput):
    """Workflow code signals its child."""


class WorkflowOutboundInterceptor:
    """Stands around what workflow code asks for."""

    def __init__(self, next: WorkflowOutboundInterceptor) -> None:
        self.next = next

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        """`workflow.continue_as_new`."""
        self.next.continue_as_new(input)

    def info(self) -> Info:
        """`workflow.info`."""
        return self.next.info()

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # Any: its result
        """`workflow.start_activity` and `execute_activity`."""
        return self.next.start_activity(input)

    def start_local_activity(
        self, input: StartLocalActivityInput
    ) -> ActivityHandle[Any]:  # Any: its result
        """`workflow.start_local_activity` and `execute_local_activity`."""
        return self.next.start_local_activity(input)

    async def start_child_workflow(
        self, input: StartChildWorkflowInput
    ) -> Any:  # Any: a ChildWorkflowHandle
        """`workflow.start_child_workflow` and `execute_child_workflow`; returns the handle."""
        return await self.next.start_child_workflow(input)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        """`ChildWorkflowHandle.signal`."""
        await self.next.signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        """`ExternalWorkflowHandle.signal`."""
        await self.next.signal_external_workflow(input)


class WorkflowInboundInterceptor:
    """Stands around the calls of workflow code; one is made for each run."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:
        self.next = next

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """The run begins. Override it to put a link of one's own before `outbound`:
        `super().init(MyOutbound(outbound))`."""
        self.next.init(outbound)

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # Any: its result
        """The run method."""
        return await self.next.execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        """A signal's handler."""
        await self.next.handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:  # Any: its answer
        """A query's handler; nothing may be waited for."""
        return await self.next.handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        """An update's validator, where it has one."""
        self.next.handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # Any: its result
        """An update's handler."""
        return await self.next.handle_update_handler(input)
