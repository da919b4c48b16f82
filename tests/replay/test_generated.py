"""Any program, any outcome: a prefix of its history gives the recorded commands again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.replay.facts import Activation, Commands, TaskFailure
from orchestrator.replay.partition import partition
from orchestrator.wire import events as e
from orchestrator.wire.events import WorkflowTaskFailureCause
from orchestrator.wire.inbox import InboxBody
from tests.replay.driver import Driven
from tests.replay.programs import Interpreter, Program, programs, renamed

STEPS_MAX = 14
thorough = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """What the programs leave unawaited is of no interest."""
    logger = logging.getLogger("orchestrator.replay")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def play(driven: Driven, random: Random, extra: Program) -> None:
    """Give a run news of all kinds, several at a time, until it ends or has had enough."""
    asked_to_cancel = False
    for _ in range(STEPS_MAX):
        news: list[InboxBody] = []
        for pending in list(driven.state.activities.values()):
            identity = pending.scheduled.activity_id
            fate = random.random()
            if pending.cancel_requested and fate < 0.5:
                news.append(driven.canceled(identity))
            elif fate < 0.4:
                news.append(driven.completed(identity, identity))
            elif fate < 0.5:
                news.append(driven.failed(identity))
        timers = sorted(driven.state.timers.values(), key=lambda timer: timer.fire_at_ms)
        due = timers[: random.randint(0, 2)]
        news.extend(driven.fired(timer.started.timer_id) for timer in due)
        if random.random() < 0.3:
            news.append(driven.signaled("add"))
        if random.random() < 0.1:
            news.append(driven.signaled("also", extra))
        if random.random() < 0.1 and not asked_to_cancel:
            asked_to_cancel = True
            news.append(driven.cancel_asked("enough"))
        random.shuffle(news)
        driven.step(*news)
        if not driven.is_open:
            return


def check_parts(driven: Driven, random: Random) -> None:
    """A replay that finds only the first part of a task's commands gives the rest."""
    activations = partition(driven.history).activations
    length = random.randrange(len(activations))
    run = driven.fresh()
    for activation in activations[:length]:
        run.activate(activation)
    last, commands = activations[length], driven.tasks[length]
    cut = random.randint(0, len(commands))
    part = Activation(
        time_ms=last.time_ms,
        events=last.events,
        replaying=True,
        recorded=(last.recorded or ())[:cut],
        recorded_complete=cut == len(commands),
        history_length=last.history_length,
    )
    assert run.activate(part) == Commands(commands=commands[cut:])
    assert run.evict()


@pytest.mark.filterwarnings("ignore::orchestrator.workflow.UnfinishedSignalHandlersWarning")
@thorough
@given(programs, programs, st.integers(0, 1), st.randoms(use_true_random=False), st.uuids())
def test_any_prefix_of_any_history_gives_the_recorded_commands(
    program: Program, extra: Program, again: int, random: Random, run_id: Any
) -> None:
    driven = Driven(Interpreter, program, again, run_id=str(run_id))
    play(driven, random, extra)
    check_parts(driven, random)
    driven.check_replays()
    if driven.successor is not None:
        following = Driven(Interpreter, started=driven.successor.started, run_id="next")
        play(following, random, extra)
        following.check_replays()


@thorough
@given(programs, st.randoms(use_true_random=False), st.sampled_from(["a", "b", "c"]))
def test_a_renamed_activity_is_found_wherever_history_has_it_and_nowhere_else(
    program: Program, random: Random, name: str
) -> None:
    driven = Driven(Interpreter, program, 0)
    play(driven, random, [])
    recorded = [
        event.event_id
        for event in driven.history
        if isinstance(event.attributes, e.ActivityTaskScheduled)
        and event.attributes.activity_type == name
    ]
    changed = Driven(Interpreter, renamed(program, name, "z"), 0)
    run = changed.run
    answers = []
    for activation in partition(driven.history).activations:
        answers.append(run.activate(activation))
        if isinstance(answers[-1], TaskFailure):
            break
    assert run.evict()
    assert driven.run.evict()
    if not recorded:
        assert set(map(type, answers)) == {Commands}
        return
    failure = answers[-1]
    assert isinstance(failure, TaskFailure)
    assert failure.cause is WorkflowTaskFailureCause.NONDETERMINISM
    text = failure.failure.message
    assert f"event {recorded[0]} ActivityTaskScheduled {name!r}" in text
    assert "ScheduleActivityTask 'z'" in text
    assert "programs.py:" in text
