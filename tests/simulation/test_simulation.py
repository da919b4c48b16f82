"""Whatever goes wrong: each item is seen once, in order; each activity ends once; all replays."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from orchestrator.converter import DataConverter
from orchestrator.core.fold import fold
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.ids import RunId, WorkflowId
from orchestrator.replay.facts import Commands, RunFacts
from orchestrator.replay.partition import partition
from orchestrator.replay.run import WorkflowRun
from orchestrator.testing.checker.life import check_life
from orchestrator.testing.checker.workflows import Histories, RunName
from orchestrator.wire.events import (
    HistoryEvent,
    WorkflowExecutionCompleted,
    WorkflowExecutionStarted,
)
from tests.simulation.mutation import Change, mutate
from tests.simulation.programs import ALL, Busy, Family, Updated
from tests.simulation.world import World

VALUES = DataConverter.default
PROGRAMS = [Busy, Family, Updated]


def check_replay(name: RunName, events: Sequence[HistoryEvent]) -> None:
    """The code of today does what this history says."""
    started = events[0].attributes
    assert isinstance(started, WorkflowExecutionStarted)
    facts = RunFacts(
        namespace="default",
        workflow_id=WorkflowId(name.workflow_id),
        run_id=RunId(name.run_id),
        started=started,
        start_time_ms=events[0].time_ms,
    )
    (program,) = (kind for kind in ALL if kind.__name__ == started.workflow_type)
    run = WorkflowRun(WorkflowDefinition.of(program), facts, VALUES)
    for activation in partition(events).activations:
        assert run.activate(activation) == Commands()
    assert run.evict()


def outcome_of(chain: dict[RunId, list[HistoryEvent]]) -> object:
    """What the last run returned."""
    *_, events = chain.values()
    last = events[-1].attributes
    assert isinstance(last, WorkflowExecutionCompleted), last
    assert last.result is not None
    return VALUES.from_payloads([last.result])[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
async def test_one_outcome_whatever_goes_wrong(program: type, seed: int) -> None:
    world = await lived(program, seed)
    assert outcome_of(await world.runs()) == world.sent
    histories = await world.histories()
    for check in check_life(histories, log=world.log, is_quiet=True):
        assert check.violations == (), check
    for name, events in histories.items():
        assert not fold(WorkflowId(name.workflow_id), RunId(name.run_id), events).is_open
        check_replay(name, events)
    assert world.problems == []
    assert sum(world.faults.counts.values()) > 3, "too little went wrong to show anything"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
async def test_who_judges_sees_what_somebody_changed(program: type) -> None:
    """Of 400 changed histories at least 99 in 100 are found, most without the code."""
    world = await lived(program, 1)
    histories, random = await world.histories(), Random(1)
    changes = [
        mutate(histories[name], name, random) for name in random.choices([*histories], k=400)
    ]
    missed = [change.what for change in changes if not is_found(change, histories, world)]
    assert len(missed) <= 4, missed


def is_found(change: Change, histories: Histories, world: World) -> bool:
    """Whether anything is said against it."""
    forged = {**histories, change.name: change.events}
    checks = check_life(forged, log=world.log, is_quiet=True)
    if any(check.violations for check in checks):
        return True
    try:
        check_replay(change.name, change.events)
    except AssertionError:
        return True
    return False


async def lived(program: type, seed: int) -> World:
    """A life from begin to end."""
    world = World(seed, program.__name__)
    await world.begin()
    await world.live(60)
    await world.finish()
    return world
