"""What follows a run: retries with their back-off, the next of a schedule, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.chain import time_out
from orchestrator.core.fold import fold
from orchestrator.core.start import StartOptions, start_of
from orchestrator.core.state import ExecutionState
from orchestrator.core.transition import Close
from orchestrator.exceptions import InvalidNameError, RPCError
from orchestrator.limits import DETAILS_BYTES_MAX, SUMMARY_BYTES_MAX
from orchestrator.wire import events as e
from orchestrator.wire.commands import (
    CancelWorkflowExecution,
    Command,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
)
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import CancelReceived, FirstTask, InboxBody
from orchestrator.wire.options import RetryOptions, RetryOutcome, RunInitiator, RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import IndexedValueType, SearchAttribute
from tests.unit.core.histories import RUN, T0, WORKFLOW, activate, entry, fresh_state, started_event

HOUR_MS = 3_600_000
POLICY = RetryOptions(initial_interval_ms=1_000, maximum_attempts=3)
ONE, TWO = Payload.of_json(b"1"), Payload.of_json(b"2")
DAILY = "0 0 * * *"
NEXT_MIDNIGHT_MS = 1_700_006_400_000


def failure(**fields: Any) -> Failure:
    return Failure(message="no", detail=ApplicationFailure(error_type="Out", **fields))


def ended(
    command: Command, *news: InboxBody, now_ms: int = T0, **started: Any
) -> tuple[Close, e.EventAttributes]:
    state = fresh_state(**started)
    entries = [entry(n, body) for n, body in enumerate([FirstTask(run_id=RUN), *news], 1)]
    (part,) = activate(state, entries, [command], now_ms=now_ms)
    assert part.close is not None
    return part.close, part.events[-1].attributes


def failed(*news: InboxBody, with_: Failure | None = None, **started: Any) -> tuple[Close, Any]:
    return ended(FailWorkflowExecution(failure=with_ or failure()), *news, **started)


def test_a_failed_run_is_begun_again_after_its_back_off() -> None:
    close, event = failed(retry_policy=POLICY, attempt=2, input=(ONE,), memo={"a": ONE})
    assert close.status is RunStatus.FAILED
    assert close.successor is not None
    again = close.successor.started
    assert (again.attempt, again.input, again.memo) == (3, (ONE,), {"a": ONE})
    assert (again.first_run_id, again.continued_run_id) == (RUN, RUN)
    assert again.initiator is RunInitiator.RETRY
    assert again.continued_failure == failure()
    assert close.successor.first_task_delay_ms == 2_000
    assert close.successor.is_backoff
    assert event.new_execution_run_id == close.successor.run_id
    assert event.retry_outcome is None


def test_a_retry_begins_as_the_run_was_started_whatever_its_code_has_changed() -> None:
    city = SearchAttribute(type=IndexedValueType.KEYWORD, value="Rome")
    state = fresh_state(retry_policy=POLICY, search_attributes={"City": city})
    state.search_attributes = {}
    entries = [entry(1, FirstTask(run_id=RUN))]
    (part,) = activate(state, entries, [FailWorkflowExecution(failure=failure())])
    assert part.close is not None
    assert part.close.successor is not None
    assert part.close.successor.started.search_attributes == {"City": city}


@pytest.mark.parametrize(
    ("started", "with_", "outcome"),
    [
        ({"attempt": 3}, failure(), RetryOutcome.MAXIMUM_ATTEMPTS_REACHED),
        ({}, failure(non_retryable=True), RetryOutcome.NON_RETRYABLE_FAILURE),
        (
            {"retry_policy": RetryOptions(non_retryable_error_types=("Out",))},
            failure(),
            RetryOutcome.NON_RETRYABLE_FAILURE,
        ),
        ({"execution_deadline_ms": T0 + 1_000}, failure(), RetryOutcome.TIMEOUT),
    ],
)
def test_a_last_failure_says_why_it_is_the_last(
    started: dict[str, Any], with_: Failure, outcome: RetryOutcome
) -> None:
    close, event = failed(with_=with_, **{"retry_policy": POLICY, **started})
    assert close.successor is None
    assert (event.retry_outcome, event.new_execution_run_id) == (outcome, None)


def test_a_failures_own_delay_overrides_the_back_off() -> None:
    close, _ = failed(with_=failure(next_retry_delay_ms=HOUR_MS), retry_policy=POLICY)
    assert close.successor is not None
    assert close.successor.first_task_delay_ms == HOUR_MS


def test_a_run_without_a_policy_is_not_tried_again_and_says_nothing_of_it() -> None:
    close, event = failed()
    assert (close.successor, event.retry_outcome) == (None, None)
    assert close.nothing_left


def test_a_run_that_was_asked_to_cancel_is_not_tried_again() -> None:
    close, event = failed(CancelReceived(), retry_policy=POLICY, cron_schedule=DAILY)
    assert (close.successor, event.retry_outcome) == (None, RetryOutcome.CANCEL_REQUESTED)
    close, _ = ended(CompleteWorkflowExecution(), CancelReceived(), cron_schedule=DAILY)
    assert close.successor is None
    close, _ = ended(CancelWorkflowExecution(), CancelReceived(), cron_schedule=DAILY)
    assert close.successor is None


def test_a_schedule_goes_on_at_its_next_time_with_the_last_result() -> None:
    close, event = ended(
        CompleteWorkflowExecution(result=TWO),
        cron_schedule=DAILY,
        attempt=2,
        last_completion_result=ONE,
        continued_failure=failure(),
    )
    assert isinstance(event, e.WorkflowExecutionCompleted)
    assert close.successor is not None
    following = close.successor.started
    assert (following.attempt, following.initiator) == (1, RunInitiator.CRON)
    assert (following.last_completion_result, following.continued_failure) == (TWO, None)
    assert T0 + close.successor.first_task_delay_ms == NEXT_MIDNIGHT_MS
    assert event.new_execution_run_id == close.successor.run_id


def test_a_failed_run_of_a_schedule_is_retried_first_and_leaves_its_failure_then() -> None:
    close, _ = failed(cron_schedule=DAILY, retry_policy=POLICY, last_completion_result=ONE)
    assert close.successor is not None
    assert close.successor.started.initiator is RunInitiator.RETRY
    assert close.successor.started.last_completion_result == ONE
    close, event = failed(
        cron_schedule=DAILY, retry_policy=POLICY, attempt=3, last_completion_result=ONE
    )
    assert close.successor is not None
    following = close.successor.started
    assert (following.initiator, following.attempt) == (RunInitiator.CRON, 1)
    assert (following.last_completion_result, following.continued_failure) == (ONE, failure())
    assert event.retry_outcome is RetryOutcome.MAXIMUM_ATTEMPTS_REACHED


def test_a_schedule_ends_with_the_time_of_its_chain() -> None:
    close, _ = ended(
        CompleteWorkflowExecution(), cron_schedule=DAILY, execution_deadline_ms=NEXT_MIDNIGHT_MS
    )
    assert close.successor is None


def test_messages_that_were_not_seen_refuse_the_end_and_are_the_successors_when_it_is_forced() -> (
    None
):
    close, _ = failed(retry_policy=POLICY)
    assert (close.forced, close.keep_inbox) == (False, True)
    state = fresh_state(retry_policy=POLICY)
    entries = [entry(1, FirstTask(run_id=RUN))]
    command = FailWorkflowExecution(failure=failure())
    (part,) = activate(state, entries, [command], unseen_messages=2)
    assert part.close is not None
    assert (part.close.forced, part.close.keep_inbox) == (True, True)


def test_the_time_of_a_run_begins_after_its_back_off_and_ends_with_the_chain() -> None:
    close, _ = failed(retry_policy=POLICY, run_timeout_ms=5_000)
    assert close.successor is not None
    assert close.successor.run_timeout_ms == 6_000
    close, _ = failed(retry_policy=POLICY, run_timeout_ms=5_000, execution_deadline_ms=T0 + 3_000)
    assert close.successor is not None
    assert close.successor.run_timeout_ms == 3_000


def test_continue_as_new_may_hold_its_successor_back() -> None:
    command = ContinueAsNewWorkflowExecution(backoff_start_interval_ms=HOUR_MS)
    close, event = ended(command, run_timeout_ms=5_000, attempt=3, retry_policy=POLICY)
    assert close.successor is not None
    assert close.successor.started.attempt == 1
    assert close.successor.started.retry_policy == POLICY
    assert close.successor.first_task_delay_ms == HOUR_MS
    assert close.successor.run_timeout_ms == HOUR_MS + 5_000
    assert isinstance(event, e.WorkflowExecutionContinuedAsNew)
    assert event.backoff_start_interval_ms == HOUR_MS


def timed_out_state(**started: Any) -> ExecutionState:
    return fold(WORKFLOW, RUN, [started_event(**started)])


def test_a_run_whose_own_time_is_over_is_tried_again() -> None:
    close = time_out(timed_out_state(retry_policy=POLICY, run_timeout_ms=5_000), now_ms=T0 + 5_000)
    assert close.successor is not None
    assert close.successor.started.attempt == 2
    assert close.successor.started.continued_failure is not None
    assert close.expected_last_event_id == 1
    assert close.due_only
    again = time_out(timed_out_state(retry_policy=POLICY, run_timeout_ms=5_000), now_ms=T0 + 5_001)
    assert again.successor is not None
    assert again.successor.run_id == close.successor.run_id


def test_a_chain_whose_time_is_over_is_not_tried_again() -> None:
    state = timed_out_state(
        retry_policy=POLICY, cron_schedule="* * * * *", execution_deadline_ms=T0 + 5_000
    )
    close = time_out(state, now_ms=T0 + 5_000)
    assert (close.successor, close.expected_last_event_id) == (None, None)
    assert isinstance(close.event, e.WorkflowExecutionTimedOut)
    assert close.event.retry_outcome is RetryOutcome.TIMEOUT


def start(**fields: Any) -> Any:
    options = {
        "workflow_id": "w",
        "workflow_type": "T",
        "task_queue": "q",
        "request_id": "r",
        **fields,
    }
    return start_of(StartOptions(**options), now_ms=T0).run


def test_the_first_run_of_a_schedule_waits_for_its_time() -> None:
    run = start(cron_schedule=DAILY)
    assert T0 + run.first_task_delay_ms == NEXT_MIDNIGHT_MS
    assert run.is_backoff
    delayed = start(start_delay_ms=5_000)
    assert (delayed.first_task_delay_ms, delayed.is_backoff) == (5_000, False)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cron_schedule": "often"}, "cron schedule 'often'"),
        ({"cron_schedule": DAILY, "start_delay_ms": 1}, "start_delay_ms"),
        ({"static_summary": "x" * (SUMMARY_BYTES_MAX + 1)}, "static_summary"),
        ({"static_details": "x" * (DETAILS_BYTES_MAX + 1)}, "static_details"),
        (
            {"search_attributes": {"N": SearchAttribute(type=IndexedValueType.INT, value="x")}},
            "search attribute 'N'",
        ),
    ],
)
def test_a_start_that_cannot_be_says_what_is_wrong(fields: dict[str, Any], text: str) -> None:
    with pytest.raises((RPCError, InvalidNameError), match=text):
        start(**fields)
