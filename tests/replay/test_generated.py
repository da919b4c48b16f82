"""Any program, any outcome: a prefix of its history gives the recorded commands again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
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
from tests.replay.play import play
from tests.replay.programs import Interpreter, Program, programs, renamed

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


def live(driven: Driven, random: Random, extra: Program) -> None:
    """A random life, in which signals count up or run another program, and updates do both unless
    they are rejected."""
    numbers = count(1)

    def signals() -> list[InboxBody]:
        found = [driven.signaled("add")] if random.random() < 0.3 else []
        if random.random() < 0.1:
            found.append(driven.signaled("also", extra))
        for _ in range(random.choice([0, 0, 0, 1, 2])):
            found.append(driven.updated("change", extra, id=f"u{next(numbers)}"))
        return found

    play(driven, random, result_of=str, signals=signals)


def check_parts(driven: Driven, random: Random) -> None:
    """A replay that finds only the first part of a task's commands gives the rest."""
    activations = partition(driven.history).activations
    length = random.randrange(len(activations))
    run = driven.fresh()
    for activation in activations[:length]:
        run.activate(activation)
    last, commands = activations[length], driven.tasks[length]
    # Whatever brought updates that are let in is in the first part.
    cut = random.randint(len(last.updates), len(commands))
    part = Activation(
        time_ms=last.time_ms,
        events=last.events,
        updates=last.updates,
        replaying=True,
        recorded=(last.recorded or ())[:cut],
        recorded_complete=cut == len(commands),
        history_length=last.history_length,
    )
    assert run.activate(part) == Commands(commands=commands[cut:])
    assert run.evict()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@thorough
@given(programs, programs, st.integers(0, 1), st.randoms(use_true_random=False), st.uuids())
def test_any_prefix_of_any_history_gives_the_recorded_commands(
    program: Program, extra: Program, again: int, random: Random, run_id: Any
) -> None:
    driven = Driven(Interpreter, program, again, run_id=str(run_id))
    live(driven, random, extra)
    check_parts(driven, random)
    driven.check_replays()
    if driven.successor is not None:
        following = Driven(Interpreter, started=driven.successor.started, run_id="next")
        live(following, random, extra)
        following.check_replays()


@thorough
@given(programs, st.randoms(use_true_random=False), st.sampled_from(["a", "b", "c"]))
def test_a_renamed_activity_is_found_wherever_history_has_it_and_nowhere_else(
    program: Program, random: Random, name: str
) -> None:
    driven = Driven(Interpreter, program, 0)
    live(driven, random, [])
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
