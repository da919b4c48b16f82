"""Pending activities that operators pause, reset and change, on the embedded engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import activity, workflow
from orchestrator.client import AsyncActivityHandle, PendingActivity, WorkflowHandle
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import ApplicationError, RPCError, RPCStatusCode
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.engine.conftest import a_while

QUEUE, OTHER = "press", "other-press"


class Press:
    """An activity that fails while it shall, or waits for the test, and what it saw."""

    def __init__(self) -> None:
        self.fails = False
        self.waits = False
        self.beats = True
        self.go_on = asyncio.Event()
        self.infos: list[activity.Info] = []
        self.told: list[activity.ActivityCancellationDetails | None] = []

    @activity.defn
    async def stamp(self) -> str:
        self.infos.append(activity.info())
        self._beat()
        if self.fails:
            raise ApplicationError("jammed")
        if self.waits:
            try:
                while not self.go_on.is_set():
                    self._beat()
                    await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                self.told.append(activity.cancellation_details())
                raise
        return f"stamped at attempt {activity.info().attempt} of {activity.info().task_queue}"

    def _beat(self) -> None:
        if self.beats:
            activity.heartbeat(f"attempt {activity.info().attempt}")

    @property
    def attempts(self) -> list[int]:
        return [info.attempt for info in self.infos]


@workflow.defn
class Stamp:
    @workflow.run
    async def run(self, options: dict[str, float]) -> str:
        return await workflow.execute_activity_method(
            Press.stamp,
            activity_id="stamp",
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=timedelta(seconds=options.get("beat", 600)),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=options.get("interval", 0.2)),
                backoff_coefficient=1,
                maximum_attempts=int(options.get("attempts", 0)),
            ),
        )


class Shop:
    def __init__(self, env: WorkflowEnvironment, press: Press) -> None:
        self.env, self.press = env, press
        self.stamp: AsyncActivityHandle = env.client.get_async_activity_handle(
            workflow_id="w", activity_id="stamp"
        )

    async def begin(self, **options: float) -> WorkflowHandle[Any, str]:
        return await self.env.client.start_workflow(Stamp.run, options, id="w", task_queue=QUEUE)

    async def pending(self) -> PendingActivity:
        found = await self.env.client.get_workflow_handle("w").describe()
        (one,) = found.pending_activities
        return one

    async def until(self, state: str) -> PendingActivity:
        for _ in range(100_000):
            found = await self.env.client.get_workflow_handle("w").describe()
            if [one.state for one in found.pending_activities] == [state]:
                return found.pending_activities[0]
            await asyncio.sleep(0.001)
        raise AssertionError(f"it is not {state}")

    async def paused(self) -> list[int]:
        """Pause it between two attempts; the attempts so far."""
        await self.stamp.pause()
        assert (await self.until("backing_off")).paused
        return self.press.attempts


@pytest.fixture
async def shop(env: WorkflowEnvironment) -> AsyncIterator[Shop]:
    press = Press()
    async with Worker(
        env.client,
        task_queue=QUEUE,
        workflows=[Stamp],
        activities=[press.stamp],
        max_heartbeat_throttle_interval=timedelta(milliseconds=10),
    ):
        yield Shop(env, press)


async def test_a_paused_activity_is_not_tried_again_until_it_is_unpaused(shop: Shop) -> None:
    shop.press.fails = True
    handle = await shop.begin()
    await shop.until("backing_off")
    seen = await shop.paused()
    await a_while(shop.env)
    assert shop.press.attempts == seen
    shop.press.fails = False
    await shop.stamp.unpause()
    assert await handle.result() == f"stamped at attempt {seen[-1] + 1} of press"


async def test_unpaused_it_may_count_anew_and_forget_its_heartbeats(shop: Shop) -> None:
    shop.press.fails = True
    handle = await shop.begin()
    await shop.until("backing_off")
    await shop.paused()
    shop.press.fails = False
    await shop.stamp.unpause(reset_attempts=True, reset_heartbeat=True)
    assert await handle.result() == "stamped at attempt 1 of press"
    assert shop.press.infos[-1].heartbeat_details == []


async def test_what_is_paused_before_it_begins_begins_when_it_may(
    env: WorkflowEnvironment,
) -> None:
    press = Press()
    alone = Shop(env, press)
    async with Worker(env.client, task_queue=QUEUE, workflows=[Stamp]):
        handle = await alone.begin()
        await alone.until("scheduled")
        await alone.stamp.pause()
        async with Worker(env.client, task_queue=QUEUE, activities=[press.stamp]):
            await a_while(env)
            assert press.attempts == []
            await alone.stamp.unpause()
            assert await handle.result() == "stamped at attempt 1 of press"


async def test_an_attempt_that_runs_is_told_of_a_pause_by_its_heartbeat(shop: Shop) -> None:
    shop.press.waits, shop.press.beats = True, False  # It would be told by its own.
    handle = await shop.begin(attempts=1)
    await shop.until("running")
    await shop.stamp.pause()
    await shop.until("running")
    with pytest.raises(Exception, match="shall end"):
        await shop.stamp.heartbeat()
    shop.press.go_on.set()
    assert await handle.result() == "stamped at attempt 1 of press"


@pytest.mark.parametrize("act", ["pause", "reset"])
async def test_code_that_heartbeats_is_told_and_its_attempt_is_not_the_last(
    shop: Shop, act: str
) -> None:
    shop.press.waits = True
    handle = await shop.begin(attempts=1, beat=0.05)
    await shop.until("running")
    shop.press.waits = False
    await getattr(shop.stamp, act)()
    for _ in range(100_000):
        if shop.press.told:
            break
        await asyncio.sleep(0.001)
    (told,) = shop.press.told
    assert told == activity.ActivityCancellationDetails(paused=act == "pause", reset=act == "reset")
    if act == "pause":
        assert (await shop.until("backing_off")).last_failure is not None
        await a_while(shop.env)
        await shop.stamp.unpause()
    number = 2 if act == "pause" else 1
    assert await handle.result() == f"stamped at attempt {number} of press"


async def test_a_reset_begins_at_once_what_waits_for_its_retry(shop: Shop) -> None:
    shop.press.fails = True
    handle = await shop.begin(interval=86_400)
    await shop.until("backing_off")
    shop.press.fails = False
    await shop.stamp.reset()
    assert await handle.result() == "stamped at attempt 1 of press"


async def test_a_reset_may_leave_it_paused(shop: Shop) -> None:
    shop.press.fails = True
    handle = await shop.begin()
    await shop.until("backing_off")
    seen = await shop.paused()
    await shop.stamp.reset(keep_paused=True)
    await a_while(shop.env)
    assert shop.press.attempts == seen
    shop.press.fails = False
    await shop.stamp.unpause()
    assert await handle.result() == "stamped at attempt 1 of press"


async def test_a_reset_gives_the_last_attempt_that_runs_a_successor(shop: Shop) -> None:
    shop.press.waits = True
    handle = await shop.begin(attempts=1)
    await shop.until("running")
    await shop.stamp.reset()
    await shop.stamp.fail(ApplicationError("jammed"))
    shop.press.waits = False
    shop.press.go_on.set()
    assert await handle.result() == "stamped at attempt 1 of press"
    assert shop.press.attempts == [1, 1]


async def test_changed_options_move_it_to_other_workers(shop: Shop) -> None:
    shop.press.fails = True
    handle = await shop.begin(interval=86_400)
    await shop.until("backing_off")
    shop.press.fails = False
    other = Press()
    async with Worker(shop.env.client, task_queue=OTHER, activities=[other.stamp]):
        await shop.stamp.update_options(
            task_queue=OTHER,
            start_to_close_timeout=timedelta(seconds=7),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1)),
        )
        assert (await shop.pending()).task_queue == OTHER
        assert await handle.result() == "stamped at attempt 2 of other-press"
    (info,) = other.infos
    assert info.start_to_close_timeout == timedelta(seconds=7)
    assert info.heartbeat_timeout == timedelta(seconds=600)
    assert shop.press.attempts == [1]


async def test_restored_options_are_those_of_its_event(shop: Shop) -> None:
    shop.press.fails = True
    handle = await shop.begin()
    await shop.until("backing_off")
    seen = await shop.paused()
    await shop.stamp.update_options(task_queue=OTHER)
    await shop.stamp.update_options(
        restore_original=True, schedule_to_close_timeout=timedelta(hours=9)
    )
    shop.press.fails = False
    await shop.stamp.unpause()
    assert await handle.result() == f"stamped at attempt {seen[-1] + 1} of press"
    assert shop.press.infos[-1].schedule_to_close_timeout == timedelta(hours=9)


async def test_what_is_not_pending_is_not_found(shop: Shop) -> None:
    handle = await shop.begin()
    await handle.result()
    for act in (
        shop.stamp.pause(),
        shop.stamp.unpause(),
        shop.stamp.reset(),
        shop.stamp.update_options(task_queue=OTHER),
    ):
        with pytest.raises(RPCError) as error:
            await act
        assert error.value.status is RPCStatusCode.NOT_FOUND


async def test_options_that_cannot_be_are_refused(shop: Shop) -> None:
    await shop.begin()
    with pytest.raises(ValueError, match="must be positive"):
        await shop.stamp.update_options(start_to_close_timeout=timedelta())
