"""The children of one run: asked for, started, cancelled, ended.

A child is known by its number in program order until history has its event, and by that event's id
from then on. It stays known after a cancellation that nobody waits for, since its end is recorded
all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar

from orchestrator.exceptions import (
    CancelledError,
    ChildWorkflowError,
    RetryState,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from orchestrator.limits import PENDING_CHILDREN_MAX
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.externals import ExternalHost, Externals, Target
from orchestrator.replay.handles import OperationHandle, reason_of, until_done
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.signal_target import SelfT, Send, SignalTarget
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire import relation_events as r
from orchestrator.wire.options import RetryOutcome
from orchestrator.wire.payload import Payload

ReturnT = TypeVar("ReturnT")


class ChildWorkflowCancellationType(IntEnum):
    """What the waiting workflow code sees when it cancels a child."""

    ABANDON = 0
    """Nothing is asked of the child, and the wait ends at once."""
    TRY_CANCEL = 1
    """The child is asked to end, and the wait ends at once."""
    WAIT_CANCELLATION_COMPLETED = 2
    """The child is asked to end, and the wait goes on until it has ended, in whatever way."""
    WAIT_CANCELLATION_REQUESTED = 3
    """The child is asked to end, and the wait ends when the request is in its inbox."""


class ChildWorkflowHandle(OperationHandle[ReturnT], SignalTarget[SelfT], Generic[SelfT, ReturnT]):
    """A child that was started; await it for its result, cancel it to ask for its end."""

    def __init__(self, id: str, first_execution_run_id: str, *, send: Send, **task: Any) -> None:
        # Any: what OperationHandle takes
        """Made by `workflow.start_child_workflow`."""
        self._id = id
        self._first_execution_run_id = first_execution_run_id
        self._send = send
        super().__init__(**task)

    @property
    def id(self) -> str:
        """The child's workflow id."""
        return self._id

    @property
    def first_execution_run_id(self) -> str:
        """The run that the child began with; the result is that of its last one."""
        return self._first_execution_run_id


class PendingChild:
    """A child that was asked for and has not ended. `exists` is settled by its start, `result` by
    its end."""

    def __init__(
        self,
        command: c.StartChildWorkflowExecution,
        loop: DurableLoop,
        *,
        namespace: str,
        result_type: Any,  # Any: an annotation
        cancellation_type: ChildWorkflowCancellationType,
    ) -> None:
        self.command = command
        self.exists: asyncio.Future[None] = loop.create_future()
        self.result: asyncio.Future[Any] = loop.create_future()  # Any: results of any type
        self.namespace = namespace
        self.result_type = result_type
        self.cancellation_type = cancellation_type
        self.initiated_event_id = 0
        self.started_event_id = 0
        self.run_id = ""
        self.cancel_requested = False

    @property
    def target(self) -> Target:
        """The child, for signals and requests to cancel."""
        return Target(
            workflow_id=self.command.workflow_id, child_initiated_event_id=self.initiated_event_id
        )

    def fail(
        self, message: str, cause: BaseException, *, outcome: RetryOutcome | None = None
    ) -> None:
        """End both waits with a ChildWorkflowError whose cause is `cause`."""
        error = ChildWorkflowError(
            message,
            namespace=self.namespace,
            workflow_id=self.command.workflow_id,
            run_id=self.run_id,
            workflow_type=self.command.workflow_type,
            initiated_event_id=self.initiated_event_id,
            started_event_id=self.started_event_id,
            retry_state=None if outcome is None else RetryState[outcome.name],
        )
        error.__cause__ = cause
        self.raise_in_code(error)

    def raise_in_code(self, error: BaseException) -> None:
        """End both waits with `error`, as far as they have not ended."""
        for future in (self.exists, self.result):
            if not future.done():
                future.set_exception(error)
                # Looked at here: whether it is reported as unseen is decided by the handle.
                future.exception()


class ChildHost(ExternalHost, Protocol):
    """Who takes the commands, and knows whether the run itself was cancelled."""

    @property
    def is_cancelled(self) -> bool: ...


