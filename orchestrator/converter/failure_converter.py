"""Exceptions ↔ failures.

What leaves is text and data, bounded in size: no locals, no source lines (reading them would be
I/O). What enters becomes one of our own exception classes, never a class that the failure names.
Neither direction raises: whatever an exception or a failure holds, the caller gets an answer.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, cast

from orchestrator.converter.hidden_failures import hidden, shown
from orchestrator.converter.payload_converter import PayloadConverter
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    PayloadTooLargeError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)
from orchestrator.limits import (
    FAILURE_CAUSES_MAX,
    FAILURE_MESSAGE_CHARS_MAX,
    FAILURE_STACK_CHARS_MAX,
    FAILURE_STACK_FRAMES_MAX,
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
)
from orchestrator.units import to_ms_or_none, to_timedelta
from orchestrator.wire.failure import (
    ActivityFailure,
    ApplicationFailure,
    CanceledFailure,
    ChildWorkflowFailure,
    Failure,
    FailureDetail,
    ServerFailure,
    TerminatedFailure,
    TimeoutFailure,
)
from orchestrator.wire.options import RetryOutcome, TimeoutKind
from orchestrator.wire.payload import Payload

_STACK_FIELD = "_stack_trace"
"""Where a read exception keeps the stack it came with, so that it is not lost on the way on."""


class FailureConverter(ABC):
    """Exceptions ↔ failures. Neither method may raise."""

    @abstractmethod
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter) -> Failure:
        """`exception` with its causes, as data."""

    @abstractmethod
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """An exception of ours, with its causes."""


class DefaultFailureConverter(FailureConverter):
    """Keeps message, type, details, stack and causes; what is too large is left out, and said so.

    The cause of an exception group without one is its first member. A stack that came over the
    wire is kept in place of the local one, which says only where it was raised again.
    """

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        """With `encode_common_attributes` message and stack travel as a payload, so that a codec
        can encrypt them; types and causes stay readable, since retry policies need them."""
        self._encodes_attributes = encode_common_attributes

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter) -> Failure:
        chain, whole = _chain(exception)
        failure: Failure | None = None
        if not whole:
            failure = Failure(
                message=f"further causes were left out; {FAILURE_CAUSES_MAX} are kept",
                detail=ApplicationFailure(error_type="CausesLeftOut"),
            )
        room_bytes = PAYLOAD_BYTES_MAX
        for link in reversed(chain):
            failure = _link_to_failure(link, failure, payload_converter, room_bytes=room_bytes)
            room_bytes -= _details_bytes(failure.detail)
            if self._encodes_attributes:
                failure = hidden(failure, payload_converter)
        assert failure is not None  # the chain holds the exception itself
        return failure

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        chain: list[Failure] = []
        link: Failure | None = failure
        while (
            link is not None and len(chain) <= FAILURE_CAUSES_MAX
        ):  # one more: the note of those left out
            chain.append(link)
            link = link.cause
        error: FailureError = _link_from_failure(chain.pop(), payload_converter)
        for link in reversed(chain):
            cause, error = error, _link_from_failure(link, payload_converter)
            error.__cause__ = cause
        return error


class DefaultFailureConverterWithEncodedAttributes(DefaultFailureConverter):
    """Hides messages and stacks of exceptions from whoever cannot decode payloads."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def _chain(exception: BaseException) -> tuple[list[BaseException], bool]:
    """The exception and its causes, outermost first, and whether that is all of them. A cause that
    was seen before ends the chain."""
    chain: list[BaseException] = []
    seen: set[int] = set()
    link: BaseException | None = exception
    while link is not None and id(link) not in seen:
        if len(chain) == FAILURE_CAUSES_MAX:
            return chain, False
        seen.add(id(link))
        chain.append(link)
        link = _cause(link)
    return chain, True


