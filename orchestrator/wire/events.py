"""What happened to a run, one Struct a kind, one to one with Temporal's event history.

An event is `HistoryEvent`: its number, its time, and the attributes of its kind. In the stream the
entry id is `<event id>-0` and the fields are `type` (the class name below), `time` (ISO 8601) and
`data` (the attributes as JSON). Names are past tense. A history is: the start, then for each
workflow task what arrived, the three task events, and what the code wished for.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias, get_args

from orchestrator.wire import relation_events as r
from orchestrator.wire.base import WireStruct
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import (
    DEFAULT_RETRY,
    NO_PRIORITY,
    Priority,
    RetryOptions,
    RetryOutcome,
    RunInitiator,
)
from orchestrator.wire.payload import Header, Payload
from orchestrator.wire.search_attributes import SearchAttributeChanges, SearchAttributes


class ParentExecution(WireStruct, frozen=True, kw_only=True):
    """The run that started a child, and its event that says so."""

    workflow_id: str
    run_id: str
    initiated_event_id: int


class RootExecution(WireStruct, frozen=True, kw_only=True):
    """The run above all parents, which itself has none."""

    workflow_id: str
    run_id: str


class WorkflowExecutionStarted(WireStruct, frozen=True, kw_only=True):
    """The run exists. Always event 1. `execution_deadline_ms` bounds the whole chain of runs.

    A run that follows another one (`initiator`) holds what that one handed on: the last result of
    a cron schedule, and the failure because of which it is tried again.
    """

    workflow_type: str
    task_queue: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    execution_timeout_ms: int | None = None
    execution_deadline_ms: int | None = None
    run_timeout_ms: int | None = None
    task_timeout_ms: int = 10_000
    identity: str = ""
    retry_policy: RetryOptions | None = None
    attempt: int = 1
    first_run_id: str = ""
    continued_run_id: str | None = None
    first_task_backoff_ms: int = 0
    memo: dict[str, Payload] = {}
    search_attributes: SearchAttributes = {}
    cron_schedule: str = ""
    static_summary: str = ""
    static_details: str = ""
    priority: Priority = NO_PRIORITY
    initiator: RunInitiator | None = None
    last_completion_result: Payload | None = None
    continued_failure: Failure | None = None
    parent: ParentExecution | None = None
    root: RootExecution | None = None


class WorkflowExecutionCompleted(WireStruct, frozen=True, kw_only=True):
    """The code returned. `unseen_messages` counts signals that a forced close did not wait for.

    `new_execution_run_id` is the run that a cron schedule has made in the same instant; the chain
    has not ended then. So for failures and time-outs, where it may be a retry.
    """

    result: Payload | None = None
    new_execution_run_id: str | None = None
    task_completed_event_id: int = 0
    unseen_messages: int = 0


class WorkflowExecutionFailed(WireStruct, frozen=True, kw_only=True):
    """The code raised a failure."""

    failure: Failure
    retry_outcome: RetryOutcome | None = None
    new_execution_run_id: str | None = None
    task_completed_event_id: int = 0
    unseen_messages: int = 0


class WorkflowExecutionCanceled(WireStruct, frozen=True, kw_only=True):
    """The code ended with a cancellation after it had been asked to."""

    details: tuple[Payload, ...] = ()
    task_completed_event_id: int = 0
    unseen_messages: int = 0


class WorkflowExecutionTimedOut(WireStruct, frozen=True, kw_only=True):
    """The run's or the chain's time was over; no workflow code ran."""

    retry_outcome: RetryOutcome | None = None
    new_execution_run_id: str | None = None
    unseen_messages: int = 0


class WorkflowExecutionTerminated(WireStruct, frozen=True, kw_only=True):
    """Ended from outside; no workflow code ran."""

    reason: str = ""
    details: tuple[Payload, ...] = ()
    identity: str = ""


class WorkflowExecutionContinuedAsNew(WireStruct, frozen=True, kw_only=True):
    """The run ended and its successor was started in the same instant."""

    new_run_id: str
    workflow_type: str
    task_queue: str
    input: tuple[Payload, ...] = ()
    backoff_start_interval_ms: int = 0
    task_completed_event_id: int = 0


class WorkflowExecutionSignaled(WireStruct, frozen=True, kw_only=True):
    """A signal arrived."""

    signal_name: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    identity: str = ""
    operation_id: str = ""


class WorkflowExecutionCancelRequested(WireStruct, frozen=True, kw_only=True):
    """Somebody asked for cancellation."""

    reason: str = ""
    identity: str = ""
    operation_id: str = ""


class WorkflowExecutionUpdateAccepted(WireStruct, frozen=True, kw_only=True):
    """The code let an update in; its request stands here and nowhere else.

    `sequencing_event_id` is the newest event that was there before the update came: on replay the
    update is given to the code after it. What the code rejects leaves no event.
    """

    update_id: str
    update_name: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    identity: str = ""
    sequencing_event_id: int = 0


class WorkflowExecutionUpdateCompleted(WireStruct, frozen=True, kw_only=True):
    """The handler of an accepted update ended: `failure` is set if it failed, else `result`."""

    update_id: str
    accepted_event_id: int
    result: Payload | None = None
    failure: Failure | None = None


class WorkflowTaskScheduled(WireStruct, frozen=True, kw_only=True):
    """There was news for the workflow code."""

    task_queue: str
    attempt: int = 1


class WorkflowTaskStarted(WireStruct, frozen=True, kw_only=True):
    """A worker looked at it. This event's time is the time that workflow code saw."""

    scheduled_event_id: int
    identity: str = ""
    history_bytes: int = 0
    continue_as_new_suggested: bool = False


