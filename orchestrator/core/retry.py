"""The next delay, or the reason why there is none (Temporal's rules for activities)."""

from __future__ import annotations

from msgspec.structs import replace

from orchestrator.limits import RETRY_INTERVAL_FACTOR
from orchestrator.wire.failure import ApplicationFailure, Failure, ServerFailure
from orchestrator.wire.options import RetryOptions, RetryOutcome


def next_delay_ms(policy: RetryOptions, failure: Failure, *, attempt: int) -> int | RetryOutcome:
    """Milliseconds to wait after failed attempt number `attempt` (from 1), or why not to retry.

    A failure's own `next_retry_delay_ms` overrides the back-off, once. Time-outs of an attempt are
    retryable; that a deadline would pass is for the caller to see.
    """
    if _is_final(policy, failure):
        return RetryOutcome.NON_RETRYABLE_FAILURE
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        return RetryOutcome.MAXIMUM_ATTEMPTS_REACHED
    detail = failure.detail
    if isinstance(detail, ApplicationFailure) and detail.next_retry_delay_ms is not None:
        return detail.next_retry_delay_ms
    return backoff_ms(policy, attempt=attempt)


def first_delay_ms(policy: RetryOptions, failure: Failure) -> int | None:
    """As `next_delay_ms` for attempts that are counted anew; None: the failure is final."""
    delay = next_delay_ms(replace(policy, maximum_attempts=0), failure, attempt=1)
    return None if isinstance(delay, RetryOutcome) else delay


def backoff_ms(policy: RetryOptions, *, attempt: int) -> int:
    """The policy's wait after attempt number `attempt` (from 1), never above its maximum."""
    longest = policy.maximum_interval_ms or policy.initial_interval_ms * RETRY_INTERVAL_FACTOR
    try:
        wait = policy.initial_interval_ms * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        return longest
    return int(min(wait, longest))


def _is_final(policy: RetryOptions, failure: Failure) -> bool:
    detail = failure.detail
    match detail:
        case ApplicationFailure():
            return detail.non_retryable or detail.error_type in policy.non_retryable_error_types
        case ServerFailure():
            return detail.non_retryable
        case _:
            return False
