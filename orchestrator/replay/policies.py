"""Retry policies between the words of users and the integers that travel."""

from __future__ import annotations

from orchestrator.common import RetryPolicy
from orchestrator.units import to_ms_or_none, to_timedelta
from orchestrator.wire.options import RetryOptions


def to_options(policy: RetryPolicy) -> RetryOptions:
    """A checked policy in integers; raises ValueError when its values do not fit together."""
    policy.validate()
    return RetryOptions(
        initial_interval_ms=to_ms_or_none(policy.initial_interval) or 1,
        backoff_coefficient=policy.backoff_coefficient,
        maximum_interval_ms=to_ms_or_none(policy.maximum_interval) or 0,
        maximum_attempts=policy.maximum_attempts,
        non_retryable_error_types=tuple(policy.non_retryable_error_types or ()),
    )


def from_options(options: RetryOptions) -> RetryPolicy:
    """The inverse of `to_options`."""
    return RetryPolicy(
        initial_interval=to_timedelta(options.initial_interval_ms),
        backoff_coefficient=options.backoff_coefficient,
        maximum_interval=to_timedelta(options.maximum_interval_ms)
        if options.maximum_interval_ms
        else None,
        maximum_attempts=options.maximum_attempts,
        non_retryable_error_types=options.non_retryable_error_types or None,
    )