class WorkflowTaskCompleted(WireStruct, frozen=True, kw_only=True):
    """The code ran until it had nothing left to do; what it wished for follows.

    `loop_version` and `python` (`3.11`) say by which rules it ran, `command_count` how many command
    events follow: a large task is committed in parts, and a replay must know when it is whole.
    `local_activities` were still running then: the next task has their ends.
    `patches` are those whose markers are among them: while the part with a marker is not written,
    this says that the code has gone the new way.
    """

    scheduled_event_id: int
    started_event_id: int
    identity: str = ""
    loop_version: int = 1
    python: str = ""
    sdk_version: str = ""
    build_id: str = ""
    command_count: int = 0
    local_activities: int = 0
    patches: tuple[str, ...] = ()


class WorkflowTaskFailureCause(Enum):
    """Why a workflow task failed."""

    WORKFLOW_CODE = "workflow_code"
    """The code raised something that is not a failure: a bug, mended by a deploy."""
    NONDETERMINISM = "nondeterminism"
    BLOCKED = "blocked"
    """The code ran over its budget or called something that blocks."""
    PAYLOAD = "payload"
    """A value could not be converted or is over the limit."""
    CRASHED = "crashed"
    """The worker died while the code ran, several times."""


class WorkflowTaskFailed(WireStruct, frozen=True, kw_only=True):
    """The code could not proceed. Only the first of a row of like failures is recorded."""

    scheduled_event_id: int
    started_event_id: int
    cause: WorkflowTaskFailureCause
    failure: Failure
    identity: str = ""


class ActivityTaskScheduled(WireStruct, frozen=True, kw_only=True):
    """The code asked for an activity. Every task message can be made again from this."""

    activity_id: str
    activity_type: str
    task_queue: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    schedule_to_close_timeout_ms: int | None = None
    schedule_to_start_timeout_ms: int | None = None
    start_to_close_timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    retry_policy: RetryOptions = DEFAULT_RETRY
    summary: str = ""
    priority: Priority = NO_PRIORITY
    task_completed_event_id: int = 0


class ActivityTaskStarted(WireStruct, frozen=True, kw_only=True):
    """The attempt that decided began. Written together with its end; earlier attempts are not."""

    scheduled_event_id: int
    identity: str = ""
    attempt: int = 1
    last_failure: Failure | None = None


class ActivityTaskCompleted(WireStruct, frozen=True, kw_only=True):
    """An activity returned."""

    scheduled_event_id: int
    started_event_id: int
    result: Payload | None = None
    identity: str = ""


class ActivityTaskFailed(WireStruct, frozen=True, kw_only=True):
    """The last attempt of an activity failed."""

    scheduled_event_id: int
    started_event_id: int
    failure: Failure
    retry_outcome: RetryOutcome
    identity: str = ""


class ActivityTaskTimedOut(WireStruct, frozen=True, kw_only=True):
    """An activity's time was over for good. `failure` holds the time-out, its cause the last
    error."""

    scheduled_event_id: int
    started_event_id: int
    failure: Failure
    retry_outcome: RetryOutcome


class ActivityTaskCancelRequested(WireStruct, frozen=True, kw_only=True):
    """The code asked for an activity to be cancelled."""

    scheduled_event_id: int
    task_completed_event_id: int = 0


class ActivityTaskCanceled(WireStruct, frozen=True, kw_only=True):
    """An activity ended as cancelled, or nobody had begun it."""

    scheduled_event_id: int
    started_event_id: int
    details: tuple[Payload, ...] = ()
    identity: str = ""


class TimerStarted(WireStruct, frozen=True, kw_only=True):
    """The code started a timer; it is due at this event's time plus `start_to_fire_ms`."""

    timer_id: str
    start_to_fire_ms: int
    summary: str = ""
    task_completed_event_id: int = 0


