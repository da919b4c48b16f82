"""What can happen to a run from outside, before its code has looked at it.

Entries are numbered 1, 2, 3 … per workflow id and carry a fresh random mark each; the stream entry
id is `<number>-0`, its fields `type`, `time`, `mark`, `data`. An entry that names a `run_id` is
meant for that run alone and void for any other.
"""

from __future__ import annotations

from typing import TypeAlias

from orchestrator.wire.base import WireStruct
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import RetryOutcome
from orchestrator.wire.payload import Header, Payload


class FirstTask(WireStruct, frozen=True, kw_only=True):
    """A run was made and its code has not been entered yet."""

    run_id: str


class SignalReceived(WireStruct, frozen=True, kw_only=True):
    """A signal for the newest run."""

    signal_name: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    identity: str = ""
    operation_id: str = ""


class CancelReceived(WireStruct, frozen=True, kw_only=True):
    """A request to cancel the newest run."""

    reason: str = ""
    identity: str = ""
    operation_id: str = ""


class UpdateReceived(WireStruct, frozen=True, kw_only=True):
    """An update that waits to be validated; with `run_id` it is void for any other run.

    The same `update_id` again, under another `operation_id`, is one more who waits for its outcome.
    """

    update_id: str
    update_name: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    identity: str = ""
    operation_id: str = ""
    run_id: str | None = None


class TimerDue(WireStruct, frozen=True, kw_only=True):
    """A timer's time has come."""

    run_id: str
    started_event_id: int


class ChildStarted(WireStruct, frozen=True, kw_only=True):
    """A child exists."""

    run_id: str
    initiated_event_id: int
    child_run_id: str


class ChildStartFailed(WireStruct, frozen=True, kw_only=True):
    """A child was refused: its id is taken."""

    run_id: str
    initiated_event_id: int
    child_run_id: str


class ChildCompleted(WireStruct, frozen=True, kw_only=True):
    """A child returned; like every end of a child, this implies that it was
    started. `child_run_id` is the child's first run, by which it is known."""

    run_id: str
    initiated_event_id: int
    child_run_id: str
    last_run_id: str
    result: Payload | None = None


class ChildFailed(WireStruct, frozen=True, kw_only=True):
    """A child failed."""

    run_id: str
    initiated_event_id: int
    child_run_id: str
    last_run_id: str
    failure: Failure
    retry_outcome: RetryOutcome | None = None


class ChildCanceled(WireStruct, frozen=True, kw_only=True):
    """A child ended as cancelled."""

    run_id: str
    initiated_event_id: int
    child_run_id: str
    last_run_id: str
    details: tuple[Payload, ...] = ()


class ChildTimedOut(WireStruct, frozen=True, kw_only=True):
    """A child's time was over."""

    run_id: str
    initiated_event_id: int
    child_run_id: str
    last_run_id: str
    retry_outcome: RetryOutcome | None = None


class ChildTerminated(WireStruct, frozen=True, kw_only=True):
    """A child was ended from outside."""

    run_id: str
    initiated_event_id: int
    child_run_id: str
    last_run_id: str
    reason: str = ""
    details: tuple[Payload, ...] = ()


class ExternalSignaled(WireStruct, frozen=True, kw_only=True):
    """A signal to another workflow is in its inbox."""

    run_id: str
    initiated_event_id: int


class ExternalSignalFailed(WireStruct, frozen=True, kw_only=True):
    """A signal to another workflow found no open run."""

    run_id: str
    initiated_event_id: int


class ExternalCancelRequested(WireStruct, frozen=True, kw_only=True):
    """A request to cancel another workflow is in its inbox."""

    run_id: str
    initiated_event_id: int


class ExternalCancelFailed(WireStruct, frozen=True, kw_only=True):
    """A request to cancel another workflow found no open run."""

    run_id: str
    initiated_event_id: int


class AttemptStarted(WireStruct, frozen=True, kw_only=True):
    """The attempt that decided: who ran it, since when, and what went wrong before."""

    attempt: int
    time_ms: int
    identity: str = ""
    last_failure: Failure | None = None


class ActivityCompleted(WireStruct, frozen=True, kw_only=True):
    """An activity returned."""

    run_id: str
    scheduled_event_id: int
    started: AttemptStarted
    result: Payload | None = None


class ActivityFailed(WireStruct, frozen=True, kw_only=True):
    """An activity failed for good."""

    run_id: str
    scheduled_event_id: int
    started: AttemptStarted
    failure: Failure
    retry_outcome: RetryOutcome


class ActivityTimedOut(WireStruct, frozen=True, kw_only=True):
    """An activity's time was over for good. `started` is None when no attempt had begun."""

    run_id: str
    scheduled_event_id: int
    failure: Failure
    retry_outcome: RetryOutcome
    started: AttemptStarted | None = None


class ActivityCanceled(WireStruct, frozen=True, kw_only=True):
    """An activity ended as cancelled. `started` is None when nobody had begun it."""

    run_id: str
    scheduled_event_id: int
    details: tuple[Payload, ...] = ()
    started: AttemptStarted | None = None


ActivityOutcome: TypeAlias = (
    ActivityCompleted | ActivityFailed | ActivityTimedOut | ActivityCanceled
)

ChildOutcome: TypeAlias = (
    ChildCompleted | ChildFailed | ChildCanceled | ChildTimedOut | ChildTerminated
)

ExternalAnswer: TypeAlias = (
    ExternalSignaled | ExternalSignalFailed | ExternalCancelRequested | ExternalCancelFailed
)

RelationAnswer: TypeAlias = ChildStarted | ChildStartFailed | ChildOutcome | ExternalAnswer
"""What other workflows answered to what a run initiated."""

InboxBody: TypeAlias = (
    FirstTask
    | SignalReceived
    | CancelReceived
    | UpdateReceived
    | TimerDue
    | ActivityOutcome
    | RelationAnswer
)


class InboxEntry(WireStruct, frozen=True, kw_only=True):
    """One numbered entry. `time_ms` is the epoch time by Redis's clock at which it was appended."""

    number: int
    mark: str
    time_ms: int
    body: InboxBody

    @property
    def type(self) -> str:
        """The entry's type as written in the stream."""
        return type(self.body).__name__
