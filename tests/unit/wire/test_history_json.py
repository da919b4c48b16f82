"""A history survives being written as JSON, and what is no history is refused with a reason."""

from __future__ import annotations

import json

import pytest

from orchestrator.exceptions import MalformedMessageError
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.wire.payload import Payload

STARTED = e.WorkflowExecutionStarted(
    workflow_type="Order", task_queue="orders", input=(Payload.of_json(b'"p\xc3\xa9"'),)
)
HISTORY = WorkflowHistory(
    "order-1",
    [
        HistoryEvent(event_id=1, time_ms=1_700_000_000_123, attributes=STARTED),
        HistoryEvent(
            event_id=2,
            time_ms=1_700_000_000_456,
            attributes=e.WorkflowExecutionSignaled(signal_name="go"),
        ),
    ],
    "run-1",
)


def test_a_history_comes_back_as_it_went() -> None:
    text = HISTORY.to_json()
    assert WorkflowHistory.from_json("", text) == HISTORY
    assert WorkflowHistory.from_json("", text.encode()) == HISTORY
    assert WorkflowHistory.from_json("", HISTORY.to_json_dict()) == HISTORY
    assert WorkflowHistory.from_json("other", text).workflow_id == "other"


def test_a_person_can_read_it_line_by_line() -> None:
    lines = HISTORY.to_json().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[1].rstrip(",")) == {
        "event_id": 1,
        "time": "2023-11-14T22:13:20.123Z",
        "type": "WorkflowExecutionStarted",
        "data": {"workflow_type": "Order", "task_queue": "orders", "input": [{"data": "pé"}]},
    }


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("{", "a history as JSON"),
        ("{}", "missing required field `events`"),
        ('{"events": []}', "events 1, 2, 3"),
        (
            '{"events": [{"event_id": 2, "time": "2026-01-01T00:00:00Z", "type": "TimerFired", '
            '"data": {"timer_id": "1", "started_event_id": 1}}]}',
            r"found \[2\]",
        ),
        (
            '{"events": [{"event_id": 1, "time": "2026-01-01T00:00:00Z", "type": "Invented", '
            '"data": {}}]}',
            "a known event type",
        ),
        (
            '{"events": [{"event_id": 1, "time": "now", "type": "TimerFired", "data": {}}]}',
            "ISO 8601|missing required",
        ),
    ],
)
def test_what_is_no_history_is_refused(document: str, text: str) -> None:
    with pytest.raises(MalformedMessageError, match=text):
        WorkflowHistory.from_json("", document)


def test_a_history_without_its_start_has_none() -> None:
    assert HISTORY.started is STARTED
    with pytest.raises(MalformedMessageError, match="found nothing"):
        _ = WorkflowHistory("a", []).started
    with pytest.raises(MalformedMessageError, match="event 2 WorkflowExecutionSignaled"):
        _ = WorkflowHistory("a", HISTORY.events[1:]).started