def _cause(exception: BaseException) -> BaseException | None:
    if exception.__cause__ is not None:
        return exception.__cause__
    if isinstance(exception, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", exception).exceptions[0]
    return None


def _link_to_failure(
    exception: BaseException,
    cause: Failure | None,
    payload_converter: PayloadConverter,
    *,
    room_bytes: int,
) -> Failure:
    message = _message(exception)
    try:
        detail = _detail(exception, payload_converter)
        size_bytes = _details_bytes(detail)
        if size_bytes > room_bytes:
            raise PayloadTooLargeError("what its chain would hold", size_bytes, room_bytes)
    except Exception as error:  # boundary: details and fields are the user's and may be anything
        detail = _plain_detail(exception)
        message = _bounded(
            f"{message} [details left out: {_message(error)}]", FAILURE_MESSAGE_CHARS_MAX
        )
    return Failure(message=message, detail=detail, stack_trace=_stack(exception), cause=cause)


def _detail(exception: BaseException, payload_converter: PayloadConverter) -> FailureDetail:
    def convert(details: Sequence[Any]) -> tuple[Payload, ...]:  # Any: user's values
        return tuple(payload_converter.to_payloads(details))

    match exception:
        case ApplicationError():
            return ApplicationFailure(
                error_type=_word(exception.type),
                non_retryable=bool(exception.non_retryable),
                details=convert(exception.details),
                next_retry_delay_ms=to_ms_or_none(exception.next_retry_delay),
                benign=exception.category is ApplicationErrorCategory.BENIGN,
            )
        case CancelledError():
            return CanceledFailure(details=convert(exception.details))
        case asyncio.CancelledError():
            return CanceledFailure()
        case TerminatedError():
            return TerminatedFailure(details=convert(exception.details))
        case TimeoutError() if exception.type is not None:
            return TimeoutFailure(
                timeout=TimeoutKind[exception.type.name],
                last_heartbeat_details=convert(exception.last_heartbeat_details),
            )
        case ServerError():
            return ServerFailure(non_retryable=bool(exception.non_retryable))
        case ActivityError():
            return ActivityFailure(
                scheduled_event_id=exception.scheduled_event_id,
                started_event_id=exception.started_event_id,
                activity_type=exception.activity_type,
                activity_id=exception.activity_id,
                identity=exception.identity,
                retry_outcome=_outcome(exception.retry_state),
            )
        case ChildWorkflowError():
            return ChildWorkflowFailure(
                namespace=exception.namespace,
                workflow_id=exception.workflow_id,
                run_id=exception.run_id,
                workflow_type=exception.workflow_type,
                initiated_event_id=exception.initiated_event_id,
                started_event_id=exception.started_event_id,
                retry_outcome=_outcome(exception.retry_state),
            )
        case _:
            return ApplicationFailure(error_type=type(exception).__name__)


def _plain_detail(exception: BaseException) -> FailureDetail:
    """What is left when the fields of an exception cannot be read: its kind. An application error
    stays final if it was, for a retry of a final error repeats what must not be repeated."""
    match exception:
        case ApplicationError():
            fields = vars(exception)
            kind = fields.get("type")
            return ApplicationFailure(
                error_type=_word(kind if isinstance(kind, str) else None),
                non_retryable=fields.get("non_retryable") is True,
                benign=fields.get("category") is ApplicationErrorCategory.BENIGN,
            )
        case CancelledError():
            return CanceledFailure()
        case TerminatedError():
            return TerminatedFailure()
        case TimeoutError(type=TimeoutType() as kind):
            return TimeoutFailure(timeout=TimeoutKind[kind.name])
        case _:
            return ApplicationFailure(error_type=type(exception).__name__)


def _outcome(state: RetryState | None) -> RetryOutcome | None:
    """The word of the wire; None for a state that does not travel."""
    name = state.name if state is not None else ""
    return RetryOutcome[name] if name in RetryOutcome.__members__ else None


def _message(exception: BaseException) -> str:
    """The text of an exception, bounded and valid Unicode, whatever its methods do."""
    try:
        text = str(exception.message if isinstance(exception, FailureError) else exception)
    except Exception as error:  # boundary: __str__ is the user's
        text = f"<{type(exception).__name__}: its text raised {type(error).__name__}>"
    if not text and isinstance(exception, asyncio.CancelledError):
        text = "Cancelled"
    elif not text and isinstance(exception, asyncio.TimeoutError):
        text = "Timed out"
    return _bounded(text, FAILURE_MESSAGE_CHARS_MAX)


def _word(given: object) -> str:
    """A word for programs, whatever the user gave for one; empty for None."""
    return "" if given is None else _bounded(str(given), NAME_BYTES_MAX)


def _bounded(text: str, chars_max: int) -> str:
    """The beginning of `text`; lone surrogates, which no message can carry, are escaped."""
    if len(text) > chars_max:
        text = f"{text[:chars_max]}… ({len(text)} characters)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _stack(exception: BaseException) -> str:
    kept: object = vars(exception).get(_STACK_FIELD)
    if isinstance(kept, str) and kept:
        return kept
    frames: list[TracebackType] = []
    traceback = exception.__traceback__
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    left_out = len(frames) - FAILURE_STACK_FRAMES_MAX
    lines = [f"  … {left_out} outer frames were left out"] if left_out > 0 else []
    for frame in frames[-FAILURE_STACK_FRAMES_MAX:]:
        code = frame.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.tb_lineno}, in {code.co_qualname}')
    text = "\n".join(lines)
    if len(text) > FAILURE_STACK_CHARS_MAX:
        text = "  …" + text[-FAILURE_STACK_CHARS_MAX:]
    return _bounded(text, FAILURE_STACK_CHARS_MAX + 3)


