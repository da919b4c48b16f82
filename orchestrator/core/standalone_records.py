"""What the store is given of an activity without a workflow: its beginning, its end, its cancel.

Such an activity is a run whose history holds that one activity and which no workflow code advances:
the acts of its attempts begin and close it. Everything here was decided by pure code; durations are
relative to the store's clock.
"""

from __future__ import annotations

import msgspec

from orchestrator.ids import ActivityKey, EventId, RunId, WorkflowId
from orchestrator.wire.events import (
    ActivityTaskScheduled,
    ActivityTaskStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
)
from orchestrator.wire.options import RunStatus

SCHEDULED_EVENT_ID = EventId(2)
"""The event of every standalone activity that schedules it; event 1 is the start."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen and keyword-only; these never travel."""


class StandaloneActivity(_Record, frozen=True, kw_only=True):
    """The activity that a new run is: event 2, its record, and the row of its nearest deadline.

    Without `delay_ms` its first attempt is scheduled; with it the activity backs off for so long
    before it. All times run from the end of the delay: `due_in_ms` to the first look at an attempt
    that is scheduled at once, `deadline_in_ms` to schedule-to-close.
    """

    scheduled: ActivityTaskScheduled
    key: ActivityKey
    due_in_ms: int
    delay_ms: int = 0
    deadline_in_ms: int | None = None


class StandaloneEnd(_Record, frozen=True, kw_only=True):
    """How the run of a standalone activity closes: with how its last attempt began, if one has,
    and its outcome. The store gives both the next event ids.

    A time-out closes with a failure that says so, and the status `timed_out`.
    """

    status: RunStatus
    closing: WorkflowExecutionCompleted | WorkflowExecutionFailed | WorkflowExecutionCanceled
    started: ActivityTaskStarted | None = None
    started_at_ms: int = 0


class CancelStandalone(_Record, frozen=True, kw_only=True):
    """Ask a standalone activity to end.

    Running: `requested` is recorded, the attempt marked and its holder told; asked before: nothing.
    Nobody runs it: it closes by `end` at once.
    """

    workflow_id: WorkflowId
    run_id: RunId
    requested: WorkflowExecutionCancelRequested
    end: StandaloneEnd
