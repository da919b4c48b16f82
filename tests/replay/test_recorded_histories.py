"""Histories recorded when a feature was new still replay, on every Python and in every release."""

from __future__ import annotations

import pytest

from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Replayer
from tests.replay.features import FEATURES
from tests.replay.local_lives import LIVES
from tests.replay.local_lives import live as local_life
from tests.replay.record import FOLDER, SUMS, live, sums


@pytest.mark.parametrize("name", FEATURES)
async def test_a_recorded_history_replays(name: str) -> None:
    history = WorkflowHistory.from_json("", (FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert history.started.workflow_type == name
    await Replayer(workflows=[FEATURES[name].cls]).replay_workflow(history)


@pytest.mark.parametrize("name", FEATURES)
def test_a_new_run_of_the_same_life_has_the_same_events(name: str) -> None:
    """Not only what is compared on replay: the numbers of events and what they say as well."""
    recorded = WorkflowHistory.from_json("", (FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    driven = live(FEATURES[name])
    assert [one.type for one in driven.history] == [one.type for one in recorded.events]
    driven.check_replays()


def test_no_recorded_history_was_edited_and_each_has_its_feature() -> None:
    assert SUMS.read_text(encoding="utf-8") == sums()
    assert {path.stem for path in FOLDER.glob("*.json")} == {*FEATURES, *LIVES}


@pytest.mark.parametrize("name", LIVES)
async def test_a_history_with_local_activities_replays_and_a_new_run_is_alike(name: str) -> None:
    recorded = WorkflowHistory.from_json("", (FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    replayer = Replayer(workflows=[LIVES[name]])
    await replayer.replay_workflow(recorded)
    anew = await local_life(name)
    await replayer.replay_workflow(anew)
    assert wished(anew) == wished(recorded)


def wished(history: WorkflowHistory) -> list[str]:
    """What code did: when an activity ends beside others is nobody's promise."""
    return sorted(event.type for event in history.events if "WorkflowTask" not in event.type)
