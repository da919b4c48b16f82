"""What happened between a run and other workflows: its children, and those that it signals or
cancels. A part of `orchestrator.wire.events`, one to one with Temporal's names.

What a run wished for stands in `…Initiated`; the act itself is done at the other workflow and made
again from that event until its answer is in the inbox. `follows_event_id` names an act on the same
workflow that was not yet answered: it is done first, so signals arrive in the order of their code.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from orchestrator.wire.base import WireStruct
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import (
    NO_PRIORITY,
    Conflict,
    ParentClosePolicy,
    Priority,
    RetryOptions,
    RetryOutcome,
    Reuse,
)
from orchestrator.wire.payload import Header, Payload
from orchestrator.wire.search_attributes import SearchAttributes


class StartChildWorkflowExecutionInitiated(WireStruct, frozen=True, kw_only=True):
    """The code asked for a child. Its start can be made again from this: the same run each time."""

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
    task_completed_event_id: int = 0


class StartChildFailureCause(Enum):
    """Why a child was not started."""

    WORKFLOW_ALREADY_EXISTS = "workflow_already_exists"


class StartChildWorkflowExecutionFailed(WireStruct, frozen=True, kw_only=True):
    """There will be no child: its id is taken."""

    initiated_event_id: int
    workflow_id: str
    workflow_type: str
    cause: StartChildFailureCause = StartChildFailureCause.WORKFLOW_ALREADY_EXISTS


class ChildWorkflowExecutionStarted(WireStruct, frozen=True, kw_only=True):
    """The child exists."""

    initiated_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str


class ChildWorkflowExecutionCompleted(WireStruct, frozen=True, kw_only=True):
    """The child returned. `run_id` is its last run."""

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    result: Payload | None = None


class ChildWorkflowExecutionFailed(WireStruct, frozen=True, kw_only=True):
    """The child failed."""

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    failure: Failure
    retry_outcome: RetryOutcome | None = None


class ChildWorkflowExecutionCanceled(WireStruct, frozen=True, kw_only=True):
    """The child ended as cancelled."""

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    details: tuple[Payload, ...] = ()


class ChildWorkflowExecutionTimedOut(WireStruct, frozen=True, kw_only=True):
    """The child's time was over."""

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    retry_outcome: RetryOutcome | None = None


class ChildWorkflowExecutionTerminated(WireStruct, frozen=True, kw_only=True):
    """The child was ended from outside."""

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    reason: str = ""
    details: tuple[Payload, ...] = ()


class ExternalFailureCause(Enum):
    """Why another workflow could not be signalled or cancelled."""

    EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND = "external_workflow_execution_not_found"


class SignalExternalWorkflowExecutionInitiated(WireStruct, frozen=True, kw_only=True):
    """The code sent a signal to another workflow, or to the child of `child_initiated_event_id`."""

    workflow_id: str
    signal_name: str
    run_id: str | None = None
    input: tuple[Payload, ...] = ()
    header: Header = {}
    child_initiated_event_id: int = 0
    follows_event_id: int = 0
    task_completed_event_id: int = 0


class SignalExternalWorkflowExecutionFailed(WireStruct, frozen=True, kw_only=True):
    """A signal found no open run."""

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None
    cause: ExternalFailureCause = ExternalFailureCause.EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND


class ExternalWorkflowExecutionSignaled(WireStruct, frozen=True, kw_only=True):
    """A signal is in the other workflow's inbox."""

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None


class RequestCancelExternalWorkflowExecutionInitiated(WireStruct, frozen=True, kw_only=True):
    """The code asked another workflow to end, or the child of `child_initiated_event_id`."""

    workflow_id: str
    run_id: str | None = None
    reason: str = ""
    child_initiated_event_id: int = 0
    follows_event_id: int = 0
    task_completed_event_id: int = 0


class RequestCancelExternalWorkflowExecutionFailed(WireStruct, frozen=True, kw_only=True):
    """A request to end found no open run."""

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None
    cause: ExternalFailureCause = ExternalFailureCause.EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND


class ExternalWorkflowExecutionCancelRequested(WireStruct, frozen=True, kw_only=True):
    """A request to end is in the other workflow's inbox."""

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None


ChildEndEvent: TypeAlias = (
    StartChildWorkflowExecutionFailed
    | ChildWorkflowExecutionCompleted
    | ChildWorkflowExecutionFailed
    | ChildWorkflowExecutionCanceled
    | ChildWorkflowExecutionTimedOut
    | ChildWorkflowExecutionTerminated
)
"""Events after which a child is pending no more."""

ExternalEndEvent: TypeAlias = (
    SignalExternalWorkflowExecutionFailed
    | ExternalWorkflowExecutionSignaled
    | RequestCancelExternalWorkflowExecutionFailed
    | ExternalWorkflowExecutionCancelRequested
)
"""Events that answer an act on another workflow."""
