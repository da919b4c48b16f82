"""A history is cut into the activations that made it."""

from __future__ import annotations

from orchestrator.core.fold import fold
from orchestrator.limits import COMMIT_COMMANDS_MAX
from orchestrator.replay.partition import partition
from orchestrator.wire import inbox
from tests.unit.core.histories import (
    RUN,
    WORKFLOW,
    activate,
    attempt,
    entry,
    fresh_state,
    schedule,
    started_event,
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
