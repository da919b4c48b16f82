"""Interceptors of a client: they stand around its calls, outermost first, and put headers on them.

Each link hands the input on to `next`, changed or not; what is not overridden passes through. Names
are those of Temporal's Python SDK. Headers travel with a start, a signal, a query and an update to
the interceptors of the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrator.client.activity_descriptions import ActivityExecutionDescription
from orchestrator.client.activity_start import StartActivityInput
from orchestrator.client.descriptions import WorkflowExecutionDescription
from orchestrator.client.options import WorkflowStartOptions
from orchestrator.client.updates import WorkflowUpdateStage
from orchestrator.common import QueryRejectCondition
from orchestrator.wire.payload import Payload


@dataclass
class StartWorkflowInput:
    """A workflow is started; `options` are those of the call. The signal of a signal-with-start is
    among them, and gets the same headers."""

    workflow: str
    args: Sequence[Any]  # Any: user's values
    options: WorkflowStartOptions
    headers: Mapping[str, Payload]
    ret_type: Any  # Any: annotations are of no common type

    @property
    def id(self) -> str:
        """The workflow id."""
        return self.options["id"]

    @property
    def task_queue(self) -> str:
        """Whose workers run it."""
        return self.options["task_queue"]


@dataclass
class SignalWorkflowInput:
    """A signal is sent."""

    id: str
    run_id: str | None
    signal: str
    args: Sequence[Any]  # Any: user's values
    headers: Mapping[str, Payload]


@dataclass
class QueryWorkflowInput:
    """A query is asked; `ret_type` is what the answer is read as."""

    id: str
    run_id: str | None
    query: str
    args: Sequence[Any]  # Any: user's values
    reject_condition: QueryRejectCondition | None
    headers: Mapping[str, Payload]
    ret_type: Any  # Any: annotations are of no common type
    rpc_timeout: timedelta | None


@dataclass
class StartWorkflowUpdateInput:
    """An update is sent. `update_id` None: one is made."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    update_id: str | None
    update: str
    args: Sequence[Any]  # Any: user's values
    wait_for_stage: WorkflowUpdateStage
    headers: Mapping[str, Payload]
    ret_type: Any  # Any: annotations are of no common type
    rpc_timeout: timedelta | None


@dataclass
class StartUpdateWithStartInput:
    """A start and an update in one; the update's `id` is the start's. `operation` is the
    `WithStartWorkflowOperation` of the call."""

    start: StartWorkflowInput
    update: StartWorkflowUpdateInput
    operation: Any  # Any: told of the run, whatever its type


@dataclass
class CancelWorkflowInput:
    """Cancellation is asked for."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    reason: str


@dataclass
class TerminateWorkflowInput:
    """A run is ended from outside."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    args: Sequence[Any]  # Any: user's values
    reason: str


@dataclass
class DescribeWorkflowInput:
    """A run is looked at."""

    id: str
    run_id: str | None


@dataclass
class CancelActivityInput:
    """A standalone activity is asked to end."""

    activity_id: str
    run_id: str | None
    reason: str


@dataclass
class TerminateActivityInput:
    """A standalone activity is ended from outside."""

    activity_id: str
    run_id: str | None
    reason: str


@dataclass
class DescribeActivityInput:
    """A standalone activity is looked at."""

    activity_id: str
    run_id: str | None


class OutboundInterceptor:
    """Stands around the calls of a client and of the handles that it gives."""

    def __init__(self, next: OutboundInterceptor) -> None:
        self.next = next

    async def start_workflow(self, input: StartWorkflowInput) -> Any:  # Any: a WorkflowHandle
        """`Client.start_workflow` and `execute_workflow`; returns the handle."""
        return await self.next.start_workflow(input)

    async def start_activity(self, input: StartActivityInput) -> Any:  # Any: an ActivityHandle
        """`Client.start_activity` and `execute_activity`; returns the handle."""
        return await self.next.start_activity(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        """`WorkflowHandle.signal`."""
        await self.next.signal_workflow(input)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # Any: the answer
        """`WorkflowHandle.query`."""
        return await self.next.query_workflow(input)

    async def start_workflow_update(
        self, input: StartWorkflowUpdateInput
    ) -> Any:  # Any: a WorkflowUpdateHandle
        """`WorkflowHandle.start_update` and `execute_update`; returns the update's handle."""
        return await self.next.start_workflow_update(input)

    async def start_update_with_start_workflow(
        self, input: StartUpdateWithStartInput
    ) -> Any:  # Any: a WorkflowUpdateHandle
        """`Client.start_update_with_start_workflow` and its `execute_` form."""
        return await self.next.start_update_with_start_workflow(input)

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        """`WorkflowHandle.cancel`."""
        await self.next.cancel_workflow(input)

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:
        """`WorkflowHandle.terminate`."""
        await self.next.terminate_workflow(input)

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        """`WorkflowHandle.describe`."""
        return await self.next.describe_workflow(input)

    async def cancel_activity(self, input: CancelActivityInput) -> None:
        """`ActivityHandle.cancel`."""
        await self.next.cancel_activity(input)

    async def terminate_activity(self, input: TerminateActivityInput) -> None:
        """`ActivityHandle.terminate`."""
        await self.next.terminate_activity(input)

    async def describe_activity(self, input: DescribeActivityInput) -> ActivityExecutionDescription:
        """`ActivityHandle.describe`."""
        return await self.next.describe_activity(input)


class Interceptor:
    """Gives a client its links. One that is an interceptor of workers too stands around the workers
    of that client as well."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """The link around the client's calls; `next` to have none."""
        return next
