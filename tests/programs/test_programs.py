"""Each program does what its first line says, and replays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.client import WorkflowFailureError
from orchestrator.exceptions import ActivityError, ApplicationError
from tests.programs import custom_decorator, dsl, polling, saga, sleep_for_days, updatable_timer
from tests.programs.conftest import QUEUE, Stage
from tests.programs.custom_decorator import Translation
from tests.programs.dsl import Interpreter, Parallel, Plan, Sequence, Step
from tests.programs.polling import ReportPolling
from tests.programs.saga import Trip, TripSaga
from tests.programs.sleep_for_days import PERIOD, Subscription
from tests.programs.updatable_timer import Reminder


async def test_a_trip_is_booked(stage: Stage) -> None:
    async with stage.playing(saga) as client:
        booked = await client.execute_workflow(
            TripSaga.run, Trip("Ada"), id="trip", task_queue=QUEUE
        )
    assert booked == ["flight for Ada", "hotel for Ada", "car for Ada"]


async def test_a_trip_that_cannot_be_booked_whole_is_undone_backwards(stage: Stage) -> None:
    async with stage.playing(saga) as client:
        trip = await client.start_workflow(
            TripSaga.run, Trip("Ada", sold_out="car"), id="trip", task_queue=QUEUE
        )
        with pytest.raises(WorkflowFailureError) as caught:
            await trip.result()
        assert await trip.query(TripSaga.undone) == ["car", "hotel", "flight"]
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, ApplicationError)
    assert caught.value.cause.cause.type == "SoldOut"


async def test_a_report_is_asked_for_until_it_is_ready(skipping: Stage) -> None:
    begun = await skipping.environment.get_current_time()
    async with skipping.playing(polling) as client:
        polled = await client.start_workflow(ReportPolling.run, 7, id="r", task_queue=QUEUE)
        assert await polled.result() == "report 7 after 6 looks"
    took = await skipping.environment.get_current_time() - begun
    assert took >= timedelta(seconds=10 + 20 + 40 + 80 + 160)
    kinds = [event.type for event in (await polled.fetch_history()).events]
    assert kinds.count("ActivityTaskStarted") == 1, "its attempts are not in the history"


async def test_a_subscriber_is_written_to_each_month_until_the_end(skipping: Stage) -> None:
    async with skipping.playing(sleep_for_days) as client:
        subscription = await client.start_workflow(
            Subscription.run, "Ada", id="s", task_queue=QUEUE
        )
        await skipping.environment.sleep(PERIOD * 2.5)
        await subscription.signal(Subscription.cancel)
        letters = await subscription.result()
    assert letters == [f"month {month}: dear Ada" for month in (1, 2, 3)]


@pytest.mark.parametrize("days", [1, 20])
async def test_a_timer_ends_when_it_was_last_set_to(skipping: Stage, days: int) -> None:
    begun = await skipping.environment.get_current_time()
    end = begun + timedelta(days=days)
    async with skipping.playing(updatable_timer) as client:
        reminder = await client.start_workflow(
            Reminder.run, begun + timedelta(days=10), id="t", task_queue=QUEUE
        )
        await skipping.environment.sleep(timedelta(hours=1))
        await reminder.signal(Reminder.move, end)
        assert await reminder.query(Reminder.wake_up_at) == end
        ended = await reminder.result()
    assert end <= ended < end + timedelta(minutes=1)


async def test_a_plan_is_run_as_it_says(stage: Stage) -> None:
    plan = Plan(
        Sequence(
            [
                Parallel([Step("shout", ["a"], "big_a"), Step("shout", ["b"], "big_b")]),
                Step("join", ["big_a", "big_b"], "both"),
            ]
        ),
        {"a": "hello", "b": "world"},
    )
    async with stage.playing(dsl) as client:
        variables = await client.execute_workflow(Interpreter.run, plan, id="p", task_queue=QUEUE)
    assert variables["both"] == "HELLO WORLD"


async def test_an_activity_heartbeats_without_knowing(stage: Stage) -> None:
    async with stage.playing(custom_decorator) as client:
        text = await client.execute_workflow(Translation.run, "abc", id="x", task_queue=QUEUE)
    assert text == "cba"
