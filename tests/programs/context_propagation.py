"""Context propagation: who acts is set once, at the client, and known in all that follows.

One interceptor for both sides. The client puts the context variable into the headers of what it
sends; the worker sets it from them around workflow code and activities, and hands it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from orchestrator import activity, client, worker, workflow
from orchestrator.converter import Payload, default

USER: ContextVar[str] = ContextVar("user", default="nobody")
_HEADER = "user"


def _with_user(headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
    return {**headers, _HEADER: default().payload_converter.to_payload(USER.get())}


def _take_user(headers: Mapping[str, Payload]) -> None:
    payload = headers.get(_HEADER)
    if payload is not None:
        USER.set(default().payload_converter.from_payload(payload, str))


class ContextPropagation(client.Interceptor, worker.Interceptor):
    """For the client; its workers have it too then."""

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        """What the client sends."""
        return _ClientOutbound(next)

    def intercept_activity(
        self, next: worker.ActivityInboundInterceptor
    ) -> worker.ActivityInboundInterceptor:
        """What activities are called with."""
        return _ActivityInbound(next)

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor]:
        """What workflow code is called with."""
        return _WorkflowInbound


class _ClientOutbound(client.OutboundInterceptor):
    async def start_workflow(self, input: client.StartWorkflowInput) -> Any:  # Any: a handle
        input.headers = _with_user(input.headers)
        return await super().start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:
        input.headers = _with_user(input.headers)
        await super().signal_workflow(input)

    async def query_workflow(self, input: client.QueryWorkflowInput) -> Any:  # Any: the answer
        input.headers = _with_user(input.headers)
        return await super().query_workflow(input)

    async def start_workflow_update(
        self, input: client.StartWorkflowUpdateInput
    ) -> Any:  # Any: a handle
        input.headers = _with_user(input.headers)
        return await super().start_workflow_update(input)


class _ActivityInbound(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # Any: its result
        _take_user(input.headers)
        return await super().execute_activity(input)


class _WorkflowInbound(worker.WorkflowInboundInterceptor):
    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # Any: its result
        _take_user(input.headers)
        return await super().execute_workflow(input)

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:
        _take_user(input.headers)
        await super().handle_signal(input)

    async def handle_query(self, input: worker.HandleQueryInput) -> Any:  # Any: its answer
        _take_user(input.headers)
        return await super().handle_query(input)

    def handle_update_validator(self, input: worker.HandleUpdateInput) -> None:
        _take_user(input.headers)
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:  # Any: result
        _take_user(input.headers)
        return await super().handle_update_handler(input)


class _WorkflowOutbound(worker.WorkflowOutboundInterceptor):
    def start_activity(
        self, input: worker.StartActivityInput
    ) -> workflow.ActivityHandle[Any]:  # Any: its result
        input.headers = _with_user(input.headers)
        return super().start_activity(input)


@activity.defn
async def whoami() -> str:
    """Who acts, as the activity knows it."""
    return f"activity of {USER.get()}"


@activity.defn
def whoami_in_a_thread() -> str:
    """The same for a sync one."""
    return f"thread of {USER.get()}"


@workflow.defn
class Audited:
    """Writes down who did what."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.closed = False

    @workflow.run
    async def run(self) -> list[str]:
        """Two activities, then what messages bring."""
        self.log.append(f"run of {USER.get()}")
        for name in ("whoami", "whoami_in_a_thread"):
            self.log.append(
                await workflow.execute_activity(
                    name, result_type=str, start_to_close_timeout=timedelta(seconds=10)
                )
            )
        await workflow.wait_condition(lambda: self.closed)
        return self.log

    @workflow.signal
    async def note(self, text: str) -> None:
        """A note, and who made it."""
        self.log.append(f"{text} by {USER.get()}")
        self.log.append(
            await workflow.execute_activity(whoami, start_to_close_timeout=timedelta(seconds=10))
        )

    @workflow.query
    def asked_by(self) -> str:
        """Who asks."""
        return USER.get()

    @workflow.query
    def lines(self) -> list[str]:
        """What was written so far."""
        return self.log

    @workflow.update
    async def close(self) -> str:
        """Ends the run; the owner may do so."""
        self.closed = True
        return f"closed by {USER.get()}"

    @close.validator
    def only_the_owner(self) -> None:
        """Nobody else."""
        if USER.get() != "Ada":
            raise PermissionError(f"{USER.get()} is not the owner")


WORKFLOWS = [Audited]
ACTIVITIES = [whoami, whoami_in_a_thread]
INTERCEPTORS = [ContextPropagation()]
