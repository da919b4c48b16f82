"""What a run is told, and what it answers: identity, one activation, its completion."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from orchestrator.core.updates import UpdateRejection, UpdateRequest
from orchestrator.wire.commands import Command, RecordMarker
from orchestrator.wire.events import (
    ClosingEvent,
    HistoryEvent,
    MarkerRecorded,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowTaskFailureCause,
)
from orchestrator.wire.failure import Failure
from orchestrator.wire.markers import is_local_activity


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes about a run. `start_time_ms` is the time of event 1."""

    namespace: str
    workflow_id: str
    run_id: str
    started: WorkflowExecutionStarted
    start_time_ms: int


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """News since the last task. Each of `updates` comes after the event that it names; what is
    recorded was accepted, and is not validated again. `recorded` holds the command events of this
    task as history has them (None: a new task); with `recorded_complete` False the commands after
    them are new."""

    time_ms: int
    events: tuple[HistoryEvent, ...] = ()
    updates: tuple[UpdateRequest, ...] = ()
    replaying: bool = False
    recorded: tuple[HistoryEvent, ...] | None = None
    recorded_complete: bool = True
    local_running: int = 0
    """Local activities that were still running when the recorded task was done."""
    python: str = ""
    """Which Python recorded it (`3.11`); empty: none."""
    build_id: str = ""
    """Which release of the worker did it, or does it now."""
    patches: tuple[str, ...] = ()
    """The patches it took, as its record says; their markers are among `recorded`, or missing."""
    history_length: int = 0
    history_bytes: int = 0
    continue_as_new_suggested: bool = False


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """The code ran until nothing was ready; `commands` are those that history does not have.

    Without events and without commands nothing has happened: the code let no update in.
    """

    commands: tuple[Command, ...] = ()
    rejections: tuple[UpdateRejection, ...] = ()


class TaskFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The code could not proceed. The run must not be activated again, only evicted."""

    cause: WorkflowTaskFailureCause
    failure: Failure


Completion: TypeAlias = Commands | TaskFailure


def messages_of(activation: Activation) -> Iterator[WorkflowExecutionSignaled | UpdateRequest]:
    """The signals and updates of an activation, in the order in which they came."""
    updates = deque(activation.updates)
    for event in activation.events:
        while updates and updates[0].after_event_id < event.event_id:
            yield updates.popleft()
        if isinstance(event.attributes, WorkflowExecutionSignaled):
            yield event.attributes
    yield from updates


def recorded_ends(recorded: Sequence[HistoryEvent]) -> list[RecordMarker]:
    """The ends of local activities among the recorded commands of a task, as they came."""
    return [
        RecordMarker(
            marker_name=marker.marker_name,
            details=marker.details,
            failure=marker.failure,
            time_ms=event.time_ms,
        )
        for event in recorded
        if isinstance(marker := event.attributes, MarkerRecorded) and is_local_activity(marker)
    ]


def is_whole(activation: Activation) -> bool:
    """Whether a task is recorded from its first command to its last, after which the run goes
    on."""
    recorded = activation.recorded
    if recorded is None or not activation.recorded_complete:
        return False
    return not (recorded and isinstance(recorded[-1].attributes, ClosingEvent))
