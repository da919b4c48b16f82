"""What a history adds up to: the state of one run, for decisions about its next step.

A state has one owner and is changed in place, by `orchestrator.core.fold` alone. It is a cache of
the history: whoever doubts it throws it away and folds again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.exceptions import OrchestratorError
from orchestrator.ids import RunId, WorkflowId
from orchestrator.wire.events import (
    ActivityTaskScheduled,
    TimerStarted,
    WorkflowExecutionStarted,
)
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.relation_events import (
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionInitiated,
)
from orchestrator.wire.search_attributes import SearchAttribute


class NotStartedError(OrchestratorError):
    """A history without its first event: it was read while retention took it, or it is damaged."""


@dataclass(slots=True)
class PendingActivity:
    """An activity without an end."""

    event_id: int
    scheduled: ActivityTaskScheduled
    scheduled_at_ms: int
    cancel_requested: bool = False


@dataclass(slots=True)
class PendingTimer:
    """A timer that neither fired nor was cancelled."""

    event_id: int
    started: TimerStarted
    fire_at_ms: int


@dataclass(slots=True)
class UpdateState:
    """An update that was accepted. `completed_event_id` None: its handler runs."""

    accepted_event_id: int
    completed_event_id: int | None = None


@dataclass(slots=True)
class PendingChild:
    """A child without an end. `run_id` and `started_event_id` are set once it is known to exist."""

    event_id: int
    initiated: StartChildWorkflowExecutionInitiated
    initiated_at_ms: int
    started_event_id: int = 0
    run_id: RunId | None = None


@dataclass(slots=True)
class PendingExternal:
    """A signal to another workflow, or a request to cancel one, without an answer."""

    event_id: int
    initiated: (
        SignalExternalWorkflowExecutionInitiated | RequestCancelExternalWorkflowExecutionInitiated
    )


@dataclass(slots=True)
class ExecutionState:
    """The fold of one history. `started` is None until event 1 was applied."""

    workflow_id: WorkflowId
    run_id: RunId
    started: WorkflowExecutionStarted | None = None
    status: RunStatus = RunStatus.RUNNING
    started_at_ms: int = 0
    last_event_id: int = 0
    last_time_ms: int = 0
    cancel_requested: bool = False
    activities: dict[int, PendingActivity] = field(default_factory=dict[int, PendingActivity])
    """By scheduled event id."""
    activity_ids: dict[str, int] = field(default_factory=dict[str, int])
    """Event id of the pending activity of this id."""
    timers: dict[int, PendingTimer] = field(default_factory=dict[int, PendingTimer])
    """By started event id."""
    timer_ids: dict[str, int] = field(default_factory=dict[str, int])
    """Event id of the pending timer of this id."""
    memo: dict[str, Payload] = field(default_factory=dict[str, Payload])
    search_attributes: dict[str, SearchAttribute] = field(
        default_factory=dict[str, SearchAttribute]
    )
    """Both as they are now: what the run was started with, and what its code has changed since."""
    updates: dict[str, UpdateState] = field(default_factory=dict[str, UpdateState])
    """Every accepted update of the run by its id, also those that are completed: an id is known as
    long as the run."""
    updates_open: int = 0
    """How many of them are not completed."""
    children: dict[int, PendingChild] = field(default_factory=dict[int, PendingChild])
    """By initiated event id."""
    externals: dict[int, PendingExternal] = field(default_factory=dict[int, PendingExternal])
    """By initiated event id."""
    newest_externals: dict[str, int] = field(default_factory=dict[str, int])
    """Event id of the newest pending act on each other workflow."""
    task_completed_event_id: int = 0
    commands_missing: int = 0
    """Command events of the newest task that history does not hold yet."""

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen."""
        return self.status is RunStatus.RUNNING


def started_of(state: ExecutionState) -> WorkflowExecutionStarted:
    """The first event's attributes.

    Raises:
        NotStartedError: the state was folded from nothing.
    """
    if state.started is None:
        raise NotStartedError(f"run {state.run_id!r} has no first event; read its history again")
    return state.started
