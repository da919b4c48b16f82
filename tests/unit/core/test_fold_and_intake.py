"""State is the fold of a history; late, doubled and void news drop out before it."""

from __future__ import annotations

import pytest

from orchestrator.core.fold import HistoryGapError, ImpossibleEventError, apply, fold
from orchestrator.core.intake import intake
from orchestrator.wire import events as e
from orchestrator.wire import inbox
from orchestrator.wire.commands import CancelTimer, RequestCancelActivityTask, StartTimer
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.failure import ApplicationFailure, Failure, TimeoutFailure
from orchestrator.wire.options import RetryOutcome, TimeoutKind
from tests.unit.core.histories import (
    RUN,
    T0,
    WORKFLOW,
    activate,
    attempt,
    entry,
    fresh_state,
    schedule,
    started_event,
)


def types(events: list[HistoryEvent] | tuple[HistoryEvent, ...]) -> list[str]:
    return [event.type for event in events]


def test_a_gap_in_a_history_is_an_error() -> None:
    late = HistoryEvent(event_id=3, time_ms=T0, attributes=e.WorkflowTaskScheduled(task_queue="q"))
    with pytest.raises(HistoryGapError, match="expected event 2, found 3"):
        fold(WORKFLOW, RUN, [started_event(), late])


def test_an_event_about_nothing_pending_is_an_error() -> None:
    state = fresh_state()
    fired = HistoryEvent(
        event_id=2, time_ms=T0, attributes=e.TimerFired(timer_id="1", started_event_id=9)
    )
    with pytest.raises(ImpossibleEventError, match="TimerFired"):
        apply(state, fired)


def test_the_first_task_makes_no_event_of_its_own() -> None:
    news = intake(fresh_state(), [entry(1, inbox.FirstTask(run_id=RUN))])
    assert news.events == []
    assert news.dropped == 0


def test_signals_become_events_in_order() -> None:
    signals = [entry(n, inbox.SignalReceived(signal_name=f"s{n}")) for n in (1, 2, 3)]
    news = intake(fresh_state(), signals)
    names = [event.attributes.signal_name for event in news.events]
    assert names == ["s1", "s2", "s3"]


def test_a_second_request_to_cancel_is_dropped() -> None:
    state = fresh_state()
    news = intake(state, [entry(n, inbox.CancelReceived(reason="enough")) for n in (1, 2)])
    assert types(news.events) == ["WorkflowExecutionCancelRequested"]
    assert news.dropped == 1
    assert state.cancel_requested


def test_an_activity_result_is_recorded_with_the_attempt_that_brought_it() -> None:
    state = fresh_state()
    activate(state, [], [schedule()])
    done = inbox.ActivityCompleted(run_id=RUN, scheduled_event_id=5, started=attempt(3))
    news = intake(state, [entry(2, done)])
    assert types(news.events) == ["ActivityTaskStarted", "ActivityTaskCompleted"]
    begun, end = (event.attributes for event in news.events)
    assert begun.attempt == 3
    assert end.started_event_id == news.events[0].event_id
    assert news.resolved == [5]
    assert not state.activities


def test_a_doubled_activity_result_counts_once() -> None:
    state = fresh_state()
    activate(state, [], [schedule()])
    done = inbox.ActivityCompleted(run_id=RUN, scheduled_event_id=5, started=attempt())
    news = intake(state, [entry(2, done), entry(3, done)])
    assert types(news.events) == ["ActivityTaskStarted", "ActivityTaskCompleted"]
    assert news.dropped == 1


def test_news_of_another_run_is_void() -> None:
    state = fresh_state()
    activate(state, [], [schedule(), StartTimer(timer_id="1", start_to_fire_ms=10)])
    old = [
        entry(2, inbox.ActivityCompleted(run_id="old", scheduled_event_id=5, started=attempt())),
        entry(3, inbox.TimerDue(run_id="old", started_event_id=6)),
        entry(4, inbox.FirstTask(run_id="old")),
    ]
    news = intake(state, old)
    assert news.events == []
    assert news.resolved == []
    assert news.dropped == 3


def test_a_timer_that_fired_after_it_was_cancelled_is_dropped() -> None:
    state = fresh_state()
    activate(state, [], [StartTimer(timer_id="1", start_to_fire_ms=10)])
    activate(state, [], [CancelTimer(timer_id="1")])
    news = intake(state, [entry(2, inbox.TimerDue(run_id=RUN, started_event_id=5))])
    assert news.events == []
    assert news.dropped == 1


def test_an_activity_cancelled_before_anybody_began_it_has_no_started_event() -> None:
    state = fresh_state()
    activate(state, [], [schedule()])
    activate(state, [], [RequestCancelActivityTask(activity_id="1")])
    canceled = inbox.ActivityCanceled(run_id=RUN, scheduled_event_id=5)
    news = intake(state, [entry(2, canceled)])
    assert types(news.events) == ["ActivityTaskCanceled"]


def _timed_out(kind: TimeoutKind) -> inbox.ActivityTimedOut:
    failure = Failure(message="", detail=TimeoutFailure(timeout=kind))
    return inbox.ActivityTimedOut(
        run_id=RUN,
        scheduled_event_id=5,
        started=attempt(),
        failure=failure,
        retry_outcome=RetryOutcome.TIMEOUT,
    )


def _failed(outcome: RetryOutcome) -> inbox.ActivityFailed:
    failure = Failure(message="boom", detail=ApplicationFailure())
    return inbox.ActivityFailed(
        run_id=RUN, scheduled_event_id=5, started=attempt(), failure=failure, retry_outcome=outcome
    )


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (_failed(RetryOutcome.TIMEOUT), RetryOutcome.CANCEL_REQUESTED),
        (_failed(RetryOutcome.MAXIMUM_ATTEMPTS_REACHED), RetryOutcome.MAXIMUM_ATTEMPTS_REACHED),
        (_timed_out(TimeoutKind.HEARTBEAT), RetryOutcome.CANCEL_REQUESTED),
        (_timed_out(TimeoutKind.SCHEDULE_TO_CLOSE), RetryOutcome.TIMEOUT),
    ],
)
def test_a_retry_that_a_cancel_forbade_says_so(
    end: inbox.ActivityFailed | inbox.ActivityTimedOut, outcome: RetryOutcome
) -> None:
    state = fresh_state()
    activate(state, [], [schedule()])
    activate(state, [], [RequestCancelActivityTask(activity_id="1")])
    news = intake(state, [entry(2, end)])
    assert news.events[-1].attributes.retry_outcome is outcome


def test_a_retry_for_which_there_was_no_time_says_so() -> None:
    state = fresh_state()
    activate(state, [], [schedule()])
    news = intake(state, [entry(2, _failed(RetryOutcome.TIMEOUT))])
    assert news.events[-1].attributes.retry_outcome is RetryOutcome.TIMEOUT


def test_time_never_goes_back_in_a_history() -> None:
    state = fresh_state()
    first = entry(1, inbox.SignalReceived(signal_name="a"), at_ms=T0 + 50)
    second = entry(2, inbox.SignalReceived(signal_name="b"), at_ms=T0 + 10)
    news = intake(state, [first, second])
    assert [event.time_ms for event in news.events] == [T0 + 50, T0 + 50]
