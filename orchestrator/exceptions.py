"""All errors of the package, by who meets them.

    OrchestratorError
    ├── FailureError                 what workflows and activities fail with; travels on the wire
    │   ├── ApplicationError         raised by user code
    │   ├── CancelledError           a cancelled activity, child or run
    │   ├── TerminatedError          a run ended from outside
    │   ├── TimeoutError             a time-out of ours, with its type
    │   ├── ServerError              the engine could not do it
    │   ├── ActivityError            an activity ended badly; the reason is its cause
    │   ├── ChildWorkflowError       a child ended badly; the reason is its cause
    │   ├── WorkflowAlreadyStartedError  a start met a run that it may not replace
    │   └── ActivityAlreadyStartedError  the same of an activity without a workflow
    ├── RPCError                     an operation was refused: see its status
    ├── InvalidNameError             a name that cannot be a key or a queue
    ├── InvalidSearchAttributeError  a name or value that cannot be looked up
    ├── PayloadTooLargeError         a value over the limit
    ├── ConversionError              a value that cannot be converted
    ├── MalformedMessageError        foreign bytes that are not what they should be
    ├── UnavailableError             a server is not there (yet, or any more)
    └── MisconfiguredError           the servers cannot keep the promises asked for

Texts say what was expected, what was found and what to do. Fields go to `super().__init__`, so that
every error survives pickling (a process pool) and the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any


class OrchestratorError(Exception):
    """Base of all errors of the package."""


class FailureError(OrchestratorError):
    """Base of what fails a workflow when it leaves workflow code."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._message = message

    @property
    def message(self) -> str:
        """The text, without the cause's."""
        return self._message

    @property
    def cause(self) -> BaseException | None:
        """The failure behind this one, if any."""
        return self.__cause__


class ApplicationErrorCategory(IntEnum):
    """How loudly an application error is reported."""

    UNSPECIFIED = 0
    BENIGN = 1
    """Expected in normal operation: logged at debug level and not counted."""


class ApplicationError(FailureError):
    """An error that user code raises; the only one whose details and type are the user's."""

    def __init__(
        self,
        message: str,
        *details: Any,  # Any: whatever the data converter can carry
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        """Make an error that other processes can read.

        Args:
            message: For people.
            details: Values for programs, converted like arguments.
            type: What retry policies and callers compare; not a class path.
            non_retryable: No further attempt, whatever the policy says.
            next_retry_delay: Overrides the back-off before the next attempt, once.
            category: BENIGN errors are expected ones.
        """
        super().__init__(message)
        self.details: Sequence[Any] = details  # Any: as above
        self.type = type
        self.non_retryable = non_retryable
        self.next_retry_delay = next_retry_delay
        self.category = category

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the pickle protocol's own type
        return (_application_error, (self.message, tuple(self.details), self.__dict__.copy()))


def _application_error(
    message: str,
    details: tuple[Any, ...],  # Any: as in ApplicationError
    fields: dict[str, Any],  # Any: as in ApplicationError
) -> ApplicationError:
    error = ApplicationError(message, *details)
    error.__dict__.update(fields)
    return error


class CancelledError(FailureError):
    """An activity, a child workflow or the run itself was cancelled."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:  # Any: user's values
        super().__init__(message)
        self.details: Sequence[Any] = details  # Any: as above


class TerminatedError(FailureError):
    """A run was ended from outside; its code did not see it."""

    def __init__(self, message: str = "Terminated", *details: Any) -> None:  # Any: user's values
        super().__init__(message)
        self.details: Sequence[Any] = details  # Any: as above


class TimeoutType(IntEnum):
    """Which clock ran out."""

    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class TimeoutError(FailureError):
    """An activity or a run took too long."""

    def __init__(
        self,
        message: str,
        *,
        type: TimeoutType | None = None,
        last_heartbeat_details: Sequence[Any] = (),  # Any: user's values
    ) -> None:
        super().__init__(message)
        self.type = type
        self.last_heartbeat_details = last_heartbeat_details


class ServerError(FailureError):
    """The engine could not do what was asked; not the user code's doing."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self.non_retryable = non_retryable


class RetryState(IntEnum):
    """Why there is no further attempt."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class ActivityError(FailureError):
    """An activity ended badly; `cause` says how."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None = None,
    ) -> None:
        super().__init__(message)
        self.scheduled_event_id = scheduled_event_id
        self.started_event_id = started_event_id
        self.identity = identity
        self.activity_type = activity_type
        self.activity_id = activity_id
        self.retry_state = retry_state

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the pickle protocol's own type
        return (_activity_error, (self.__dict__.copy(),))