class Children:
    """Numbers children in program order and settles the futures of their handles."""

    def __init__(
        self, host: ChildHost, loop: DurableLoop, values: Values, externals: Externals
    ) -> None:
        self._host = host
        self._loop = loop
        self._values = values
        self._externals = externals
        self._last = 0
        self._pending: dict[int, PendingChild] = {}
        self._numbers: dict[int, int] = {}

    def next_number(self) -> int:
        """The number of the next child.

        Raises:
            RuntimeError: too many are pending.
        """
        if len(self._pending) >= PENDING_CHILDREN_MAX:
            raise RuntimeError(
                f"{PENDING_CHILDREN_MAX} children are pending; wait for some before the next"
            )
        self._last += 1
        return self._last

    async def start(
        self,
        command: c.StartChildWorkflowExecution,
        *,
        namespace: str,
        result_type: Any,  # Any: an annotation
        cancellation_type: ChildWorkflowCancellationType,
    ) -> ChildWorkflowHandle[Any, Any]:  # Any: the face knows the types
        """Wish for a child whose number is from `next_number`, and wait until it exists."""
        self._host.add(command)
        pending = self._pending[command.number] = PendingChild(
            command,
            self._loop,
            namespace=namespace,
            result_type=result_type,
            cancellation_type=cancellation_type,
        )
        await self._until_started(pending)

        async def send(name: str, args: Sequence[Any]) -> None:  # Any: user's values
            await self._externals.signal(pending.target, name, args)

        def request_cancel(reason: str) -> None:
            self._cancel(pending, reason)

        handle: ChildWorkflowHandle[Any, Any] = ChildWorkflowHandle(
            command.workflow_id,
            pending.run_id,
            send=send,
            result=pending.result,
            request_cancel=request_cancel,
            evicting=lambda: self._host.evicting,
            numbers=self._loop,
            loop=self._loop,
            name=f"child {command.workflow_type} {command.workflow_id}",
        )
        self._loop.keep(handle)
        return handle

    def bind(self, number: int, event_id: int) -> None:
        """History has the child as event `event_id`."""
        self._numbers[event_id] = number
        pending = self._pending.get(number)
        if pending is not None:
            pending.initiated_event_id = event_id

    def begin(self, event: r.ChildWorkflowExecutionStarted, event_id: int) -> None:
        """A child exists.

        Raises:
            NondeterminismError: no child of this code is the one that history speaks of.
        """
        pending = self._find(event.initiated_event_id)
        pending.started_event_id, pending.run_id = event_id, event.run_id
        if not pending.exists.done():
            pending.exists.set_result(None)

    def end(self, event: r.ChildEndEvent) -> None:
        """Give the waiting code the end of its child; late ends of cancelled ones change nothing.

        Raises:
            NondeterminismError: no child of this code is the one that history speaks of.
        """
        pending = self._find(event.initiated_event_id)
        del self._pending[self._numbers.pop(event.initiated_event_id)]
        match event:
            case r.StartChildWorkflowExecutionFailed():
                command = pending.command
                pending.raise_in_code(
                    WorkflowAlreadyStartedError(command.workflow_id, command.workflow_type)
                )
            case r.ChildWorkflowExecutionCompleted():
                self._complete(pending, event)
            case r.ChildWorkflowExecutionFailed():
                cause = self._values.from_failure(event.failure)
                outcome = event.retry_outcome
                pending.fail("Child Workflow execution failed", cause, outcome=outcome)
            case r.ChildWorkflowExecutionCanceled():
                canceled = CancelledError("Cancelled", *self._details(event.details))
                pending.fail("Child Workflow execution cancelled", canceled)
            case r.ChildWorkflowExecutionTimedOut():
                late = TimeoutError("Workflow timed out", type=TimeoutType.START_TO_CLOSE)
                outcome = event.retry_outcome
                pending.fail("Child Workflow execution timed out", late, outcome=outcome)
            case r.ChildWorkflowExecutionTerminated():
                message = event.reason or "Terminated"
                terminated = TerminatedError(message, *self._details(event.details))
                pending.fail("Child Workflow execution terminated", terminated)

    async def _until_started(self, pending: PendingChild) -> None:
        while True:
            try:
                await until_done(pending.exists)
                pending.exists.result()
                return
            except asyncio.CancelledError as error:
                if self._host.evicting:
                    raise
                was_known = pending.exists.done()
                self._cancel(pending, reason_of(error))
                # Who cancels the run, or comes with the news, is not to be answered by the child.
                if was_known or self._host.is_cancelled:
                    raise
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()

    def _find(self, event_id: int) -> PendingChild:
        number = self._numbers.get(event_id)
        pending = None if number is None else self._pending.get(number)
        if pending is None:
            raise NondeterminismError(
                f"history has news of the child of event {event_id}, which this code did not start"
            )
        return pending

    def _cancel(self, pending: PendingChild, reason: str) -> None:
        if self._host.evicting or pending.result.done() or pending.cancel_requested:
            return
        pending.cancel_requested = True
        kind, number = pending.cancellation_type, pending.command.number
        if self._host.drop_start(c.StartChildWorkflowExecution, str(number)):
            del self._pending[number]
            _end_cancelled(pending)
            return
        if kind is ChildWorkflowCancellationType.ABANDON:
            _end_cancelled(pending)
            return
        requested = self._externals.request_cancel(pending.target, reason)
        if kind is ChildWorkflowCancellationType.TRY_CANCEL:
            _end_cancelled(pending)
        elif kind is ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED:
            requested.add_done_callback(lambda _: _end_cancelled(pending))

    def _complete(self, pending: PendingChild, event: r.ChildWorkflowExecutionCompleted) -> None:
        if pending.result.done():
            return
        if event.result is None:
            pending.result.set_result(None)
            return
        hints = None if pending.result_type is None else [pending.result_type]
        try:
            (result,) = self._values.from_payloads([event.result], hints)
        except Exception as error:  # the boundary of converters, which users may write
            pending.raise_in_code(error)
        else:
            pending.result.set_result(result)

    def _details(self, payloads: Sequence[Payload]) -> list[Any]:  # Any: user's values
        try:
            return self._values.from_payloads(payloads)
        except Exception:  # the boundary of converters: what another sent may be unreadable
            return []


def _end_cancelled(pending: PendingChild) -> None:
    pending.fail("Child Workflow execution cancelled", CancelledError("Cancelled"))
