"""A history on one line an event: nothing that differs from its default is left out."""

from __future__ import annotations

from orchestrator.cli.timeline import show_failure, summary, timeline
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.failure import ActivityFailure, ApplicationFailure, Failure, TimeoutFailure
from orchestrator.wire.options import RetryOptions, RetryOutcome, TimeoutKind
from orchestrator.wire.payload import BINARY_NULL, Payload

SCHEDULED = e.ActivityTaskScheduled(
    activity_id="1",
    activity_type="pay",
    task_queue="orders",
    input=(Payload.of_json(b'{"item":"pizza"}'), Payload.of_json(b"2")),
    start_to_close_timeout_ms=10_000,
    retry_policy=RetryOptions(maximum_attempts=3),
    task_completed_event_id=4,
)


def test_times_count_from_the_start() -> None:
    events = [
        HistoryEvent(
            event_id=1,
            time_ms=1_000,
            attributes=e.WorkflowExecutionStarted(workflow_type="Order", task_queue="orders"),
        ),
        HistoryEvent(event_id=2, time_ms=2_234, attributes=SCHEDULED),
    ]
    rows = list(timeline(events))
    assert rows[0] == (
        "1",
        "+0.000s",
        "WorkflowExecutionStarted",
        "workflow_type=Order task_queue=orders",
    )
    assert rows[1][:3] == ("2", "+1.234s", "ActivityTaskScheduled")


def test_payloads_are_shown_as_the_json_that_they_are_and_durations_as_such() -> None:
    assert summary(SCHEDULED) == (
        'activity_id=1 activity_type=pay task_queue=orders input=[{"item":"pizza"}, 2] '
        "start_to_close_timeout=10s retry_policy=(maximum_attempts=3)"
    )


def test_payloads_that_are_not_json_tell_their_encoding_and_size() -> None:
    binary = Payload.of_bytes(b"12345", encoding="binary/plain")
    nothing = Payload.of_bytes(b"", encoding=BINARY_NULL)
    event = e.WorkflowExecutionSignaled(signal_name="s", input=(binary, nothing))
    assert summary(event) == "signal_name=s input=[<binary/plain, 5 bytes>, null]"


def test_a_failure_is_shown_with_its_causes() -> None:
    timeout = Failure(message="no heartbeat", detail=TimeoutFailure(timeout=TimeoutKind.HEARTBEAT))
    declined = Failure(
        message="card refused", detail=ApplicationFailure(error_type="Declined"), cause=timeout
    )
    assert show_failure(declined) == "Declined: card refused ← heartbeat time-out: no heartbeat"
    event = e.ActivityTaskFailed(
        scheduled_event_id=5,
        started_event_id=6,
        failure=declined,
        retry_outcome=RetryOutcome.NON_RETRYABLE_FAILURE,
    )
    assert summary(event) == (
        "scheduled_event_id=5 started_event_id=6 "
        "failure=(Declined: card refused ← heartbeat time-out: no heartbeat) "
        "retry_outcome=non_retryable_failure"
    )


def test_an_activity_failure_is_told_by_its_message_and_cause() -> None:
    failure = Failure(
        message="activity failed",
        detail=ActivityFailure(
            scheduled_event_id=5, started_event_id=6, activity_type="pay", activity_id="1"
        ),
        cause=Failure(message="no", detail=ApplicationFailure()),
    )
    assert show_failure(failure) == "activity failed ← no"


def test_a_memo_is_shown_by_its_names() -> None:
    event = e.WorkflowExecutionStarted(
        workflow_type="Order", task_queue="q", memo={"from": Payload.of_json(b'"web"')}
    )
    assert summary(event) == 'workflow_type=Order task_queue=q memo={from: "web"}'
