"""The end of a client's chain of interceptors: what does the calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from orchestrator.client.activity_descriptions import ActivityExecutionDescription
from orchestrator.client.activity_handle import ActivityHandle
from orchestrator.client.activity_start import StartActivityInput
from orchestrator.client.descriptions import WorkflowExecutionDescription
from orchestrator.client.handle import WorkflowHandle
from orchestrator.client.interceptors import (
    CancelActivityInput,
    CancelWorkflowInput,
    DescribeActivityInput,
    DescribeWorkflowInput,
    Interceptor,
    OutboundInterceptor,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartUpdateWithStartInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    TerminateActivityInput,
    TerminateWorkflowInput,
)
from orchestrator.client.updates import WorkflowUpdateHandle


class Sender(Protocol):
    """A client, past its interceptors."""

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[Any, Any]:  # Any: nothing is known of it
        """A handle without any I/O."""
        ...

    def get_activity_handle(
        self, activity_id: str, *, run_id: str | None = None
    ) -> ActivityHandle[Any]:  # Any: nothing is known of it
        """A handle without any I/O."""
        ...

    async def send_start(
        self, given: StartWorkflowInput
    ) -> WorkflowHandle[Any, Any]:  # Any: nothing is known of it
        """Start a workflow."""
        ...

    async def send_activity_start(
        self, given: StartActivityInput
    ) -> ActivityHandle[Any]:  # Any: nothing is known of it
        """Start a standalone activity."""
        ...

    async def send_update_with_start(
        self, given: StartUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:  # Any: nothing is known of it
        """Start a workflow and send it an update."""
        ...


def chain_of(client: Sender, interceptors: Sequence[Interceptor]) -> OutboundInterceptor | None:
    """The chain, outermost first in `interceptors`; None: there is none, and calls are direct."""
    if not interceptors:
        return None
    chain: OutboundInterceptor = _End(client)
    for one in reversed(interceptors):
        chain = one.intercept_client(chain)
    return chain


class _End(OutboundInterceptor):
    """Does the calls."""

    def __init__(self, client: Sender) -> None:
        # No `next`: this is the end of the chain.
        self._client = client

    async def start_workflow(self, input: StartWorkflowInput) -> Any:  # Any: a WorkflowHandle
        return await self._client.send_start(input)

    async def start_activity(self, input: StartActivityInput) -> Any:  # Any: an ActivityHandle
        return await self._client.send_activity_start(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await self._handle(input).send_signal(input)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # Any: the answer
        return await self._handle(input).send_query(input)

    async def start_workflow_update(
        self, input: StartWorkflowUpdateInput
    ) -> Any:  # Any: a WorkflowUpdateHandle
        return await self._handle(input, chain=input.first_execution_run_id).send_update(input)

    async def start_update_with_start_workflow(
        self, input: StartUpdateWithStartInput
    ) -> Any:  # Any: a WorkflowUpdateHandle
        return await self._client.send_update_with_start(input)

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        await self._handle(input, chain=input.first_execution_run_id).send_cancel(input)

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:
        await self._handle(input, chain=input.first_execution_run_id).send_terminate(input)

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        return await self._handle(input).look()

    async def cancel_activity(self, input: CancelActivityInput) -> None:
        await self._activity(input).send_cancel(input)

    async def terminate_activity(self, input: TerminateActivityInput) -> None:
        await self._activity(input).send_terminate(input)

    async def describe_activity(self, input: DescribeActivityInput) -> ActivityExecutionDescription:
        return await self._activity(input).look()

    def _activity(
        self, input: CancelActivityInput | TerminateActivityInput | DescribeActivityInput
    ) -> ActivityHandle[Any]:  # Any: nothing is known of it
        return self._client.get_activity_handle(input.activity_id, run_id=input.run_id)

    def _handle(
        self,
        input: SignalWorkflowInput
        | QueryWorkflowInput
        | StartWorkflowUpdateInput
        | CancelWorkflowInput
        | TerminateWorkflowInput
        | DescribeWorkflowInput,
        *,
        chain: str | None = None,
    ) -> WorkflowHandle[Any, Any]:  # Any: nothing is known of it
        return self._client.get_workflow_handle(
            input.id, run_id=input.run_id, first_execution_run_id=chain
        )
