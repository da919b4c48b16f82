"""The chain of interceptors of one run, and what stands at its two ends: the code, and the run.

Only made where there are interceptors; calls go straight to their handlers otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn, Protocol

from orchestrator.core.updates import UpdateRequest
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ApplicationError
from orchestrator.replay.facts import RunFacts
from orchestrator.replay.handlers import BoundHandler, Handlers, invoke
from orchestrator.replay.handles import ActivityHandle
from orchestrator.replay.interceptors import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)
from orchestrator.replay.operations import Operations
from orchestrator.replay.outbound import continue_as_new, schedule_activity
from orchestrator.replay.run_info import Info
from orchestrator.replay.values import Values
from orchestrator.wire.payload import Header


class InterceptedRun(Protocol):
    """The run, as far as its interceptors need it."""

    definition: WorkflowDefinition
    facts: RunFacts
    values: Values
    handlers: Handlers
    operations: Operations

    def own_info(self) -> Info:
        """What is known about the run."""
        ...


class Interception:
    """The chain of one run."""

    def __init__(
        self,
        run: InterceptedRun,
        instance: object,
        classes: Sequence[type[WorkflowInboundInterceptor]],
    ) -> None:
        """Make the links, outermost first in `classes`; this is user code."""
        self._run = run
        root = _InboundEnd(run, instance)
        inbound: WorkflowInboundInterceptor = root
        for made in reversed(classes):
            inbound = made(inbound)
        self._inbound = inbound
        inbound.init(_OutboundEnd(run))
        self.outbound = root.outbound

    def execute(self, args: Sequence[Any]) -> Coroutine[Any, Any, Any]:  # Any: user's values
        """Call the run method."""
        definition, headers = self._run.definition, self._run.facts.started.header
        return self._inbound.execute_workflow(
            ExecuteWorkflowInput(
                type=definition.cls, run_fn=definition.run, args=args, headers=headers
            )
        )

    def signal(
        self,
        name: str,
        args: Sequence[Any],  # Any: user's values
        header: Header,
    ) -> Coroutine[Any, Any, None]:  # Any: the types of coroutines
        """Call a signal's handler."""
        given = HandleSignalInput(signal=name, args=args, headers=header)
        return self._inbound.handle_signal(given)

    def query(self, name: str, args: Sequence[Any], header: Header) -> Any:  # Any: user's values
        """Call a query's handler, which cannot wait; neither can what stands around it."""
        given = HandleQueryInput(id="", query=name, args=args, headers=header)
        asking = self._inbound.handle_query(given)
        try:
            asking.send(None)
        except StopIteration as ended:
            return ended.value
        asking.close()
        raise ApplicationError(f"query {name!r}: an interceptor of a query must not wait")

    def validate(self, request: UpdateRequest, args: Sequence[Any]) -> None:  # Any: user's values
        """Call an update's validator."""
        self._inbound.handle_update_validator(_input_of(request, args))

    def update(
        self,
        request: UpdateRequest,
        args: Sequence[Any],  # Any: user's values
    ) -> Coroutine[Any, Any, Any]:  # Any: the handler's result
        """Call an update's handler."""
        return self._inbound.handle_update_handler(_input_of(request, args))


class _InboundEnd(WorkflowInboundInterceptor):
    """Calls the code."""

    def __init__(self, run: InterceptedRun, instance: object) -> None:
        # No `next`: this is the end of the chain.
        self._run = run
        self._instance = instance
        self.outbound: WorkflowOutboundInterceptor | None = None

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        self.outbound = outbound

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # Any: its result
        return await input.run_fn(self._instance, *input.args)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        handler = self._run.handlers.find_signal(input.signal)
        await _awaited(invoke(_there(handler, input.signal), input.signal, input.args))

    async def handle_query(self, input: HandleQueryInput) -> Any:  # Any: its answer
        handler = self._run.handlers.find_query(input.query)
        return invoke(_there(handler, input.query), input.query, input.args)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        handler = self._run.handlers.update(input.update)
        validator = None if handler is None else handler.validator
        if handler is not None and validator is not None:
            invoke(handler._replace(function=validator), input.update, input.args)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # Any: its result
        handler = self._run.handlers.update(input.update)
        return await _awaited(invoke(_there(handler, input.update), input.update, input.args))


class _OutboundEnd(WorkflowOutboundInterceptor):
    """Tells the run what its code asks for."""

    def __init__(self, run: InterceptedRun) -> None:
        # No `next`: this is the end of the chain.
        self._run = run

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        continue_as_new(self._run, input)

    def info(self) -> Info:
        return self._run.own_info()

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # Any: its result
        return schedule_activity(self._run, input)

    def start_local_activity(
        self, input: StartLocalActivityInput
    ) -> ActivityHandle[Any]:  # Any: its result
        return input.proceed(input)

    async def start_child_workflow(
        self, input: StartChildWorkflowInput
    ) -> Any:  # Any: a ChildWorkflowHandle
        return await input.proceed(input)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        await input.proceed(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        await input.proceed(input)


def _input_of(request: UpdateRequest, args: Sequence[Any]) -> HandleUpdateInput:  # Any: user's
    return HandleUpdateInput(
        id=request.update_id, update=request.update_name, args=args, headers=request.header
    )


def _there(handler: BoundHandler | None, name: str) -> BoundHandler:
    """The handler that was there when the message was taken, unless the code has removed it."""
    if handler is None:
        raise ApplicationError(f"the handler of {name!r} was removed", type="NotFoundError")
    return handler


async def _awaited(result: Any) -> Any:  # Any: handlers may be sync or async
    return await result if inspect.isawaitable(result) else result
