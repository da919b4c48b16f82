"""`Replayer`: recorded histories through today's code, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.exceptions import ApplicationError
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Replayer, ReplayTaskError
from tests.replay.driver import WORKFLOW, Driven

CLOSE = timedelta(seconds=5)


@workflow.defn(name="Order")
class Order:
    @workflow.run
    async def run(self, item: str) -> str:
        paid = await workflow.execute_activity("pay", item, start_to_close_timeout=CLOSE)
        await asyncio.sleep(60)
        return f"{paid} on {workflow.info().namespace}"


@workflow.defn(name="Order")
class Changed:
    @workflow.run
    async def run(self, item: str) -> str:
        await asyncio.sleep(60)
        return await workflow.execute_activity("pay", item, start_to_close_timeout=CLOSE)


@workflow.defn(name="Order")
class Broken:
    @workflow.run
    async def run(self, item: str) -> str:
        await workflow.execute_activity("pay", item, start_to_close_timeout=CLOSE)
        raise KeyError("a bug")


def recorded(steps: int = 3, run_id: str = "run-1") -> WorkflowHistory:
    driven = Driven(Order, "pizza", run_id=run_id)
    driven.step()
    if steps > 1:
        driven.step(driven.completed("pay", "paid"))
    if steps > 2:
        driven.step(driven.fired(1))
    assert driven.run.evict()
    return WorkflowHistory(WORKFLOW, driven.history, run_id)


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_history_of_the_same_code_replays_also_from_json(steps: int) -> None:
    history = WorkflowHistory.from_json("", recorded(steps).to_json())
    replayer = Replayer(workflows=[Order])
    assert (await replayer.replay_workflow(history)).replay_failure is None


async def test_other_code_is_reported_with_both_sides_event_and_line() -> None:
    with pytest.raises(workflow.NondeterminismError) as caught:
        await Replayer(workflows=[Changed]).replay_workflow(recorded())
    text = str(caught.value)
    assert "event 5 ActivityTaskScheduled 'pay' (id '1')" in text
    assert "StartTimer '1' at" in text
    assert "test_replayer.py:" in text


async def test_a_failure_can_be_an_answer_and_names_its_cause() -> None:
    result = await Replayer(workflows=[Broken]).replay_workflow(
        recorded(), raise_on_replay_failure=False
    )
    assert isinstance(result.replay_failure, ReplayTaskError)
    assert "workflow_code" in str(result.replay_failure)
    cause = result.replay_failure.__cause__
    assert isinstance(cause, ApplicationError)
    assert cause.type == "KeyError"


async def test_news_that_no_task_got_through_is_tried_as_well() -> None:
    """A run that stalls in its newest task is not well because its older tasks replay."""
    history = recorded(2)
    longer = Driven(Order, "pizza")
    longer.step()
    longer.step(longer.completed("pay", "paid"))
    pending = longer.history[: next(e.event_id for e in longer.history if e.event_id > 7) - 1]
    assert pending[-1].type == "ActivityTaskCompleted"
    stalled = WorkflowHistory(WORKFLOW, pending, "run-1")
    assert (await Replayer(workflows=[Order]).replay_workflow(stalled)).replay_failure is None
    with pytest.raises(ReplayTaskError, match="a bug"):
        await Replayer(workflows=[Broken]).replay_workflow(stalled)
    assert len(history.events) > len(pending)


async def test_many_histories_are_replayed_one_after_the_other_and_failures_named_by_run() -> None:
    async def histories() -> AsyncIterator[WorkflowHistory]:
        for number in range(3):
            yield recorded(3 if number == 1 else 1, run_id=f"run-{number}")

    results = await Replayer(workflows=[Broken]).replay_workflows(
        histories(), raise_on_replay_failure=False
    )
    assert list(results.replay_failures) == ["run-1"]
    with pytest.raises(ReplayTaskError):
        await Replayer(workflows=[Broken]).replay_workflows([recorded()])
    async with Replayer(workflows=[Order]).workflow_replay_iterator([recorded()]) as found:
        assert [one.replay_failure async for one in found] == [None]


async def test_an_unknown_workflow_is_named() -> None:
    @workflow.defn(name="Other")
    class Other(Order):
        run = Order.run

    with pytest.raises(ValueError, match="of workflow type 'Order'; known: Other"):
        await Replayer(workflows=[Other]).replay_workflow(recorded())


def test_a_replayer_without_workflows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one workflow"):
        Replayer(workflows=[])
