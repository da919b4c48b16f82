"""A history → the activations that made it, for a replay.

Each completed workflow task is one activation: the news before it, the time its code saw, and the
command events after it. Failed tasks made nothing and leave no trace here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.core.updates import UpdateRequest, requested
from orchestrator.replay.facts import Activation
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent

_TRACES_OF_A_FAILED_TASK = (
    e.WorkflowTaskScheduled,
    e.WorkflowTaskStarted,
    e.WorkflowTaskFailed,
)
"""May stand between two parts of a large task: an attempt to write the missing one failed."""


@dataclass(slots=True)
class Partition:
    """The activations of a history, and the news that no task has looked at yet."""

    activations: list[Activation] = field(default_factory=list[Activation])
    pending: list[HistoryEvent] = field(default_factory=list[HistoryEvent])


def partition(history: Iterable[HistoryEvent]) -> Partition:
    """Cut `history`, from event 1 on, into activations.

    The last one has `recorded_complete` False when history ends in the middle of its commands.
    """
    found = Partition()
    events = iter(history)
    started: HistoryEvent | None = None
    for event in events:
        match event.attributes:
            case e.WorkflowTaskStarted():
                started = event
            case e.WorkflowTaskCompleted() as completed if started is not None:
                _activation(found, started, events, completed)
            case e.WorkflowTaskScheduled() | e.WorkflowTaskFailed() | e.WorkflowTaskCompleted():
                pass
            case _:
                found.pending.append(event)
    return found


def _activation(
    found: Partition,
    started: HistoryEvent,
    events: Iterator[HistoryEvent],
    completed: e.WorkflowTaskCompleted,
) -> None:
    """Take the command events of a task from `events`, and what ends them too early."""
    count = completed.command_count
    recorded: list[HistoryEvent] = []
    left_over: list[HistoryEvent] = []
    for event in events if count else ():
        if isinstance(event.attributes, e.CommandEvent):
            recorded.append(event)
            if len(recorded) == count:
                break
        elif not isinstance(event.attributes, _TRACES_OF_A_FAILED_TASK):
            left_over.append(event)  # The run was ended from outside between two parts.
            break
    task = started.attributes
    assert isinstance(task, e.WorkflowTaskStarted)
    activation = Activation(
        time_ms=started.time_ms,
        events=tuple(found.pending),
        updates=tuple(sorted(_updates(recorded), key=lambda update: update.after_event_id)),
        replaying=True,
        recorded=tuple(recorded),
        recorded_complete=len(recorded) == count,
        local_running=completed.local_activities,
        python=completed.python,
        build_id=completed.build_id,
        patches=completed.patches,
        history_length=started.event_id,
        history_bytes=task.history_bytes,
        continue_as_new_suggested=task.continue_as_new_suggested,
    )
    found.activations.append(activation)
    found.pending = left_over


def _updates(recorded: Iterable[HistoryEvent]) -> Iterator[UpdateRequest]:
    """What was let in by a task."""
    for event in recorded:
        if isinstance(event.attributes, e.WorkflowExecutionUpdateAccepted):
            yield requested(event.attributes)


def loop_version(history: Iterable[HistoryEvent]) -> int:
    """The newest version of the event loop that did one of these tasks; 0: none is done."""
    tasks = (event.attributes for event in history)
    return max((t.loop_version for t in tasks if isinstance(t, e.WorkflowTaskCompleted)), default=0)
