"""Interceptors of a worker: around its activities, and which classes stand around its workflows.

Each link hands the input on to `next`, changed or not; what is not overridden passes through. Names
and fields are those of Temporal's Python SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from orchestrator.activity import Info
from orchestrator.replay.interceptors import WorkflowInboundInterceptor
from orchestrator.wire.payload import Payload


@dataclass
class ExecuteActivityInput:
    """An activity's function is called; `executor` is where a sync one runs."""

    fn: Callable[..., Any]  # Any: a user function of any signature
    args: Sequence[Any]  # Any: user's values
    executor: Executor | None
    headers: Mapping[str, Payload]


class ActivityOutboundInterceptor:
    """Stands around what activity code asks for."""

    def __init__(self, next: ActivityOutboundInterceptor) -> None:
        self.next = next

    def info(self) -> Info:
        """`activity.info`."""
        return self.next.info()

    def heartbeat(self, *details: Any) -> None:  # Any: user's values
        """`activity.heartbeat`; in whatever thread the activity runs."""
        self.next.heartbeat(*details)


class ActivityInboundInterceptor:
    """Stands around the call of an activity's function; one is made for each attempt. It runs on
    the worker's event loop, also where the function runs in a thread or process."""

    def __init__(self, next: ActivityInboundInterceptor) -> None:
        self.next = next

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        """The attempt begins. Override it to put a link of one's own before `outbound`; activities
        in other processes do not see it."""
        self.next.init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # Any: its result
        """The function."""
        return await self.next.execute_activity(input)


@dataclass(frozen=True)
class WorkflowInterceptorClassInput:
    """What a worker's interceptor is told when it is asked for its workflow class."""

    unsafe_extern_functions: MutableMapping[str, Callable[..., Any]] = field(  # Any: user's
        default_factory=dict[str, Callable[..., Any]]  # Any: as above
    )
    """Has no effect: nothing reads what is put here, and there is no `workflow.extern_functions()`.
    There is no sandbox either, so the class that is returned may import or hold what it calls."""


class Interceptor:
    """Gives a worker its links; outermost first in the list that the worker is given."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """The link around activities; `next` to have none."""
        return next

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class of the link around workflows, called with the next one; None: there is none."""
        return None


def workflow_classes(
    interceptors: Sequence[Interceptor],
) -> tuple[type[WorkflowInboundInterceptor], ...]:
    """Whom `interceptors` want to stand around workflows, in their order."""
    found = (
        one.workflow_interceptor_class(WorkflowInterceptorClassInput()) for one in interceptors
    )
    return tuple(made for made in found if made is not None)
