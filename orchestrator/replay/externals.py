"""What one run sends to other workflows: signals and requests to cancel, and their answers.

Each is known by its number in program order until history has its event, and by that event's id
from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from orchestrator.exceptions import ApplicationError
from orchestrator.limits import PENDING_EXTERNALS_MAX
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.handles import until_done
from orchestrator.replay.interceptors import (
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    WorkflowOutboundInterceptor,
)
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire import relation_events as r


class ExternalHost(Protocol):
    """Who takes the commands."""

    @property
    def evicting(self) -> bool: ...

    @property
    def outbound(self) -> WorkflowOutboundInterceptor | None: ...

    def add(self, command: c.Command) -> None: ...

    def drop_start(self, command: type[c.Command], identity: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A workflow, or with `child_initiated_event_id` the child of that event."""

    workflow_id: str
    run_id: str | None = None
    child_initiated_event_id: int = 0


class Externals:
    """Numbers these acts in program order and settles the futures of those who wait."""

    def __init__(self, host: ExternalHost, loop: DurableLoop, values: Values) -> None:
        self._host = host
        self._loop = loop
        self._values = values
        self._last = 0
        self._pending: dict[int, asyncio.Future[None]] = {}
        self._numbers: dict[int, int] = {}

    async def signal(self, target: Target, name: str, args: Sequence[Any]) -> None:  # Any: user's
        """Send a signal and wait for its answer; see `SignalTarget.signal`."""
        outbound = self._host.outbound
        kind = SignalChildWorkflowInput if target.child_initiated_event_id else None
        asked = (kind or SignalExternalWorkflowInput)(
            signal=name,
            args=args,
            workflow_id=target.workflow_id,
            workflow_run_id=target.run_id,
            headers={},
            proceed=partial(self._signal, target),
        )
        if outbound is None:
            await self._signal(target, asked)
        elif isinstance(asked, SignalChildWorkflowInput):
            await outbound.signal_child_workflow(asked)
        else:
            await outbound.signal_external_workflow(asked)

    async def _signal(self, target: Target, asked: SignalExternalWorkflowInput) -> None:
        payloads = tuple(self._values.to_payloads(asked.args))
        number, answered = self._next()
        self._host.add(
            c.SignalExternalWorkflowExecution(
                number=number,
                workflow_id=target.workflow_id,
                signal_name=asked.signal,
                run_id=target.run_id,
                input=payloads,
                header=dict(asked.headers),
                child_initiated_event_id=target.child_initiated_event_id,
            )
        )
        cancelled: asyncio.CancelledError | None = None
        while not answered.done():
            try:
                await until_done(answered)
            except asyncio.CancelledError as error:
                if answered.done() or self._host.evicting:
                    raise
                if self._host.drop_start(c.SignalExternalWorkflowExecution, str(number)):
                    del self._pending[number]
                    raise
                cancelled = error
        answered.result()
        if cancelled is not None:
            raise cancelled  # It could not stop the signal, and must not be lost.

    async def cancel(self, target: Target, reason: str) -> None:
        """Ask another workflow to end and wait for the answer; nothing takes the request back."""
        answered = self.request_cancel(target, reason)
        await until_done(answered)
        answered.result()

    def request_cancel(self, target: Target, reason: str) -> asyncio.Future[None]:
        """Ask another workflow to end; the future has the answer."""
        number, answered = self._next()
        self._host.add(
            c.RequestCancelExternalWorkflowExecution(
                number=number,
                workflow_id=target.workflow_id,
                run_id=target.run_id,
                reason=reason,
                child_initiated_event_id=target.child_initiated_event_id,
            )
        )
        return answered

    def bind(self, number: int, event_id: int) -> None:
        """History has the act as event `event_id`."""
        self._numbers[event_id] = number

    def end(self, event: r.ExternalEndEvent) -> None:
        """Give the waiting code the answer.

        Raises:
            NondeterminismError: no act of this code is the one that history speaks of.
        """
        number = self._numbers.pop(event.initiated_event_id, None)
        answered = None if number is None else self._pending.pop(number, None)
        if answered is None:
            raise NondeterminismError(
                f"history answers event {event.initiated_event_id}, by which this code has not "
                "sent anything to another workflow"
            )
        match event:
            case r.ExternalWorkflowExecutionSignaled():
                answered.set_result(None)
            case r.ExternalWorkflowExecutionCancelRequested():
                answered.set_result(None)
            case r.SignalExternalWorkflowExecutionFailed():
                _fail(answered, f"cannot signal workflow {event.workflow_id!r}: no run is open")
            case r.RequestCancelExternalWorkflowExecutionFailed():
                _fail(answered, f"cannot cancel workflow {event.workflow_id!r}: no run is open")

    def _next(self) -> tuple[int, asyncio.Future[None]]:
        if len(self._pending) >= PENDING_EXTERNALS_MAX:
            raise RuntimeError(
                f"{PENDING_EXTERNALS_MAX} signals and cancels of other workflows are pending; "
                "wait for some before the next"
            )
        self._last += 1
        answered = self._pending[self._last] = self._loop.create_future()
        return self._last, answered


def _fail(answered: asyncio.Future[None], message: str) -> None:
    answered.set_exception(ApplicationError(message, type="ExternalWorkflowExecutionNotFound"))
    # Looked at here: nobody may wait, as for the cancellation of a child that has ended.
    answered.exception()
