"""Local activities and completion from outside on a real Redis and a real RabbitMQ, replayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orchestrator import activity, workflow
from orchestrator.client import AsyncActivityCancelledError, Client
from orchestrator.common import Priority, RetryPolicy
from orchestrator.exceptions import ApplicationError, RPCError, RPCStatusCode
from orchestrator.worker import Replayer, Worker
from tests.engine.client.test_async_activities import Approval, Desk

pytestmark = pytest.mark.servers
QUEUE = "kitchen"


@activity.defn
async def chop(what: str) -> str:
    return f"{what} chopped"


@activity.defn
async def fry(what: str) -> str:
    if activity.info().attempt < 3:
        raise ApplicationError("burnt")
    return f"{what} fried"


@workflow.defn
class Dish:
    """Three local steps; the second fails twice and waits once in place, once as a timer."""

    @workflow.run
    async def run(self, what: str) -> str:
        second = timedelta(seconds=1)
        chopped = await workflow.execute_local_activity(chop, what, start_to_close_timeout=second)
        fried = await workflow.execute_local_activity(
            fry,
            chopped,
            start_to_close_timeout=second,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=50), backoff_coefficient=3
            ),
            local_retry_threshold=timedelta(milliseconds=100),
        )
        return await workflow.execute_activity(chop, fried, start_to_close_timeout=second)


@pytest.fixture
async def client(amqp_url: str, redis_url: str, random_namespace: str) -> AsyncIterator[Client]:
    async with await Client.connect(
        broker=amqp_url, store=redis_url, namespace=random_namespace, settings={"shards": 2}
    ) as made:
        yield made


async def test_local_activities_leave_markers_and_replay(client: Client) -> None:
    async with Worker(client, task_queue=QUEUE, workflows=[Dish], activities=[chop, fry]):
        handle = await client.start_workflow(Dish.run, "egg", id="dish", task_queue=QUEUE)
        assert await handle.result() == "egg chopped fried chopped"
    history = await handle.fetch_history()
    types = [event.type for event in history.events]
    assert types.count("MarkerRecorded") == 3
    assert types.count("TimerFired") == 1
    await Replayer(workflows=[Dish]).replay_workflow(history)


async def test_activities_are_completed_from_outside_once(client: Client) -> None:
    desk = Desk()
    async with Worker(client, task_queue=QUEUE, workflows=[Approval], activities=[desk.approve]):
        handle = await client.start_workflow(Approval.run, {}, id="approval", task_queue=QUEUE)
        info = await asyncio.wait_for(desk.infos.get(), 20)
        by_token = client.get_async_activity_handle(task_token=info.task_token)
        by_ids = client.get_async_activity_handle(workflow_id="approval", activity_id="approve")
        await by_token.heartbeat("half")
        await by_ids.complete("yes")
        for late in (by_token.complete("no"), by_ids.complete("no"), by_token.heartbeat()):
            with pytest.raises(RPCError) as error:
                await late
            assert error.value.status is RPCStatusCode.NOT_FOUND
        assert await handle.result() == "yes"
    await Replayer(workflows=[Approval]).replay_workflow(await handle.fetch_history())


async def test_a_cancellation_reaches_those_outside_by_their_heartbeat(client: Client) -> None:
    desk = Desk()
    async with Worker(client, task_queue=QUEUE, workflows=[Approval], activities=[desk.approve]):
        handle = await client.start_workflow(Approval.run, {}, id="approval", task_queue=QUEUE)
        info = await asyncio.wait_for(desk.infos.get(), 20)
        outside = client.get_async_activity_handle(task_token=info.task_token)
        await handle.cancel()
        for _ in range(500):
            try:
                await outside.heartbeat()
                await asyncio.sleep(0.02)
            except AsyncActivityCancelledError:
                break
        await outside.report_cancellation("gone")
        assert await handle.result() == "cancelled ['gone']"


@activity.defn
async def stamp() -> str:
    if activity.info().task_queue != "other":
        raise ApplicationError("jammed")
    return f"stamped at attempt {activity.info().attempt}"


@workflow.defn
class Stamp:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            stamp,
            activity_id="stamp",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
        )


async def test_a_pending_activity_is_paused_changed_and_let_go(client: Client) -> None:
    async with (
        Worker(client, task_queue=QUEUE, workflows=[Stamp], activities=[stamp]),
        Worker(client, task_queue="other", activities=[stamp]),
    ):
        handle = await client.start_workflow(Stamp.run, id="stamp", task_queue=QUEUE)
        pending = client.get_async_activity_handle(workflow_id="stamp", activity_id="stamp")
        for _ in range(500):
            found = (await handle.describe()).pending_activities
            if [one.state for one in found] == ["backing_off"]:
                break
            await asyncio.sleep(0.02)
        await pending.pause()
        await pending.update_options(task_queue="other")
        (shown,) = (await handle.describe()).pending_activities
        assert (shown.paused, shown.task_queue, shown.attempt) == (True, "other", 1)
        await pending.unpause(reset_attempts=True)
        assert await handle.result() == "stamped at attempt 1"
        with pytest.raises(RPCError) as error:
            await pending.reset()
        assert error.value.status is RPCStatusCode.NOT_FOUND
    await Replayer(workflows=[Stamp]).replay_workflow(await handle.fetch_history())


@workflow.defn
class CallAll:
    """Calls everybody at once, each under its own key."""

    @workflow.run
    async def run(self, whom: list[str]) -> list[str]:
        called = [
            workflow.execute_activity(
                chop,
                one,
                start_to_close_timeout=timedelta(seconds=10),
                priority=Priority(fairness_key=one),
            )
            for one in whom
        ]
        return await asyncio.gather(*called)


async def test_a_key_at_its_rate_is_in_nobodys_way(client: Client) -> None:
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[CallAll],
        activities=[chop],
        max_activities_per_second_per_key=0.5,
        max_task_queue_activities_per_second=100,
    ):
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        slow = await client.start_workflow(CallAll.run, ["acme"] * 3, id="slow", task_queue=QUEUE)
        fast = await client.start_workflow(CallAll.run, ["other"], id="fast", task_queue=QUEUE)
        assert await fast.result() == ["other chopped"]
        found = (await slow.describe()).pending_activities
        assert {one.limited_by for one in found} <= {"key acme"}
        assert len(found) >= 1
        assert await slow.result() == ["acme chopped"] * 3
        assert loop.time() - begun_s >= 3.9
    for handle in (slow, fast):
        await Replayer(workflows=[CallAll]).replay_workflow(await handle.fetch_history())