class TimerFired(WireStruct, frozen=True, kw_only=True):
    """A timer was due."""

    timer_id: str
    started_event_id: int


class TimerCanceled(WireStruct, frozen=True, kw_only=True):
    """The code no longer wants a timer."""

    timer_id: str
    started_event_id: int
    task_completed_event_id: int = 0


PATCH_MARKER = "core_patch"
"""The marker of a patch, named as in Temporal's histories."""


class MarkerRecorded(WireStruct, frozen=True, kw_only=True):
    """The code noted what a replay must find again: how a local activity ended, which patch is in.

    `details` are named as each kind of marker has them. The time of this event is the time that the
    code saw from then on.
    """

    marker_name: str
    details: dict[str, tuple[Payload, ...]] = {}
    failure: Failure | None = None
    task_completed_event_id: int = 0


class UpsertWorkflowSearchAttributes(WireStruct, frozen=True, kw_only=True):
    """The code set some search attributes, and removed those that are None."""

    search_attributes: SearchAttributeChanges
    task_completed_event_id: int = 0


class WorkflowPropertiesModified(WireStruct, frozen=True, kw_only=True):
    """The code set some notes of its memo, and removed those that are None."""

    upserted_memo: dict[str, Payload | None]
    task_completed_event_id: int = 0


EventAttributes: TypeAlias = (
    WorkflowExecutionStarted
    | WorkflowExecutionCompleted
    | WorkflowExecutionFailed
    | WorkflowExecutionCanceled
    | WorkflowExecutionTimedOut
    | WorkflowExecutionTerminated
    | WorkflowExecutionContinuedAsNew
    | WorkflowExecutionSignaled
    | WorkflowExecutionCancelRequested
    | WorkflowExecutionUpdateAccepted
    | WorkflowExecutionUpdateCompleted
    | WorkflowTaskScheduled
    | WorkflowTaskStarted
    | WorkflowTaskCompleted
    | WorkflowTaskFailed
    | ActivityTaskScheduled
    | ActivityTaskStarted
    | ActivityTaskCompleted
    | ActivityTaskFailed
    | ActivityTaskTimedOut
    | ActivityTaskCancelRequested
    | ActivityTaskCanceled
    | TimerStarted
    | TimerFired
    | TimerCanceled
    | MarkerRecorded
    | UpsertWorkflowSearchAttributes
    | WorkflowPropertiesModified
    | r.StartChildWorkflowExecutionInitiated
    | r.StartChildWorkflowExecutionFailed
    | r.ChildWorkflowExecutionStarted
    | r.ChildWorkflowExecutionCompleted
    | r.ChildWorkflowExecutionFailed
    | r.ChildWorkflowExecutionCanceled
    | r.ChildWorkflowExecutionTimedOut
    | r.ChildWorkflowExecutionTerminated
    | r.SignalExternalWorkflowExecutionInitiated
    | r.SignalExternalWorkflowExecutionFailed
    | r.ExternalWorkflowExecutionSignaled
    | r.RequestCancelExternalWorkflowExecutionInitiated
    | r.RequestCancelExternalWorkflowExecutionFailed
    | r.ExternalWorkflowExecutionCancelRequested
)

CommandEvent: TypeAlias = (
    WorkflowExecutionUpdateAccepted
    | WorkflowExecutionUpdateCompleted
    | ActivityTaskScheduled
    | ActivityTaskCancelRequested
    | TimerStarted
    | TimerCanceled
    | MarkerRecorded
    | UpsertWorkflowSearchAttributes
    | WorkflowPropertiesModified
    | r.StartChildWorkflowExecutionInitiated
    | r.SignalExternalWorkflowExecutionInitiated
    | r.RequestCancelExternalWorkflowExecutionInitiated
    | WorkflowExecutionCompleted
    | WorkflowExecutionFailed
    | WorkflowExecutionCanceled
    | WorkflowExecutionContinuedAsNew
)
"""Events that a command of workflow code becomes, each from exactly one."""

ClosingEvent: TypeAlias = (
    WorkflowExecutionCompleted
    | WorkflowExecutionFailed
    | WorkflowExecutionCanceled
    | WorkflowExecutionTimedOut
    | WorkflowExecutionTerminated
    | WorkflowExecutionContinuedAsNew
)
"""Events after which a history holds nothing more."""
CLOSING_TYPES = frozenset(kind.__name__ for kind in get_args(ClosingEvent))
"""The same, as written in the stream."""


class HistoryEvent(WireStruct, frozen=True, kw_only=True):
    """One entry of a history. `time_ms` is the epoch time by Redis's clock; it never decreases."""

    event_id: int
    time_ms: int
    attributes: EventAttributes

    @property
    def type(self) -> str:
        """The event's type as written in the stream."""
        return type(self.attributes).__name__
