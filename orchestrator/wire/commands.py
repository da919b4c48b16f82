"""What workflow code wished for in one activation, in program order. Never stored: a command
becomes an event (`orchestrator.core.command_handlers`) or is matched with one on replay."""

from __future__ import annotations

from typing import TypeAlias

from orchestrator.wire.base import WireStruct
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import (
    DEFAULT_RETRY,
    NO_PRIORITY,
    Conflict,
    ParentClosePolicy,
    Priority,
    RetryOptions,
    Reuse,
)
from orchestrator.wire.payload import Header, Payload
from orchestrator.wire.search_attributes import SearchAttributeChanges, SearchAttributes


class ScheduleActivityTask(WireStruct, frozen=True, kw_only=True):
    """Run an activity. At least one of the two close time-outs is set."""

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


class RequestCancelActivityTask(WireStruct, frozen=True, kw_only=True):
    """Cancel an activity that was scheduled by an earlier or this very task."""

    activity_id: str


class StartTimer(WireStruct, frozen=True, kw_only=True):
    """Fire after a time."""

    timer_id: str
    start_to_fire_ms: int
    summary: str = ""


class CancelTimer(WireStruct, frozen=True, kw_only=True):
    """Forget a timer."""

    timer_id: str


class RecordMarker(WireStruct, frozen=True, kw_only=True):
    """Note something for replays. `time_ms`: when it happened, if later than the task began; what
    the code wishes for afterwards happens no earlier."""

    marker_name: str
    details: dict[str, tuple[Payload, ...]] = {}
    failure: Failure | None = None
    time_ms: int = 0


class UpsertSearchAttributes(WireStruct, frozen=True, kw_only=True):
    """Set search attributes; None removes one."""

    search_attributes: SearchAttributeChanges


class ModifyWorkflowProperties(WireStruct, frozen=True, kw_only=True):
    """Set notes of the memo; None removes one."""

    upserted_memo: dict[str, Payload | None]


class AcceptUpdate(WireStruct, frozen=True, kw_only=True):
    """Let an update in; the first commands of a task, before what the code wished for itself."""

    update_id: str
    update_name: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    identity: str = ""
    sequencing_event_id: int = 0


class CompleteUpdate(WireStruct, frozen=True, kw_only=True):
    """The handler of an accepted update ended: `failure` is set if it failed, else `result`."""

    update_id: str
    result: Payload | None = None
    failure: Failure | None = None


class StartChildWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """Start a child. `number` counts the run's children in program order."""

    number: int
    workflow_id: str
    workflow_type: str
    task_queue: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    execution_timeout_ms: int | None = None
    run_timeout_ms: int | None = None
    task_timeout_ms: int | None = None
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE
    id_reuse_policy: Reuse = Reuse.ALLOW_DUPLICATE
    id_conflict_policy: Conflict = Conflict.FAIL
    retry_policy: RetryOptions | None = None
    memo: dict[str, Payload] = {}
    search_attributes: SearchAttributes = {}
    cron_schedule: str = ""
    static_summary: str = ""
    static_details: str = ""
    priority: Priority = NO_PRIORITY


class SignalExternalWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """Send a signal to another workflow, or to the child that an event of this run initiated.
    `number` counts the run's acts on other workflows in program order."""

    number: int
    workflow_id: str
    signal_name: str
    run_id: str | None = None
    input: tuple[Payload, ...] = ()
    header: Header = {}
    child_initiated_event_id: int = 0


class RequestCancelExternalWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """Ask another workflow to end, or the child that an event of this run initiated. `number`
    counts as with signals to others."""

    number: int
    workflow_id: str
    run_id: str | None = None
    reason: str = ""
    child_initiated_event_id: int = 0


class CompleteWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """The code returned."""

    result: Payload | None = None


class FailWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """The code raised a failure."""

    failure: Failure


class CancelWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """The code ended with a cancellation."""

    details: tuple[Payload, ...] = ()


class ContinueAsNewWorkflowExecution(WireStruct, frozen=True, kw_only=True):
    """End this run and start the next; what is None is inherited."""

    workflow_type: str | None = None
    task_queue: str | None = None
    input: tuple[Payload, ...] = ()
    header: Header = {}
    run_timeout_ms: int | None = None
    task_timeout_ms: int | None = None
    retry_policy: RetryOptions | None = None
    memo: dict[str, Payload] | None = None
    search_attributes: SearchAttributes | None = None
    backoff_start_interval_ms: int = 0


Command: TypeAlias = (
    ScheduleActivityTask
    | RequestCancelActivityTask
    | StartTimer
    | CancelTimer
    | RecordMarker
    | UpsertSearchAttributes
    | ModifyWorkflowProperties
    | AcceptUpdate
    | CompleteUpdate
    | StartChildWorkflowExecution
    | SignalExternalWorkflowExecution
    | RequestCancelExternalWorkflowExecution
    | CompleteWorkflowExecution
    | FailWorkflowExecution
    | CancelWorkflowExecution
    | ContinueAsNewWorkflowExecution
)

ClosingCommand: TypeAlias = (
    CompleteWorkflowExecution
    | FailWorkflowExecution
    | CancelWorkflowExecution
    | ContinueAsNewWorkflowExecution
)
