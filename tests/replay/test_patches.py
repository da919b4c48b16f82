"""`patched` and `deprecate_patch`: a run goes the way it began, whatever code replays it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.limits import CHANGE_VERSIONS_MAX, COMMIT_COMMANDS_MAX
from orchestrator.replay.facts import Commands, TaskFailure
from orchestrator.replay.partition import partition
from tests.replay.driver import Driven, kinds, workflow_of

CLOSE = timedelta(seconds=5)
NEW_WAY = ["RecordMarker", "UpsertSearchAttributes", "ScheduleActivityTask charge"]
OLD_WAY = ["ScheduleActivityTask pay"]


async def call(name: str) -> str:
    return await workflow.execute_activity(name, start_to_close_timeout=CLOSE)


@workflow_of
async def before(self) -> str:
    await call("pay")
    await asyncio.sleep(60)
    return "old"


@workflow_of
async def amid(self) -> str:
    await call("charge" if workflow.patched("p") else "pay")
    await asyncio.sleep(60)
    return "new" if workflow.patched("p") else "old"


@workflow_of
async def after(self) -> str:
    workflow.deprecate_patch("p")
    await call("charge")
    await asyncio.sleep(60)
    return "new"


@workflow_of
async def gone(self) -> str:
    await call("charge")
    await asyncio.sleep(60)
    return "new"


@workflow_of
async def forgotten_in_between(self) -> str:
    await call("charge")
    await call("ship")
    return "new"


def half_way(cls: type) -> Driven:
    driven = Driven(cls)
    driven.step()
    return driven


def whole(cls: type) -> Driven:
    driven = half_way(cls)
    driven.run_to_end()
    return driven


def replay_whole(driven: Driven) -> None:
    """Of a history that other code began, only the whole replays."""
    run = driven.fresh()
    for activation in partition(driven.history).activations:
        assert run.activate(activation) == Commands()
    assert run.evict()
    assert driven.run.evict()


def test_a_new_run_goes_the_new_way_and_notes_it_once() -> None:
    driven = half_way(amid)
    assert kinds(driven.tasks[0]) == NEW_WAY
    assert driven.run_to_end() == "new"
    markers = [event for event in driven.history if event.type == "MarkerRecorded"]
    assert len(markers) == 1
    driven.check_replays()


def test_a_run_that_passed_before_the_change_goes_the_old_way_to_its_end() -> None:
    driven = half_way(before)
    assert driven.run.evict()
    driven.definition = Driven(amid).definition
    driven.run = driven.fresh()
    for activation in partition(driven.history).activations:
        assert driven.run.activate(activation) == Commands()
    assert driven.run_to_end() == "old"
    assert "MarkerRecorded" not in [event.type for event in driven.history]
    replay_whole(driven)


@pytest.mark.parametrize("recorded", [half_way, whole])
def test_the_call_may_be_deprecated_while_runs_with_the_note_are_open(recorded) -> None:
    driven = recorded(amid)
    assert driven.replay(after) == Commands()


@pytest.mark.parametrize("recorded", [half_way, whole])
def test_a_deprecated_patch_may_be_patched_again_or_gone(recorded) -> None:
    driven = recorded(after)
    assert driven.replay(amid) == Commands()
    assert driven.replay(gone) == Commands()


def test_a_deprecated_patch_that_history_lacks_leaves_no_trace_on_replay() -> None:
    driven = whole(gone)
    assert driven.replay(after) == Commands()


def test_a_patch_that_is_gone_too_early_is_named_with_its_remedy() -> None:
    answer = whole(amid).replay(gone)
    assert isinstance(answer, TaskFailure)
    text = answer.failure.message
    assert "patch 'p'" in text
    assert "ScheduleActivityTask 'charge'" in text
    assert "workflow.deprecate_patch('p')" in text


def test_a_change_without_a_patch_says_that_patches_are_made_for_it() -> None:
    answer = whole(gone).replay(forgotten_in_between)
    assert isinstance(answer, TaskFailure)
    assert "workflow.patched()" in answer.failure.message


def test_only_the_marker_may_be_missing_behind_a_deprecated_patch() -> None:
    answer = whole(after).replay(forgotten_in_between)
    assert isinstance(answer, TaskFailure)
    assert "'ship'" in answer.failure.message


@workflow_of
async def in_a_loop(self) -> list[bool]:
    seen = []
    for _ in range(3):
        seen.append(workflow.patched("late"))
        await asyncio.sleep(1)
    return seen


@workflow_of
async def loop_before(self) -> list[bool]:
    for _ in range(3):
        await asyncio.sleep(1)
    return []


def test_the_first_answer_stands_for_the_whole_run() -> None:
    driven = half_way(loop_before)
    assert driven.run.evict()
    driven.definition = Driven(in_a_loop).definition
    driven.run = driven.fresh()
    for activation in partition(driven.history).activations:
        assert driven.run.activate(activation) == Commands()
    assert driven.run_to_end() == [False, False, False]
    replay_whole(driven)


@workflow_of
async def two_patches(self) -> list[str]:
    workflow.patched("b")
    await asyncio.sleep(1)
    workflow.patched("a")
    await asyncio.sleep(1)
    return list(workflow.info().search_attributes["TemporalChangeVersion"])


def test_the_search_attribute_lists_the_patches_of_the_run() -> None:
    driven = Driven(two_patches)
    assert driven.run_to_end() == ["a", "b"]
    assert driven.state.search_attributes["TemporalChangeVersion"].value == ("a", "b")
    driven.check_replays()


@workflow_of
async def many_patches(self) -> int:
    for number in range(CHANGE_VERSIONS_MAX + 2):
        workflow.patched(f"p{number}")
    return len(workflow.info().search_attributes["TemporalChangeVersion"])


def test_more_patches_than_can_be_looked_up_work_all_the_same() -> None:
    driven = Driven(many_patches)
    driven.step()
    assert driven.result() == CHANGE_VERSIONS_MAX
    driven.check_replays()


@workflow_of
async def patch_behind_many(self) -> bool:
    for _ in range(COMMIT_COMMANDS_MAX + 20):
        asyncio.get_running_loop().call_later(1000, print)
    taken = workflow.patched("p")
    await workflow.execute_activity("new" if taken else "old", start_to_close_timeout=CLOSE)
    return taken


def test_a_patch_whose_marker_is_not_written_yet_is_known_from_the_tasks_record() -> None:
    driven = Driven(patch_behind_many)
    driven.step()
    cut = [event.type for event in driven.history].index("TimerStarted")
    first_part = driven.history[: cut + COMMIT_COMMANDS_MAX]
    assert "MarkerRecorded" not in [event.type for event in first_part]
    run = driven.fresh()
    (activation,) = partition(first_part).activations
    answer = run.activate(activation)
    assert isinstance(answer, Commands)
    assert answer.commands == driven.tasks[0][COMMIT_COMMANDS_MAX:]
    assert run.evict()
    assert driven.run.evict()


@workflow.defn
class AsksInAQuery:
    @workflow.run
    async def run(self) -> None:
        await asyncio.sleep(60)

    @workflow.query
    def ask(self) -> bool:
        return workflow.patched("p")


def test_a_query_must_not_take_a_patch() -> None:
    driven = half_way(AsksInAQuery)
    answer = driven.run.query("ask", [])
    assert "must not change the workflow" in str(answer)
    assert driven.run.evict()


@workflow_of
async def tells_its_build(self) -> list[str]:
    seen = [workflow.info().get_current_build_id()]
    await asyncio.sleep(1)
    return [*seen, workflow.info().get_current_build_id()]


def test_the_build_id_is_that_of_the_worker_that_did_the_task() -> None:
    driven = Driven(tells_its_build, build_id="1.0")
    driven.step()
    driven.build_id = "1.1"
    driven.step(driven.fired(1))
    assert driven.result() == ["1.0", "1.1"]
    driven.build_id = "2.0"
    driven.check_replays()
