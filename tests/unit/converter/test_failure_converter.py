"""Exceptions keep what they say on the way to failures and back, and nothing makes them raise."""

from __future__ import annotations

import asyncio
import builtins
from datetime import timedelta

import pytest

from orchestrator.converter import DataConverter, default
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    FailureError,
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
    PAYLOAD_BYTES_MAX,
)
from orchestrator.wire import codec
from orchestrator.wire.failure import ApplicationFailure, CanceledFailure, Failure, TimeoutFailure
from orchestrator.wire.payload import Payload

CONVERTER = DataConverter.default


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def _caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def _deep(levels: int) -> None:
    if levels == 0:
        raise ValueError("deep")
    _deep(levels - 1)


def _there_and_back(error: BaseException) -> BaseException:
    return CONVERTER.from_failure(CONVERTER.to_failure(error))


def _chain_of(failure: Failure) -> list[Failure]:
    chain = [failure]
    while (cause := chain[-1].cause) is not None:
        chain.append(cause)
    return chain


@pytest.mark.parametrize(
    "error",
    [
        ApplicationError(
            "no stock",
            {"sku": "a"},
            7,
            type="OutOfStock",
            non_retryable=True,
            next_retry_delay=timedelta(seconds=3),
            category=ApplicationErrorCategory.BENIGN,
        ),
        ApplicationError("plain"),
        CancelledError("stopped", "by user"),
        TerminatedError("ended", 1),
        TimeoutError("late", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[1, 2]),
        ServerError("down", non_retryable=True),
        ActivityError(
            "failed",
            scheduled_event_id=5,
            started_event_id=6,
            identity="host",
            activity_type="pay",
            activity_id="1",
            retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_ours_comes_back_as_it_went(error: FailureError) -> None:
    back = _there_and_back(error)

    def fields(one: BaseException) -> dict[str, object]:
        names = vars(one).items()
        return {k: list(v) if isinstance(v, tuple | list) else v for k, v in names}

    assert type(back) is type(error)
    assert fields(back) == fields(error)


def test_any_other_exception_becomes_an_application_error_named_after_its_class() -> None:
    back = _there_and_back(ValueError("bad"))
    assert isinstance(back, ApplicationError)
    assert (back.message, back.type, back.non_retryable) == ("bad", "ValueError", False)


def test_asyncio_cancellation_means_cancelled() -> None:
    failure = CONVERTER.to_failure(asyncio.CancelledError())
    assert failure.detail == CanceledFailure()
    assert failure.message == "Cancelled"


def test_a_timeout_of_asyncio_has_a_text() -> None:
    failure = CONVERTER.to_failure(builtins.TimeoutError())
    assert failure.detail == ApplicationFailure(error_type="TimeoutError")
    assert failure.message == "Timed out"


def test_a_timeout_of_ours_without_type_does_not_invent_one() -> None:
    failure = CONVERTER.to_failure(TimeoutError("late"))
    assert failure.detail == ApplicationFailure(error_type="TimeoutError")


def test_causes_travel_in_order() -> None:
    error = ApplicationError("outer")
    error.__cause__ = ValueError("middle")
    error.__cause__.__cause__ = KeyError("inner")
    back = _there_and_back(error)
    assert isinstance(back, FailureError)
    assert isinstance(back.cause, ApplicationError)
    assert isinstance(back.cause.cause, ApplicationError)
    assert (back.cause.type, back.cause.cause.type) == ("ValueError", "KeyError")


def test_the_first_member_of_a_group_is_its_cause() -> None:
    failure = CONVERTER.to_failure(ExceptionGroup("two", [ValueError("a"), KeyError("b")]))
    assert failure.cause is not None
    assert failure.cause.message == "a"


def test_a_cyclic_chain_ends_where_it_began() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    chain = _chain_of(CONVERTER.to_failure(first))
    assert [link.message for link in chain] == ["first", "second"]


def test_a_long_chain_is_cut_and_says_so() -> None:
    error = first = ValueError("0")
    for number in range(1, 100):
        error.__cause__ = ValueError(str(number))
        error = error.__cause__
    chain = _chain_of(CONVERTER.to_failure(first))
    assert len(chain) == FAILURE_CAUSES_MAX + 1
    assert "left out" in chain[-1].message


def test_a_foreign_chain_without_end_is_read_to_the_bound() -> None:
    failure = Failure(message="last", detail=CanceledFailure())
    for _ in range(5_000):
        failure = Failure(message="link", detail=CanceledFailure(), cause=failure)
    error: BaseException | None = CONVERTER.from_failure(failure)
    links = 0
    while error is not None:
        links, error = links + 1, error.__cause__
    assert links == FAILURE_CAUSES_MAX + 1


def test_an_exception_whose_text_raises_is_named() -> None:
    failure = CONVERTER.to_failure(UnprintableError())
    assert failure.message == "<UnprintableError: its text raised RuntimeError>"


def test_a_long_message_is_cut() -> None:
    failure = CONVERTER.to_failure(ValueError("a" * 10 * FAILURE_MESSAGE_CHARS_MAX))
    assert len(failure.message) < FAILURE_MESSAGE_CHARS_MAX + 100


def test_a_message_that_is_no_unicode_is_escaped() -> None:
    assert CONVERTER.to_failure(ValueError("a\ud800")).message == "a\\ud800"


def test_details_that_cannot_be_converted_are_left_out_with_a_reason() -> None:
    error = ApplicationError("bad", object(), type="Kind", non_retryable=True)
    failure = CONVERTER.to_failure(error)
    assert failure.detail == ApplicationFailure(error_type="Kind", non_retryable=True)
    assert "bad [details left out: value 1: a value of type object" in failure.message


def test_a_field_of_the_wrong_type_does_not_raise() -> None:
    error = TimeoutError("late", type=TimeoutType.HEARTBEAT)
    error.last_heartbeat_details = 7  # type: ignore[assignment]  # a caller without a checker
    assert isinstance(CONVERTER.to_failure(error).detail, TimeoutFailure)


def test_foreign_details_that_cannot_be_read_are_left_out_with_a_reason() -> None:
    strange = Payload.of_bytes(b"a", encoding="binary/strange")
    back = CONVERTER.from_failure(
        Failure(message="bad", detail=ApplicationFailure(details=(strange,)))
    )
    assert isinstance(back, ApplicationError)
    assert list(back.details) == []
    assert "details could not be read" in back.message


def test_a_foreign_delay_without_measure_is_the_longest_one() -> None:
    back = CONVERTER.from_failure(
        Failure(message="bad", detail=ApplicationFailure(next_retry_delay_ms=2**62))
    )
    assert isinstance(back, ApplicationError)
    assert back.next_retry_delay == timedelta.max


def test_the_stack_names_places_and_no_values() -> None:
    secret = "s3cret"
    stack = CONVERTER.to_failure(_caught(ValueError(secret))).stack_trace
    assert "test_failure_converter.py" in stack
    assert "in _caught" in stack
    assert secret not in stack


def test_a_deep_stack_keeps_its_inner_end() -> None:
    with pytest.raises(ValueError, match="deep") as caught:
        _deep(200)
    stack = CONVERTER.to_failure(caught.value).stack_trace
    assert (
        stack.count("in _deep") == FAILURE_STACK_FRAMES_MAX
        or len(stack) > FAILURE_STACK_CHARS_MAX - 1
    )
    assert stack.startswith("  …")


def test_a_stack_from_afar_survives_being_passed_on() -> None:
    failure = CONVERTER.to_failure(_caught(ValueError("a")))
    passed_on = CONVERTER.to_failure(_caught(CONVERTER.from_failure(failure)))
    assert passed_on.stack_trace == failure.stack_trace


def test_a_failure_never_names_a_class_to_build() -> None:
    failure = Failure(message="bad", detail=ApplicationFailure(error_type="builtins.SystemExit"))
    assert type(CONVERTER.from_failure(failure)) is ApplicationError


def test_the_default_is_one_instance() -> None:
    assert default() is DataConverter.default


def test_the_details_of_all_causes_together_are_bounded_and_what_is_left_out_is_said() -> None:
    half = "a" * (PAYLOAD_BYTES_MAX // 2)
    error = ApplicationError("outer", half, type="Outer")
    error.__cause__ = ApplicationError("middle", half, half)
    error.__cause__.__cause__ = ApplicationError("inner", "small")
    outer, middle, inner = _chain_of(CONVERTER.to_failure(error))
    assert [len(one.detail.details) for one in (outer, middle, inner)] == [1, 0, 1]  # type: ignore[union-attr]  # all are of applications
    assert middle.message.startswith("middle [details left out: what its chain would hold has 2,")
    assert outer.detail.error_type == "Outer"  # type: ignore[union-attr]  # as above


@pytest.mark.parametrize(
    ("given", "kept"), [("T\ud800", "T\\ud800"), (5, "5"), ("x" * 5_000, "x" * 1_000), (None, "")]
)
def test_whatever_is_given_as_a_type_travels_as_a_word(given: object, kept: str) -> None:
    error = ApplicationError("no", type=given, non_retryable=1)  # type: ignore[arg-type]  # a user's slip
    failure = CONVERTER.to_failure(error)
    read = codec.failure_decoder.decode(codec.encode(failure))
    assert isinstance(read.detail, ApplicationFailure)
    assert read.detail.error_type[:1_000] == kept
    assert read.detail.non_retryable is True
