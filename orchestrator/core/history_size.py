"""How large a history is, as workflow code is told and as continue-as-new is suggested by.

The size is the bytes of all events as encoded. It is written into `WorkflowTaskStarted` and read
from there on replay, so a release that encodes otherwise replays the same; and whoever loads a
history measures only what came after the newest of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.core.state import ExecutionState
from orchestrator.limits import HISTORY_BYTES_SUGGEST, HISTORY_EVENTS_SUGGEST, UPDATES_SUGGEST
from orchestrator.wire import codec
from orchestrator.wire.events import HistoryEvent, WorkflowTaskStarted


def bytes_of(events: Iterable[HistoryEvent]) -> int:
    """The bytes of `events`."""
    return sum(len(codec.encode(event.attributes)) for event in events)


def bytes_at_end(history: Sequence[HistoryEvent]) -> int:
    """The bytes of a whole history, from event 1 on.

    A task's record counts everything before its own `WorkflowTaskScheduled`.
    """
    for started in reversed(history):
        if isinstance(started.attributes, WorkflowTaskStarted):
            since = started.attributes.scheduled_event_id
            return started.attributes.history_bytes + bytes_of(history[since - 1 :])
    return bytes_of(history)


def suggests_continue_as_new(state: ExecutionState, *, history_bytes: int) -> bool:
    """Whether a run has grown to where a fresh one is better: by its events, by their bytes, or by
    the updates that it remembers."""
    return (
        state.last_event_id >= HISTORY_EVENTS_SUGGEST
        or history_bytes >= HISTORY_BYTES_SUGGEST
        or len(state.updates) >= UPDATES_SUGGEST
    )
