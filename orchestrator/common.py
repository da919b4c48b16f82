"""Words shared by clients, workers and workflow code: policies, retries, priorities.

Names and meanings are those of Temporal's Python SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is tried again.

    The n-th retry waits `initial_interval * backoff_coefficient ** (n - 1)`, at most
    `maximum_interval` (None: 100 initial intervals). `maximum_attempts` 0 means no bound; 1 means
    no retry. A failure whose type is in `non_retryable_error_types` is final.
    """

    initial_interval: timedelta = timedelta(seconds=1)
    backoff_coefficient: float = 2.0
    maximum_interval: timedelta | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: Sequence[str] | None = None

    def validate(self) -> None:
        """Check that the values fit together.

        Raises:
            ValueError: an interval is not positive, the coefficient is below 1, the maximum is
                below the initial interval, or attempts are negative.
        """
        if self.initial_interval <= timedelta(0):
            raise ValueError(f"initial_interval must be positive, found {self.initial_interval}")
        if self.backoff_coefficient < 1:
            raise ValueError(f"backoff_coefficient must be ≥ 1, found {self.backoff_coefficient}")
        if self.maximum_interval is not None and self.maximum_interval < self.initial_interval:
            raise ValueError(
                f"maximum_interval ({self.maximum_interval}) must not be below "
                f"initial_interval ({self.initial_interval})"
            )
        if self.maximum_attempts < 0:
            raise ValueError(f"maximum_attempts must be ≥ 0, found {self.maximum_attempts}")


class WorkflowIDReusePolicy(IntEnum):
    """May a closed run's workflow id be used again? Looked at only when no run is open."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    """Only after a run that failed, timed out, was cancelled or terminated."""
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4
    """Deprecated, as in Temporal: use `WorkflowIDConflictPolicy.TERMINATE_EXISTING`."""


class WorkflowIDConflictPolicy(IntEnum):
    """What a start does when a run with its workflow id is open."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class QueryRejectCondition(IntEnum):
    """Which runs do not answer a query."""

    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


class RawValue:
    """A value that was not converted: what dynamic handlers get, and a way to pass a payload on.

    `workflow.payload_converter().from_payload(raw.payload, SomeType)` converts it.
    """

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:  # Any: a Payload of `wire`, a layer above
        self.payload = payload

    def __repr__(self) -> str:
        return f"RawValue({self.payload!r})"