def _activity_error(fields: dict[str, Any]) -> ActivityError:  # Any: fields of ActivityError
    error = ActivityError.__new__(ActivityError, fields["_message"])
    error.__dict__.update(fields)
    return error


class ChildWorkflowError(FailureError):
    """A child workflow ended badly; `cause` says how."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None = None,
    ) -> None:
        super().__init__(message)
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type
        self.initiated_event_id = initiated_event_id
        self.started_event_id = started_event_id
        self.retry_state = retry_state

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the pickle protocol's own type
        return (_child_error, (self.__dict__.copy(),))


def _child_error(fields: dict[str, Any]) -> ChildWorkflowError:  # Any: its fields
    error = ChildWorkflowError.__new__(ChildWorkflowError, fields["_message"])
    error.__dict__.update(fields)
    return error


class WorkflowAlreadyStartedError(FailureError):
    """Start was refused: the workflow id is taken. Choose another policy, or signal that run."""

    def __init__(self, workflow_id: str, workflow_type: str, run_id: str | None = None) -> None:
        super().__init__("Workflow execution already started")
        self.args = (workflow_id, workflow_type, run_id)
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id

    def __str__(self) -> str:
        run = f" (run {self.run_id})" if self.run_id else ""
        return (
            f"workflow id {self.workflow_id!r} is already used by a {self.workflow_type}{run}; "
            "attach with id_conflict_policy=USE_EXISTING, or choose another id or reuse policy"
        )


class ActivityAlreadyStartedError(FailureError):
    """Start was refused: the activity id is taken. Choose another policy, or wait for that one."""

    def __init__(self, activity_id: str, activity_type: str, run_id: str | None = None) -> None:
        super().__init__("Activity execution already started")
        self.args = (activity_id, activity_type, run_id)
        self.activity_id = activity_id
        self.activity_type = activity_type
        self.run_id = run_id

    def __str__(self) -> str:
        run = f" (run {self.run_id})" if self.run_id else ""
        return (
            f"activity id {self.activity_id!r} is already used by a {self.activity_type}{run}; "
            "attach with id_conflict_policy=USE_EXISTING, or choose another id or reuse policy"
        )


class RPCStatusCode(IntEnum):
    """Why an operation was refused; the numbers are gRPC's, as users of Temporal know them."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class RPCError(OrchestratorError):
    """An operation was refused; `status` says why."""

    def __init__(self, message: str, status: RPCStatusCode) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} [{self.status.name}]"


class InvalidNameError(OrchestratorError, ValueError):
    """A name from outside cannot be used."""

    def __init__(self, kind: str, value: object, expected: str) -> None:
        super().__init__(kind, value, expected)
        self.kind = kind
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        found = repr(self.value)
        if len(found) > 80:
            found = f"{found[:77]}… ({len(found)} characters)"
        return f"{self.kind}: expected {self.expected}, found {found}"


class InvalidSearchAttributeError(OrchestratorError, ValueError):
    """A search attribute cannot be stored: its name, type, value or size is not allowed."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"search attribute {self.name!r}: {self.problem}"


class PayloadTooLargeError(OrchestratorError, ValueError):
    """A value is over the limit; store it elsewhere and pass a reference."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(what, size_bytes, limit_bytes)
        self.what = what
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return (
            f"{self.what} has {self.size_bytes:,} bytes, the limit is {self.limit_bytes:,}; "
            "store the value elsewhere and pass a reference"
        )


class ConversionError(OrchestratorError, ValueError):
    """A value cannot be converted to a payload, or a payload to the type asked for."""


class MalformedMessageError(OrchestratorError, ValueError):
    """Bytes from outside are not the message they should be."""

    def __init__(self, expected: str, problem: str) -> None:
        super().__init__(expected, problem)
        self.expected = expected
        self.problem = problem

    def __str__(self) -> str:
        return f"expected {self.expected}: {self.problem}"


class UnavailableError(OrchestratorError):
    """A server does not answer. What was asked may or may not have happened."""


class MisconfiguredError(OrchestratorError):
    """The servers are not set up for what is promised; the text names the remedy."""


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether `exception` means cancellation: asyncio's, ours, or an activity's or child's
    cause."""
    import asyncio  # Here, because a fifth of a program's start is spent on it.

    return isinstance(exception, asyncio.CancelledError | CancelledError) or (
        isinstance(exception, ActivityError | ChildWorkflowError)
        and isinstance(exception.cause, CancelledError)
    )
