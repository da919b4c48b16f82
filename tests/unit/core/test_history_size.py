"""The size of a history is measured once and recorded."""

from __future__ import annotations

import pytest

from orchestrator.core.decide import fail_task
from orchestrator.core.history_size import bytes_at_end, bytes_of, suggests_continue_as_new
from orchestrator.core.state import UpdateState
from orchestrator.limits import (
    HISTORY_BYTES_SUGGEST,
    HISTORY_EVENTS_SUGGEST,
    UPDATES_MAX,
    UPDATES_SUGGEST,
)
from orchestrator.wire.events import (
    HistoryEvent,
    WorkflowTaskFailureCause,
    WorkflowTaskStarted,
)
from orchestrator.wire.failure import Failure, ServerFailure
from tests.unit.core.histories import (
    activate,
    fresh_state,
    minted,
    schedule,
    started_event,
    task,
)


def recorded(history: list[HistoryEvent]) -> WorkflowTaskStarted:
    found = [e.attributes for e in history if isinstance(e.attributes, WorkflowTaskStarted)]
    return found[-1]


def test_every_event_counts_once_whoever_measures_from_wherever() -> None:
    state, history = fresh_state(), [started_event()]
    for number in range(3):
        size = bytes_at_end(history)
        assert size == bytes_of(history)
        (commit,) = activate(state, [], [schedule(str(number))], history_bytes=size)
        history += commit.events
        assert recorded(history).history_bytes == size
    failure = Failure(message="no", detail=ServerFailure())
    cause = WorkflowTaskFailureCause.WORKFLOW_CODE
    failing = task(history_bytes=bytes_at_end(history))
    history += fail_task(state, failing, cause=cause, failure=failure, mint=minted()).events
    assert bytes_at_end(history) == bytes_of(history)


def test_what_a_task_recorded_is_believed() -> None:
    state, first = fresh_state(), started_event()
    (commit,) = activate(state, [], [], history_bytes=1_000_000)
    assert bytes_at_end([first, *commit.events]) == 1_000_000 + bytes_of(commit.events)


@pytest.mark.parametrize(
    ("history_events", "history_bytes", "suggested"),
    [
        (HISTORY_EVENTS_SUGGEST - 1, HISTORY_BYTES_SUGGEST - 1, False),
        (HISTORY_EVENTS_SUGGEST, 0, True),
        (0, HISTORY_BYTES_SUGGEST, True),
    ],
)
def test_a_long_or_a_large_history_suggests_to_continue_as_new(
    history_events: int, history_bytes: int, suggested: bool
) -> None:
    state = fresh_state()
    state.last_event_id = history_events
    assert suggests_continue_as_new(state, history_bytes=history_bytes) is suggested


def test_many_updates_suggest_to_continue_as_new_before_any_is_refused() -> None:
    state = fresh_state()
    state.updates = {f"u{n}": UpdateState(n) for n in range(UPDATES_SUGGEST)}
    assert suggests_continue_as_new(state, history_bytes=0)
    assert UPDATES_SUGGEST < UPDATES_MAX
