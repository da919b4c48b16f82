"""A history is cut into the activations that made it."""

from __future__ import annotations

from orchestrator.core.decide import decide_rest, fail_task
from orchestrator.core.fold import fold
from orchestrator.core.state import ExecutionState
from orchestrator.limits import COMMIT_COMMANDS_MAX
from orchestrator.replay.partition import partition
from orchestrator.wire import inbox
from orchestrator.wire.events import (
    HistoryEvent,
    WorkflowExecutionTerminated,
    WorkflowTaskFailureCause,
)
from orchestrator.wire.failure import Failure, ServerFailure
from tests.unit.core.histories import (
    RUN,
    T0,
    WORKFLOW,
    activate,
    attempt,
    entry,
    fresh_state,
    minted,
    schedule,
    started_event,
    task,
)


def test_each_task_is_an_activation_with_its_news_and_its_commands() -> None:
    state = fresh_state()
    done = inbox.ActivityCompleted(run_id=RUN, scheduled_event_id=5, started=attempt())
    commits = [*activate(state, [], [schedule()]), *activate(state, [entry(2, done)], [])]
    history = [started_event(), *(event for commit in commits for event in commit.events)]
    first, second = partition(history).activations
    assert [event.type for event in first.events] == ["WorkflowExecutionStarted"]
    assert [event.type for event in first.recorded or ()] == ["ActivityTaskScheduled"]
    assert first.history_length == 3
    assert [event.type for event in second.events] == [
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
    ]
    assert second.recorded == ()
    assert second.recorded_complete


def test_a_start_that_no_task_has_looked_at_is_pending() -> None:
    cut = partition([started_event()])
    assert cut.activations == []
    assert [event.type for event in cut.pending] == ["WorkflowExecutionStarted"]


def test_a_task_whose_last_part_is_missing_is_not_complete() -> None:
    commands = [schedule(str(n)) for n in range(COMMIT_COMMANDS_MAX + 3)]
    first, _ = activate(fresh_state(), [], commands)
    history = [started_event(), *first.events]
    (activation,) = partition(history).activations
    assert not activation.recorded_complete
    assert fold(WORKFLOW, RUN, history).commands_missing == 3


def half_written() -> tuple[ExecutionState, list[HistoryEvent]]:
    """A task of two parts of which history has the first, and the state that this gives."""
    commands = [schedule(str(n)) for n in range(COMMIT_COMMANDS_MAX + 3)]
    first, _ = activate(fresh_state(), [], commands)
    history = [started_event(), *first.events]
    return fold(WORKFLOW, RUN, history), history


def test_a_failed_task_between_two_parts_leaves_the_task_whole() -> None:
    state, history = half_written()
    cause = WorkflowTaskFailureCause.NONDETERMINISM
    failure = Failure(message="other code", detail=ServerFailure())
    history += fail_task(state, task(), cause=cause, failure=failure, mint=minted()).events
    (activation,) = partition(history).activations
    assert not activation.recorded_complete
    assert len(activation.recorded or ()) == COMMIT_COMMANDS_MAX
    commands = [schedule(str(n)) for n in range(COMMIT_COMMANDS_MAX, COMMIT_COMMANDS_MAX + 3)]
    (rest,) = decide_rest(state, commands, task(), mint=minted())
    cut = partition([*history, *rest.events])
    assert cut.activations[0].recorded_complete
    assert len(cut.activations[0].recorded or ()) == len(commands) + COMMIT_COMMANDS_MAX
    assert (len(cut.activations), cut.pending) == (1, [])


def test_a_run_that_was_ended_between_two_parts_keeps_its_end_out_of_the_commands() -> None:
    state, history = half_written()
    end = HistoryEvent(
        event_id=state.last_event_id + 1, time_ms=T0, attributes=WorkflowExecutionTerminated()
    )
    cut = partition([*history, end])
    assert len(cut.activations[0].recorded or ()) == COMMIT_COMMANDS_MAX
    assert not cut.activations[0].recorded_complete
    assert cut.pending == [end]