def _link_from_failure(failure: Failure, payload_converter: PayloadConverter) -> FailureError:
    failure = shown(failure, payload_converter)
    problems: list[str] = []

    def read(payloads: tuple[Payload, ...]) -> list[Any]:  # Any: user's values
        try:
            return payload_converter.from_payloads(payloads)
        except Exception as error:  # boundary: a foreign payload, or a converter of the user
            problems.append(_message(error))
            return []

    detail, message = failure.detail, failure.message
    details = read(_payloads_of(detail))
    if problems:
        message = f"{message} [details could not be read: {problems[0]}]"
    error = _error_of(message, detail, details)
    if failure.stack_trace:
        vars(error)[_STACK_FIELD] = failure.stack_trace
    return error


def _payloads_of(detail: FailureDetail) -> tuple[Payload, ...]:
    match detail:
        case ApplicationFailure() | CanceledFailure() | TerminatedFailure():
            return detail.details
        case TimeoutFailure():
            return detail.last_heartbeat_details
        case ServerFailure() | ActivityFailure() | ChildWorkflowFailure():
            return ()


def _details_bytes(detail: FailureDetail) -> int:
    return sum(len(bytes(payload.data)) for payload in _payloads_of(detail))


def _error_of(
    message: str,
    detail: FailureDetail,
    details: list[Any],  # Any: user's values
) -> FailureError:
    match detail:
        case ApplicationFailure():
            benign = ApplicationErrorCategory.BENIGN
            return ApplicationError(
                message,
                *details,
                type=detail.error_type or None,
                non_retryable=detail.non_retryable,
                next_retry_delay=_delay_of(detail.next_retry_delay_ms),
                category=benign if detail.benign else ApplicationErrorCategory.UNSPECIFIED,
            )
        case CanceledFailure():
            return CancelledError(message, *details)
        case TerminatedFailure():
            return TerminatedError(message, *details)
        case TimeoutFailure():
            kind = TimeoutType[detail.timeout.name]
            return TimeoutError(message, type=kind, last_heartbeat_details=details)
        case ServerFailure():
            return ServerError(message, non_retryable=detail.non_retryable)
        case ActivityFailure():
            outcome = detail.retry_outcome
            return ActivityError(
                message,
                scheduled_event_id=detail.scheduled_event_id,
                started_event_id=detail.started_event_id,
                identity=detail.identity,
                activity_type=detail.activity_type,
                activity_id=detail.activity_id,
                retry_state=RetryState[outcome.name] if outcome is not None else None,
            )
        case ChildWorkflowFailure():
            outcome = detail.retry_outcome
            return ChildWorkflowError(
                message,
                namespace=detail.namespace,
                workflow_id=detail.workflow_id,
                run_id=detail.run_id,
                workflow_type=detail.workflow_type,
                initiated_event_id=detail.initiated_event_id,
                started_event_id=detail.started_event_id,
                retry_state=RetryState[outcome.name] if outcome is not None else None,
            )


def _delay_of(delay_ms: int | None) -> timedelta | None:
    """A foreign delay beyond what a timedelta holds means the longest one."""
    if delay_ms is None:
        return None
    try:
        return to_timedelta(delay_ms)
    except OverflowError:
        return timedelta.max
