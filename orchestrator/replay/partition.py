"""A history → the activations that made it, for a replay.

Each completed workflow task is one activation: the news before it, the time its code saw, and the
command events after it. Failed tasks made nothing and leave no trace here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.replay.facts import Activation
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent


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
            case e.WorkflowTaskCompleted(command_count=count) if started is not None:
                found.activations.append(_activation(found.pending, started, events, count))
                found.pending = []
            case e.WorkflowTaskScheduled() | e.WorkflowTaskFailed() | e.WorkflowTaskCompleted():
                pass
            case _:
                found.pending.append(event)
    return found


def _activation(
    news: list[HistoryEvent], started: HistoryEvent, events: Iterator[HistoryEvent], count: int
) -> Activation:
    recorded = tuple(islice(events, count))
    task = started.attributes
    assert isinstance(task, e.WorkflowTaskStarted)
    return Activation(
        time_ms=started.time_ms,
        events=tuple(news),
        replaying=True,
        recorded=recorded,
        recorded_complete=len(recorded) == count,
        history_length=started.event_id,
        history_bytes=task.history_bytes,
        continue_as_new_suggested=task.continue_as_new_suggested,
    )
