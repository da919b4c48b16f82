"""What one activation writes: events, rows and records, cut into commits that fit."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.core.decide import decide_rest, fail_task, park, task_backoff_ms
from orchestrator.core.fold import fold
from orchestrator.core.transition import NewRun
from orchestrator.limits import (
    COMMIT_COMMANDS_MAX,
    CRASHES_BEFORE_ISOLATION,
    CRASHES_BEFORE_PARKING,
    TASK_BACKOFF_MAX_MS,
    WORKFLOW_TASK_TIMEOUT_MAX_MS,
)
from orchestrator.wire import inbox
from orchestrator.wire.commands import (
    CancelTimer,
    Command,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    RecordMarker,
    RequestCancelActivityTask,
    StartTimer,
)
from orchestrator.wire.events import WorkflowTaskFailed, WorkflowTaskFailureCause
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.options import RetryOptions, RunStatus
from orchestrator.wire.payload import Payload
from tests.unit.core.histories import (
    RUN,
    T0,
    WORKFLOW,
    activate,
    entry,
    fresh_state,
    minted,
    schedule,
    started_event,
    task,
)

_TIMER = StartTimer(timer_id="1", start_to_fire_ms=10)
FAILURE = Failure(message="boom", detail=ApplicationFailure())


def test_an_activation_writes_news_then_the_task_then_the_wishes() -> None:
    (commit,) = activate(
        fresh_state(), [entry(1, inbox.SignalReceived(signal_name="go"))], [schedule()]
    )
    assert [event.type for event in commit.events] == [
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "ActivityTaskScheduled",
    ]
    assert [event.event_id for event in commit.events] == [2, 3, 4, 5, 6]
    assert commit.first_event_id == 2
    assert commit.consumed_to == 1
    assert commit.consumed_mark == "m1"


def test_what_was_decided_folds_to_the_state_that_decided_it() -> None:
    state = fresh_state()
    commits = [
        *activate(state, [], [schedule(), StartTimer(timer_id="1", start_to_fire_ms=500)]),
        *activate(
            state, [], [CancelTimer(timer_id="1"), RequestCancelActivityTask(activity_id="1")]
        ),
    ]
    history = [started_event(), *(event for commit in commits for event in commit.events)]
    assert fold(WORKFLOW, RUN, history) == state


def test_a_scheduled_activity_gets_a_record_and_a_row() -> None:
    (commit,) = activate(fresh_state(), [], [schedule(schedule_to_close_timeout_ms=60_000)])
    (record,) = commit.activities
    assert record.event_id == 5
    assert record.due_at_ms == T0 + 2_000
    assert record.deadline_ms == T0 + 60_000
    assert record.key


def test_a_short_deadline_is_the_first_row() -> None:
    (commit,) = activate(fresh_state(), [], [schedule(schedule_to_start_timeout_ms=700)])
    assert commit.activities[0].due_at_ms == T0 + 700


def test_a_timer_is_due_at_the_activations_time_plus_its_own() -> None:
    state = fresh_state()
    (commit,) = activate(
        state, [], [StartTimer(timer_id="1", start_to_fire_ms=250)], now_ms=T0 + 40
    )
    assert commit.timers[0].fire_at_ms == T0 + 290
    assert [timer.fire_at_ms for timer in state.timers.values()] == [T0 + 290]


def test_a_cancelled_timer_is_disarmed() -> None:
    state = fresh_state()
    activate(state, [], [StartTimer(timer_id="1", start_to_fire_ms=250)])
    (commit,) = activate(state, [], [CancelTimer(timer_id="1")])
    assert commit.disarm == (5,)


def test_a_cancelled_activity_brings_the_entry_for_the_case_that_nobody_runs_it() -> None:
    state = fresh_state()
    activate(state, [], [schedule()])
    (commit,) = activate(state, [], [RequestCancelActivityTask(activity_id="1")])
    (cancel,) = commit.cancels
    assert cancel.event_id == 5
    assert cancel.entry == inbox.ActivityCanceled(run_id=RUN, scheduled_event_id=5)


def test_completion_closes_and_may_be_refused() -> None:
    result = Payload.of_json(b'"done"')
    (commit,) = activate(fresh_state(), [], [CompleteWorkflowExecution(result=result)])
    assert commit.close is not None
    assert commit.close.status is RunStatus.COMPLETED
    assert not commit.close.forced
    assert commit.events[-1].attributes.result == result


def test_a_close_that_leaves_messages_unseen_is_forced_and_counts_them() -> None:
    (commit,) = activate(fresh_state(), [], [CompleteWorkflowExecution()], unseen_messages=3)
    assert commit.close is not None
    assert commit.close.forced
    assert commit.events[-1].attributes.unseen_messages == 3


def test_continue_as_new_inherits_what_it_does_not_say() -> None:
    state = fresh_state(run_timeout_ms=90_000, execution_deadline_ms=T0 + 50_000)
    (commit,) = activate(
        state, [], [ContinueAsNewWorkflowExecution(input=(Payload.of_json(b"2"),))]
    )
    assert commit.close is not None
    assert commit.close.keep_inbox
    successor = commit.close.successor
    assert successor is not None
    assert successor.started.workflow_type == "Order"
    assert successor.started.continued_run_id == RUN
    assert successor.started.first_run_id == RUN
    assert successor.run_timeout_ms == 50_000
    assert commit.events[-1].attributes.new_run_id == successor.run_id


def successor_of(command: ContinueAsNewWorkflowExecution, **before: object) -> NewRun:
    (commit,) = activate(fresh_state(**before), [], [command])
    assert commit.close is not None
    assert commit.close.successor is not None
    return commit.close.successor


_BEFORE: dict[str, object] = {
    "workflow_type": "Order",
    "task_queue": "orders",
    "header": {"trace": Payload.of_json(b"1")},
    "run_timeout_ms": 90_000,
    "task_timeout_ms": 20_000,
    "retry_policy": RetryOptions(maximum_attempts=3),
    "memo": {"who": Payload.of_json(b'"me"')},
}
_GIVEN: dict[str, object] = {
    "workflow_type": "Other",
    "task_queue": "elsewhere",
    "header": {"trace": Payload.of_json(b"2")},
    "run_timeout_ms": 50_000,
    "task_timeout_ms": 5_000,
    "retry_policy": RetryOptions(maximum_attempts=9),
    "memo": {},
}


@pytest.mark.parametrize("given", _GIVEN)
def test_a_successor_has_what_is_given_and_inherits_the_rest(given: str) -> None:
    command = ContinueAsNewWorkflowExecution(**{given: _GIVEN[given]})  # type: ignore[arg-type]  # a field of the Struct
    successor = successor_of(command, **_BEFORE)
    found = {name: getattr(successor.started, name) for name in _BEFORE}
    assert found == {**_BEFORE, given: _GIVEN[given]}
    assert successor.run_timeout_ms == found["run_timeout_ms"]


def test_a_chain_keeps_its_first_run_and_its_deadline_though_that_is_over() -> None:
    successor = successor_of(
        ContinueAsNewWorkflowExecution(), first_run_id="run-0", execution_deadline_ms=T0 - 5
    )
    assert successor.started.first_run_id == "run-0"
    assert successor.started.execution_deadline_ms == T0 - 5
    assert successor.run_timeout_ms == 0


@pytest.mark.parametrize(
    ("command", "left"), [(None, False), (schedule(), True), (_TIMER, True)], ids=str
)
def test_a_close_says_whether_anything_is_left_to_clear_away(
    command: Command | None, left: bool
) -> None:
    commands = [] if command is None else [command]
    (commit,) = activate(fresh_state(), [], [*commands, CompleteWorkflowExecution()])
    assert commit.close is not None
    assert commit.close.nothing_left is not left


def test_a_successor_s_task_time_out_is_capped_as_that_of_a_start_is() -> None:
    hour_ms = 3_600_000
    successor = successor_of(ContinueAsNewWorkflowExecution(task_timeout_ms=hour_ms))
    assert successor.started.task_timeout_ms == WORKFLOW_TASK_TIMEOUT_MAX_MS


def test_a_large_task_is_cut_into_commits_that_follow_one_another() -> None:
    commands = [schedule(str(n)) for n in range(2 * COMMIT_COMMANDS_MAX + 7)]
    state = fresh_state()
    parts = activate(state, [], commands)
    assert [len(part.activities) for part in parts] == [COMMIT_COMMANDS_MAX] * 2 + [7]
    assert [part.unfinished for part in parts] == [True, True, False]
    assert [part.token for part in parts[1:]] == [part.new_token for part in parts[:-1]]
    ids = [event.event_id for part in parts for event in part.events]
    assert ids == list(range(2, len(ids) + 2))
    assert [part.first_event_id for part in parts] == [p.events[0].event_id for p in parts]


def test_large_payloads_also_cut_a_task() -> None:
    large = Payload.of_json(b'"' + b"x" * 600_000 + b'"')
    parts = activate(fresh_state(), [], [schedule(str(n), input=(large,)) for n in range(3)])
    assert [len(part.activities) for part in parts] == [1, 1, 1]


def test_a_replay_that_ends_between_two_parts_commits_the_rest() -> None:
    commands = [schedule(str(n)) for n in range(COMMIT_COMMANDS_MAX + 3)]
    whole = fresh_state()
    first, second = activate(whole, [], commands)
    found = fold(WORKFLOW, RUN, [started_event(), *first.events])
    assert found.commands_missing == 3
    (rest,) = decide_rest(found, commands[COMMIT_COMMANDS_MAX:], task(), mint=minted())
    assert [event.type for event in rest.events] == [event.type for event in second.events]
    assert rest.consumed_mark is None
    assert found.commands_missing == 0


def test_only_the_first_of_like_task_failures_leaves_events() -> None:
    cause = WorkflowTaskFailureCause.WORKFLOW_CODE
    first = fail_task(fresh_state(), task(), cause=cause, failure=FAILURE, mint=minted())
    again = fail_task(fresh_state(), task(attempt=2), cause=cause, failure=FAILURE, mint=minted())
    assert [event.type for event in first.events] == [
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskFailed",
    ]
    assert again.events == ()
    assert again.problem == "workflow_code: boom"


def test_the_problem_of_code_that_went_wrong_ends_with_the_place() -> None:
    placed = msgspec.structs.replace(FAILURE, stack_trace="x" * 5_000 + "shop.py line 7")
    for cause in (WorkflowTaskFailureCause.WORKFLOW_CODE, WorkflowTaskFailureCause.BLOCKED):
        failed = fail_task(fresh_state(), task(), cause=cause, failure=placed, mint=minted())
        assert failed.problem.startswith(f"{cause.value}: boom\n")
        assert failed.problem.endswith("shop.py line 7")
        assert len(failed.problem) < 5_000
    cause = WorkflowTaskFailureCause.NONDETERMINISM  # Its message names the places itself.
    failed = fail_task(fresh_state(), task(), cause=cause, failure=placed, mint=minted())
    assert failed.problem == "nondeterminism: boom"


def test_a_run_that_takes_workers_down_is_parked_and_one_more_crash_parks_it_again() -> None:
    parked = park(fresh_state(), task(), reason="killed by signal 9", crashes=6, mint=minted())
    assert parked.problem == "STALLED: killed by signal 9"
    assert parked.backoff_ms == TASK_BACKOFF_MAX_MS
    assert parked.attempt == CRASHES_BEFORE_PARKING - 2
    assert parked.attempt + 1 >= CRASHES_BEFORE_ISOLATION
    failed = parked.events[-1].attributes
    assert isinstance(failed, WorkflowTaskFailed)
    assert failed.cause is WorkflowTaskFailureCause.CRASHED


def test_failing_tasks_rest_from_one_second_to_ten_minutes() -> None:
    rests = [task_backoff_ms(attempt) for attempt in (1, 2, 3, 10, 11, 1_000_000)]
    assert rests == [1_000, 2_000, 4_000, 512_000, 600_000, 600_000]


def test_what_follows_a_marker_happens_no_earlier_than_what_it_notes() -> None:
    late = RecordMarker(marker_name="note", time_ms=T0 + 5_000)
    timer = StartTimer(timer_id="1", start_to_fire_ms=1_000)
    (commit,) = activate(
        fresh_state(), [entry(1, inbox.FirstTask(run_id=RUN))], [late, timer], now_ms=T0
    )
    assert [event.time_ms - T0 for event in commit.events[-2:]] == [5_000, 5_000]
    assert commit.timers[0].fire_at_ms == T0 + 6_000
