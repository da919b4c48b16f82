"""What an exception that leaves user code means: the run is cancelled, fails, or its task fails.

Failure errors and time-outs fail the run; what else does is configured. Any other exception is a
bug: it fails the task, which is tried again until a deploy has mended it. A group (of a TaskGroup)
means what all of its members mean.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from typing import cast

from orchestrator.exceptions import (
    CancelledError,
    ConversionError,
    FailureError,
    PayloadTooLargeError,
    is_cancelled_exception,
)
from orchestrator.replay.control import NondeterminismError, RestrictedWorkflowAccessError
from orchestrator.replay.facts import Activation, TaskFailure
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire.events import WorkflowTaskFailureCause


class Endings:
    """The rules of one run. `failure_types`: what else fails it."""

    def __init__(self, values: Values, failure_types: tuple[type[BaseException], ...]) -> None:
        self._values = values
        self._failure_types = failure_types

    def add(self, failure_types: Sequence[type[BaseException]]) -> None:
        """Let these fail the run as well."""
        self._failure_types = (*self._failure_types, *failure_types)

    def command_of(
        self, error: BaseException, *, cancel_requested: bool
    ) -> c.FailWorkflowExecution | c.CancelWorkflowExecution | None:
        """How `error` ends the run; None: it does not, its task fails.

        Cancellation is a state, not an event: any cancellation that leaves the code after the
        request closes the run as cancelled.
        """
        members = list(_members(error))
        if cancel_requested and all(is_cancelled_exception(one) for one in members):
            return c.CancelWorkflowExecution()
        if isinstance(error, asyncio.CancelledError):
            error = CancelledError("Cancelled without a request")
        if isinstance(error, self._failure_types) or all(self._fails(one) for one in members):
            return c.FailWorkflowExecution(failure=self._values.to_failure(error))
        return None

    def is_failure(self, error: BaseException) -> bool:
        """Whether `error` would fail the run if it left the code."""
        return isinstance(error, self._failure_types) or all(
            self._fails(one) and not isinstance(one, asyncio.CancelledError)
            for one in _members(error)
        )

    def task_failure(self, error: BaseException) -> TaskFailure:
        """The answer when `error` ends the task but not the run."""
        cause = WorkflowTaskFailureCause.WORKFLOW_CODE
        if isinstance(error, RestrictedWorkflowAccessError):
            cause = WorkflowTaskFailureCause.BLOCKED
        elif isinstance(error, NondeterminismError):
            cause = WorkflowTaskFailureCause.NONDETERMINISM
        elif isinstance(error, ConversionError | PayloadTooLargeError):
            cause = WorkflowTaskFailureCause.PAYLOAD
        return TaskFailure(cause=cause, failure=self._values.to_failure(error))

    def _fails(self, error: BaseException) -> bool:
        plain = (FailureError, asyncio.TimeoutError, asyncio.CancelledError)
        return isinstance(error, (*plain, *self._failure_types))


def explained(error: NondeterminismError, activation: Activation) -> NondeterminismError:
    """`error`, with what may be its reason if the task was done by another Python."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if activation.python in ("", here):
        return error
    return NondeterminismError(
        f"{error}; the task was recorded by Python {activation.python} and this is {here}, whose "
        "asyncio may go on in another order"
    )


def _members(error: BaseException) -> Iterator[BaseException]:
    """The exceptions of a group, of its groups, and so on; any other exception alone."""
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(cast("BaseExceptionGroup[BaseException]", one).exceptions)
        else:
            yield one
