"""Whatever goes wrong: each item is seen once, in order; each activity ends once; all replays."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.converter import DataConverter
from orchestrator.core.fold import fold
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.ids import RunId
from orchestrator.replay.facts import Commands, RunFacts
from orchestrator.replay.partition import partition
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire.events import (
    HistoryEvent,
    WorkflowExecutionCompleted,
)
from tests.simulation.programs import Busy, Family, Updated
from tests.simulation.world import World
from tests.unit.memory_engine import WORKFLOW

VALUES = DataConverter.default
_ENDS = ("Completed", "Failed", "TimedOut", "Canceled")


def check_replay(program: type, run_id: RunId, events: list[HistoryEvent]) -> None:
    """The code of today does what this history says."""
    started = events[0].attributes
    facts = RunFacts(
        namespace="default",
        workflow_id=WORKFLOW,
        run_id=run_id,
        started=started,  # type: ignore[arg-type]  # event 1 is the start
        start_time_ms=events[0].time_ms,
    )
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
@pytest.mark.parametrize("program", [Busy, Family, Updated], ids=lambda program: program.__name__)
async def test_one_outcome_whatever_goes_wrong(program: type, seed: int) -> None:
    world = World(seed, program.__name__)
    await world.begin()
    await world.live(60)
    await world.finish()
    chain = await world.runs()
    assert outcome_of(chain) == world.sent
    for run_id, events in chain.items():
        assert [event.event_id for event in events] == list(range(1, len(events) + 1))
        assert not fold(WORKFLOW, run_id, events).is_open
        check_replay(program, run_id, events)
        ends = Counter(
            event.attributes.scheduled_event_id  # type: ignore[union-attr]  # ends have it
            for event in events
            if event.type.startswith("ActivityTask") and event.type.endswith(_ENDS)
        )
        assert set(ends.values()) <= {1}
    assert world.problems == []
    assert sum(world.faults.counts.values()) > 3, "too little went wrong to show anything"
