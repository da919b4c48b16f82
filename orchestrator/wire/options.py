"""Retry policies and the words of policies, as they travel."""

from __future__ import annotations

from enum import Enum

from orchestrator.wire.base import WireStruct


class RetryOptions(WireStruct, frozen=True, kw_only=True):
    """A retry policy in integers; every default is written out by whoever makes one.

    `maximum_attempts` 0 means no bound. `maximum_interval_ms` 0 means 100 initial intervals.
    """

    initial_interval_ms: int = 1_000
    backoff_coefficient: float = 2.0
    maximum_interval_ms: int = 0
    maximum_attempts: int = 0
    non_retryable_error_types: tuple[str, ...] = ()


DEFAULT_RETRY = RetryOptions()
"""For whoever asked for no other. As a default this very object is left out of what is written."""


class Priority(WireStruct, frozen=True, kw_only=True):
    """What was asked for; 0 and empty texts ask for nothing. It is carried and shown, and inherited
    by activities and children; it orders those that wait under a concurrency limit."""

    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0


NO_PRIORITY = Priority()
"""The same for priorities."""


class ActivityOptions(WireStruct, frozen=True, kw_only=True):
    """The options of a pending activity that an operator has changed: all of them, as they are
    now."""

    task_queue: str
    schedule_to_close_timeout_ms: int | None = None
    schedule_to_start_timeout_ms: int | None = None
    start_to_close_timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    retry_policy: RetryOptions = RetryOptions()


class RunInitiator(Enum):
    """Why a run follows another one."""

    WORKFLOW = "workflow"
    """The code continued as new."""
    RETRY = "retry"
    CRON = "cron"


class RunStatus(Enum):
    """How a run stands. Open is `running` only."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"
    CONTINUED_AS_NEW = "continued_as_new"


class Reuse(Enum):
    """May the id of a closed run be used again?"""

    ALLOW_DUPLICATE = "allow_duplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "allow_duplicate_failed_only"
    REJECT_DUPLICATE = "reject_duplicate"


class Conflict(Enum):
    """What to do about an open run."""

    FAIL = "fail"
    USE_EXISTING = "use_existing"
    TERMINATE_EXISTING = "terminate_existing"


class ParentClosePolicy(Enum):
    """What becomes of a child when its parent's run has closed."""

    TERMINATE = "terminate"
    ABANDON = "abandon"
    REQUEST_CANCEL = "request_cancel"


class QueryReject(Enum):
    """Which runs do not answer a query but say how they stand."""

    NONE = "none"
    NOT_OPEN = "not_open"
    NOT_COMPLETED_CLEANLY = "not_completed_cleanly"
    """Neither open nor completed."""


class TimeoutKind(Enum):
    """Which clock of an activity or run ran out."""

    START_TO_CLOSE = "start_to_close"
    SCHEDULE_TO_START = "schedule_to_start"
    SCHEDULE_TO_CLOSE = "schedule_to_close"
    HEARTBEAT = "heartbeat"


class RetryOutcome(Enum):
    """Why there is no further attempt."""

    NON_RETRYABLE_FAILURE = "non_retryable_failure"
    TIMEOUT = "timeout"
    MAXIMUM_ATTEMPTS_REACHED = "maximum_attempts_reached"
    RETRY_POLICY_NOT_SET = "retry_policy_not_set"
    CANCEL_REQUESTED = "cancel_requested"
