"""Retries, time-outs and losses of activity attempts, as tables of facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.attempts import (
    AskHolder,
    AttemptFacts,
    Dispatch,
    Expire,
    RunFacts,
    Wait,
    failed,
    judge_backing_off,
    judge_running,
    judge_waiting,
    lost,
    may_take_over,
    name_of,
    task_of,
)
from orchestrator.core.retry import backoff_ms, next_delay_ms
from orchestrator.core.shard import owners, shard_of
from orchestrator.core.timeouts import beaten_due_in_ms
from orchestrator.core.transition import AttemptName
from orchestrator.ids import (
    ActivityKey,
    AttemptToken,
    EventId,
    Namespace,
    WorkflowId,
)
from orchestrator.wire.events import ActivityTaskScheduled
from orchestrator.wire.failure import ApplicationFailure, CanceledFailure, Failure
from orchestrator.wire.inbox import ActivityCanceled, ActivityTimedOut
from orchestrator.wire.options import RetryOptions, RetryOutcome, TimeoutKind
from tests.unit.core.histories import RUN, T0, WORKFLOW, attempt

NAME = AttemptName(
    workflow_id=WORKFLOW, run_id=RUN, event_id=EventId(5), key=ActivityKey("k"), attempt=1
)
FACTS = AttemptFacts(
    event_id=EventId(5),
    key=ActivityKey("k"),
    attempt=1,
    scheduled_at_ms=T0,
    attempt_scheduled_at_ms=T0,
)
RUNNING = replace(FACTS, token=AttemptToken("t"), started_at_ms=T0, holder="worker")
ERROR = Failure(message="boom", detail=ApplicationFailure(error_type="ValueError"))


def activity(**fields: object) -> ActivityTaskScheduled:
    return ActivityTaskScheduled(
        **{  # type: ignore[arg-type]  # fields of the Struct
            "activity_id": "1",
            "activity_type": "pay",
            "task_queue": "orders",
            "start_to_close_timeout_ms": 10_000,
            **fields,
        }
    )


def timeout_of(verdict: object) -> TimeoutKind:
    assert isinstance(verdict, Expire)
    entry = verdict.finish.entry
    assert isinstance(entry, ActivityTimedOut)
    return entry.failure.detail.timeout  # type: ignore[union-attr]  # always a time-out here


def test_back_off_doubles_up_to_a_hundred_intervals() -> None:
    policy = RetryOptions()
    waits = [backoff_ms(policy, attempt=n) for n in (1, 2, 3, 8, 100_000)]
    assert waits == [1_000, 2_000, 4_000, 100_000, 100_000]


@pytest.mark.parametrize(
    ("policy", "failure", "expected"),
    [
        (RetryOptions(), ERROR, 1_000),
        (RetryOptions(maximum_attempts=1), ERROR, RetryOutcome.MAXIMUM_ATTEMPTS_REACHED),
        (
            RetryOptions(non_retryable_error_types=("ValueError",)),
            ERROR,
            RetryOutcome.NON_RETRYABLE_FAILURE,
        ),
        (
            RetryOptions(),
            Failure(message="", detail=ApplicationFailure(non_retryable=True)),
            RetryOutcome.NON_RETRYABLE_FAILURE,
        ),
        (
            RetryOptions(),
            Failure(message="", detail=ApplicationFailure(next_retry_delay_ms=77)),
            77,
        ),
    ],
)
def test_a_failure_is_retried_as_its_policy_says(
    policy: RetryOptions, failure: Failure, expected: int | RetryOutcome
) -> None:
    assert next_delay_ms(policy, failure, attempt=1) == expected


@given(st.integers(1, 10_000), st.floats(1, 1e9), st.integers(1, 10**9))
def test_no_back_off_is_longer_than_the_maximum(
    attempt_number: int, coefficient: float, initial_ms: int
) -> None:
    policy = RetryOptions(initial_interval_ms=initial_ms, backoff_coefficient=coefficient)
    assert initial_ms <= backoff_ms(policy, attempt=attempt_number) <= initial_ms * 100


def test_a_failed_attempt_carries_the_retry_and_the_final_entry() -> None:
    finish = failed(NAME, AttemptToken("t"), attempt(), ERROR, RetryOptions())
    assert finish.retry is not None
    assert finish.retry.delay_ms == 1_000
    assert finish.entry.failure == ERROR


def test_a_cancelled_attempt_is_never_retried() -> None:
    failure = Failure(message="cancelled", detail=CanceledFailure())
    finish = failed(NAME, AttemptToken("t"), attempt(), failure, RetryOptions())
    assert finish.retry is None
    assert isinstance(finish.entry, ActivityCanceled)


def test_an_attempt_nobody_began_is_published_again() -> None:
    verdict = judge_waiting(NAME, activity(), FACTS, now_ms=T0 + 2_000)
    assert verdict == Dispatch(attempt=1, due_in_ms=5_000)


def test_schedule_to_start_ends_a_waiting_activity_without_retry() -> None:
    scheduled = activity(schedule_to_start_timeout_ms=1_000)
    verdict = judge_waiting(NAME, scheduled, FACTS, now_ms=T0 + 1_000)
    assert timeout_of(verdict) is TimeoutKind.SCHEDULE_TO_START
    assert isinstance(verdict, Expire)
    assert verdict.finish.retry is None
    assert verdict.finish.entry.started is None


def test_the_next_attempt_begins_when_the_back_off_is_over() -> None:
    verdict = judge_backing_off(NAME, activity(), FACTS, now_ms=T0)
    assert verdict == Dispatch(attempt=2, due_in_ms=2_000)


def test_nothing_begins_after_schedule_to_close() -> None:
    facts = replace(FACTS, deadline_ms=T0 + 5_000)
    verdict = judge_backing_off(NAME, activity(), facts, now_ms=T0 + 5_000)
    assert timeout_of(verdict) is TimeoutKind.SCHEDULE_TO_CLOSE


def test_start_to_close_ends_an_attempt_and_is_retried() -> None:
    verdict = judge_running(NAME, activity(), RUNNING, now_ms=T0 + 10_000)
    assert timeout_of(verdict) is TimeoutKind.START_TO_CLOSE
    assert isinstance(verdict, Expire)
    assert verdict.finish.retry is not None
    assert verdict.finish.due_only


def test_a_silent_attempt_ends_by_its_heartbeat_time_out() -> None:
    facts = replace(RUNNING, heartbeat_at_ms=T0 + 500)
    scheduled = activity(heartbeat_timeout_ms=1_000)
    assert isinstance(judge_running(NAME, scheduled, facts, now_ms=T0 + 1_499), AskHolder)
    verdict = judge_running(NAME, scheduled, facts, now_ms=T0 + 1_500)
    assert timeout_of(verdict) is TimeoutKind.HEARTBEAT


def test_the_first_lost_holder_is_replaced_at_once() -> None:
    verdict = lost(NAME, activity(), RUNNING, now_ms=T0 + 10, silent_ms=0)
    assert isinstance(verdict, Dispatch)
    assert verdict.attempt == 2


def test_the_second_loss_in_a_row_waits_out_the_back_off() -> None:
    facts = replace(RUNNING, losses=1)
    assert lost(NAME, activity(), facts, now_ms=T0 + 10, silent_ms=0) == Wait(990)
    verdict = lost(NAME, activity(), facts, now_ms=T0 + 1_000, silent_ms=0)
    assert isinstance(verdict, Dispatch)


def test_a_loss_at_the_last_attempt_is_the_outcome_after_asking_for_ten_seconds() -> None:
    once = activity(retry_policy=RetryOptions(maximum_attempts=1))
    assert lost(NAME, once, RUNNING, now_ms=T0 + 10, silent_ms=0) == Wait(1_000)
    assert lost(NAME, once, RUNNING, now_ms=T0 + 10, silent_ms=9_500) == Wait(500)
    verdict = lost(NAME, once, RUNNING, now_ms=T0 + 10, silent_ms=10_000)
    assert isinstance(verdict, Expire)
    assert verdict.finish.retry is None


def test_a_loss_of_what_was_to_be_cancelled_cancels_it() -> None:
    facts = replace(RUNNING, cancel_requested=True)
    verdict = lost(NAME, activity(), facts, now_ms=T0 + 10, silent_ms=0)
    assert isinstance(verdict, Expire)
    assert isinstance(verdict.finish.entry, ActivityCanceled)
    assert verdict.finish.entry.started is not None


@pytest.mark.parametrize(
    ("policy", "facts", "expected"),
    [
        (RetryOptions(), RUNNING, True),
        (RetryOptions(maximum_attempts=2), RUNNING, True),
        (RetryOptions(maximum_attempts=1), RUNNING, False),
        (RetryOptions(), replace(RUNNING, losses=1), False),
        (RetryOptions(), replace(RUNNING, cancel_requested=True), False),
        (RetryOptions(), replace(RUNNING, deadline_ms=T0 + 10), False),
        (RetryOptions(), replace(RUNNING, deadline_ms=T0 + 11), True),
    ],
)
def test_only_a_first_loss_is_taken_over_at_once(
    policy: RetryOptions, facts: AttemptFacts, expected: bool
) -> None:
    run = RunFacts(
        namespace=Namespace("default"),
        workflow_id=WORKFLOW,
        run_id=RUN,
        workflow_type="Order",
        task_queue="orders",
    )
    task = task_of(run, activity(retry_policy=policy), facts)
    assert may_take_over(task, facts, now_ms=T0 + 10) is expected


def test_a_heartbeat_does_not_move_start_to_close() -> None:
    run = RunFacts(
        namespace=Namespace("default"),
        workflow_id=WORKFLOW,
        run_id=RUN,
        workflow_type="Order",
        task_queue="orders",
    )
    task = task_of(run, activity(heartbeat_timeout_ms=4_000), RUNNING)
    assert beaten_due_in_ms(task, running_ms=3_000) == 4_000
    assert beaten_due_in_ms(task, running_ms=9_000) == 1_000
    assert beaten_due_in_ms(task, running_ms=12_000) == 0


def test_a_task_made_again_is_the_same_task() -> None:
    run = RunFacts(
        namespace=Namespace("default"),
        workflow_id=WORKFLOW,
        run_id=RUN,
        workflow_type="Order",
        task_queue="orders",
    )
    first, again = (task_of(run, activity(), FACTS) for _ in range(2))
    assert first == again
    assert name_of(first) == NAME


@pytest.mark.parametrize(
    ("longest_ms", "held"), [(10_000, True), (600_000, True), (600_001, False), (None, False)]
)
def test_only_short_activities_hold_their_delivery(longest_ms: int | None, held: bool) -> None:
    run = RunFacts(
        namespace=Namespace("default"),
        workflow_id=WORKFLOW,
        run_id=RUN,
        workflow_type="Order",
        task_queue="orders",
    )
    scheduled = activity(start_to_close_timeout_ms=longest_ms)
    assert task_of(run, scheduled, FACTS).hold is held


def test_shards_are_frozen_for_ever() -> None:
    found = [
        shard_of(Namespace("default"), WorkflowId(name), shards=128)
        for name in ("order-1", "order-2", "größe", "a:b")
    ]
    assert found == [94, 84, 86, 45]


def test_every_shard_has_one_owner_and_a_member_that_leaves_moves_only_its_own() -> None:
    three, two = ("a", "b", "c"), ("a", "b")
    shares = {name: set(owners(128, three, name)) for name in three}
    assert sorted(shard for share in shares.values() for shard in share) == list(range(128))
    for name in two:
        assert shares[name] <= set(owners(128, two, name))
