"""Each program does what its first line says, and replays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator.client import WorkflowFailureError, WorkflowUpdateFailedError, WorkflowUpdateStage
from orchestrator.exceptions import ActivityError, ApplicationError
from tests.programs import (
    custom_decorator,
    dsl,
    polling,
    resource_pool,
    safe_handlers,
    saga,
    sleep_for_days,
    sliding_window,
    updatable_timer,
    waiting_for_handlers,
)
from tests.programs.conftest import QUEUE, Stage
from tests.programs.custom_decorator import Translation
from tests.programs.dsl import Interpreter, Parallel, Plan, Sequence, Step
from tests.programs.polling import ReportPolling
from tests.programs.resource_pool import POOL_ID, Borrower, Pool, ResourcePool
from tests.programs.safe_handlers import SERVED_BY_ONE_RUN, Cluster, ClusterManager
from tests.programs.saga import Trip, TripSaga
from tests.programs.sleep_for_days import PERIOD, Subscription
from tests.programs.sliding_window import STARTED_BY_ONE_RUN, Batch, SlidingWindow
from tests.programs.updatable_timer import Reminder
from tests.programs.waiting_for_handlers import Account


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


async def test_handlers_that_wait_do_not_give_one_node_to_two_jobs(stage: Stage) -> None:
    nodes = {f"node {number}": "" for number in range(10)}
    async with stage.playing(safe_handlers) as client:
        manager = await client.start_workflow(
            ClusterManager.run, Cluster(nodes), id="c", task_queue=QUEUE
        )
        cluster = client.get_workflow_handle_for(ClusterManager.run, "c")
        given = await asyncio.gather(
            *(cluster.execute_update(ClusterManager.allocate, args=[job, 3]) for job in "abc")
        )
        with pytest.raises(WorkflowUpdateFailedError):
            await cluster.execute_update(ClusterManager.allocate, args=["d", 2])
        with pytest.raises(WorkflowUpdateFailedError):
            await cluster.execute_update(ClusterManager.allocate, args=["", 1])
        assert await cluster.execute_update(ClusterManager.release, "a") == 3
        given.append(await cluster.execute_update(ClusterManager.allocate, args=["d", 4]))
        await cluster.signal(ClusterManager.shut_down)
        final = await manager.result()
    assert sorted(given[1] + given[2] + given[3]) == sorted(nodes)
    assert set(given[0]) <= set(given[3])
    assert set(final.nodes.values()) == {"b", "c", "d"}
    assert final.generation == 1 + 6 // SERVED_BY_ONE_RUN


@pytest.mark.parametrize("reason", ["", "it is a fraud"])
async def test_the_end_waits_for_handlers_and_those_for_their_clean_up(
    stage: Stage, reason: str
) -> None:
    async with stage.playing(waiting_for_handlers) as client:
        account = await client.start_workflow(Account.run, id="a", task_queue=QUEUE)
        assert await account.execute_update(Account.pay, 7) == 70
        paying = await account.start_update(
            Account.pay, 8, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        await account.signal(Account.close, reason)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await paying.result()
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.type == "Closed"
        if not reason:
            assert await account.result() == 1
            return
        with pytest.raises(WorkflowFailureError) as failed:
            await account.result()
        assert reason in str(failed.value.cause)


async def test_borrowers_share_what_the_pool_has_and_all_of_it_comes_back(stage: Stage) -> None:
    async with stage.playing(resource_pool) as client:
        pool = await client.start_workflow(
            ResourcePool.run, Pool(["left", "right"]), id=POOL_ID, task_queue=QUEUE
        )
        borrowers = [
            await client.start_workflow(Borrower.run, id=f"b{number}", task_queue=QUEUE)
            for number in range(6)
        ]
        used = await asyncio.gather(*(borrower.result() for borrower in borrowers))
        await pool.signal(ResourcePool.close)
        assert await pool.result() == 2
    assert set(used) <= {"left", "right"}


async def test_a_borrower_that_is_cancelled_gives_back_what_it_waits_for(stage: Stage) -> None:
    async with stage.playing(resource_pool) as client:
        pool = await client.start_workflow(ResourcePool.run, Pool([]), id=POOL_ID, task_queue=QUEUE)
        borrower = await client.start_workflow(Borrower.run, id="b", task_queue=QUEUE)
        await borrower.cancel()
        with pytest.raises(WorkflowFailureError):
            await borrower.result()
        await pool.signal(ResourcePool.close)
        assert await pool.result() == 0


async def test_a_batch_is_processed_through_its_window_over_several_runs(stage: Stage) -> None:
    records = 2 * STARTED_BY_ONE_RUN + 3
    async with stage.playing(sliding_window) as client:
        batch = await client.start_workflow(
            SlidingWindow.run, Batch(records, window=4), id="batch", task_queue=QUEUE
        )
        assert await batch.result() == records
        runs = [run async for run in client.list_workflows() if run.id == "batch"]
    assert len(runs) == 3
