"""How many attempts run at a time under limits that all workers of a queue share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import activity, workflow
from orchestrator.client import (
    Client,
    PendingActivity,
    WorkflowFailureError,
    WorkflowHandle,
)
from orchestrator.common import Priority, RetryPolicy
from orchestrator.core.concurrency import ActivityConcurrency, ConcurrencyLimit
from orchestrator.exceptions import ApplicationError, UnavailableError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire.options import Priority as PriorityOptions
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker import Replayer, Worker

QUEUE = "kitchen"


class Stove:
    """Dishes that cook until the test lets them go: by name, who cooks and who cooked at most."""

    def __init__(self) -> None:
        self.cooking: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.order: list[str] = []
        self.open = asyncio.Event()
        self.failures = 0

    @activity.defn
    async def cook(self, dish: str) -> str:
        return await self._cook(dish)

    @activity.defn
    async def bake(self, dish: str) -> str:
        return await self._cook(dish)

    @activity.defn
    async def leave(self, dish: str) -> str:
        self.order.append(dish)
        activity.raise_complete_async()

    async def _cook(self, dish: str) -> str:
        key = activity.info().priority.fairness_key or ""
        for name in (key, activity.info().activity_type, "all"):
            self.cooking[name] += 1
            self.most[name] = max(self.most[name], self.cooking[name])
        self.order.append(dish)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
            if self.failures:
                self.failures -= 1
                raise ApplicationError("burnt")
            return dish
        finally:
            for name in (key, activity.info().activity_type, "all"):
                self.cooking[name] -= 1


@workflow.defn
class Menu:
    """Has dishes made at once; each is `<key>/<name>`, or `<key>/<name>/<priority>`."""

    @workflow.run
    async def run(self, dishes: list[str], kind: str) -> int:
        made = [
            workflow.execute_activity(
                kind,
                dish,
                activity_id=dish,
                start_to_close_timeout=timedelta(minutes=10),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1)),
                priority=priority_of(dish),
            )
            for dish in dishes
        ]
        return len(await asyncio.gather(*made))


def priority_of(dish: str) -> Priority:
    key, _, rest = dish.partition("/")
    _, _, urgency = rest.partition("/")
    return Priority(fairness_key=key, priority_key=int(urgency) if urgency else None)


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping() as made:
        yield made


@pytest.fixture
def stove() -> Stove:
    return Stove()


def worker(client: Client, stove: Stove, **limits: Any) -> Worker:
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[Menu],
        activities=[stove.cook, stove.bake, stove.leave],
        **limits,
    )


async def begin(
    env: WorkflowEnvironment, *dishes: str, kind: str = "cook", id: str = "w"
) -> WorkflowHandle[Any, int]:
    return await env.client.start_workflow(
        Menu.run, args=[list(dishes), kind], id=id, task_queue=QUEUE
    )


async def ended(handle: WorkflowHandle[Any, int]) -> int:
    result = await handle.result()
    await Replayer(workflows=[Menu]).replay_workflow(await handle.fetch_history())
    return result


async def until_waiting(
    env: WorkflowEnvironment, count: int, id: str = "w"
) -> Sequence[PendingActivity]:
    """What waits for room, once so many do."""
    waiting: list[PendingActivity] = []
    for _ in range(5_000):
        pending = (await env.client.get_workflow_handle(id).describe()).pending_activities
        waiting = [one for one in pending if one.limited_by]
        if len(waiting) == count:
            return waiting
        await asyncio.sleep(0.001)
    raise AssertionError(f"{len(waiting)} wait")


async def until_cooking(stove: Stove, count: int) -> None:
    for _ in range(5_000):
        if stove.cooking["all"] == count:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(stove.cooking)


async def test_a_key_without_room_is_in_nobodys_way(env: WorkflowEnvironment, stove: Stove) -> None:
    dishes = [f"acme/{number}" for number in range(6)]
    async with worker(
        env.client, stove, max_concurrent_activities_per_key=2, max_concurrent_activities=3
    ):
        handle = await begin(env, *dishes, "other/1")
        await until_cooking(stove, 3)
        await until_waiting(env, 4)
        assert stove.cooking == {"acme": 2, "other": 1, "cook": 3, "all": 3}
        stove.open.set()
        assert await ended(handle) == 7
    assert stove.most["acme"] == 2
    assert [dish for dish in stove.order if dish.startswith("acme")] == dishes


async def test_who_waits_shows_its_limit_and_when_it_asks_again(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        handle = await begin(env, "acme/1", "acme/2")
        (waiting,) = await until_waiting(env, 1)
        assert (waiting.activity_id, waiting.limited_by) == ("acme/2", "key acme, 1 at a time")
        assert waiting.next_attempt_time is not None
        stove.open.set()
        assert await ended(handle) == 2


async def test_types_and_the_whole_queue_have_limits_of_their_own(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with worker(
        env.client,
        stove,
        max_concurrent_activities_by_type={"cook": 1},
        max_task_queue_concurrent_activities=3,
    ):
        cooked = await begin(env, *(f"a/{number}" for number in range(3)))
        baked = await begin(env, *(f"b/{number}" for number in range(5)), kind="bake", id="v")
        await until_cooking(stove, 3)
        shown = {one.limited_by for one in await until_waiting(env, 2)}
        assert shown == {"type cook, 1 at a time"}
        shown = {one.limited_by for one in await until_waiting(env, 3, "v")}
        assert shown == {"queue, 3 at a time"}
        stove.open.set()
        await asyncio.gather(ended(cooked), ended(baked))
    assert (stove.most["cook"], stove.most["all"]) == (1, 3)


async def test_all_workers_of_a_queue_share_the_limit(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with (
        worker(env.client, stove, max_concurrent_activities_per_key=2),
        worker(env.client, stove, max_concurrent_activities_per_key=2),
    ):
        handle = await begin(env, *(f"acme/{number}" for number in range(8)))
        await until_waiting(env, 6)
        stove.open.set()
        assert await ended(handle) == 8
    assert stove.most["acme"] == 2


async def test_the_more_urgent_are_called_first(env: WorkflowEnvironment, stove: Stove) -> None:
    async with worker(env.client, stove, max_task_queue_concurrent_activities=1):
        first = await begin(env, "a/first", id="v")
        await until_cooking(stove, 1)
        handle = await begin(env, "a/1/5", "a/2", "a/3/1", "a/4/3", "a/5/2")
        await until_waiting(env, 5)
        stove.open.set()
        await asyncio.gather(ended(first), ended(handle))
    assert stove.order == ["a/first", "a/3/1", "a/5/2", "a/2", "a/4/3", "a/1/5"]


async def test_keys_take_turns_under_the_limit_of_their_queue(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with worker(env.client, stove, max_task_queue_concurrent_activities=1):
        first = await begin(env, "a/first", id="u")
        await until_cooking(stove, 1)
        many = await begin(env, *(f"big/{number}" for number in range(9)))
        await until_waiting(env, 9)
        few = await begin(env, "small/1", "small/2", id="v")
        await until_waiting(env, 2, "v")
        stove.open.set()
        await asyncio.gather(ended(first), ended(many), ended(few))
    assert stove.order.index("small/2") <= 5


async def test_a_failed_attempt_gives_its_place_to_who_waits(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    stove.failures = 2
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        handle = await begin(env, "acme/1", "acme/2")
        await until_waiting(env, 1)
        stove.open.set()
        assert await ended(handle) == 2
    assert stove.most["acme"] == 1
    assert stove.order[:2] == ["acme/1", "acme/2"]


async def test_who_is_cancelled_while_it_waits_is_in_nobodys_way(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        first = await begin(env, "acme/1", id="u")
        await until_cooking(stove, 1)
        canceled = await begin(env, *(f"acme/{number}" for number in range(20, 24)), id="v")
        await until_waiting(env, 4, "v")
        last = await begin(env, "acme/3")
        await until_waiting(env, 1)
        await canceled.cancel()
        with pytest.raises(WorkflowFailureError):
            await canceled.result()
        stove.open.set()
        await asyncio.gather(ended(first), ended(last))
    assert stove.order == ["acme/1", "acme/3"]


async def test_a_closed_run_gives_its_places_back(env: WorkflowEnvironment, stove: Stove) -> None:
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        closed = await begin(env, "acme/1", id="u")
        await until_cooking(stove, 1)
        handle = await begin(env, "acme/2")
        await until_waiting(env, 1)
        await closed.terminate()
        stove.open.set()
        assert await ended(handle) == 1


async def test_a_paused_activity_waits_for_no_place_and_asks_anew_when_it_is_let_go(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        handle = await begin(env, "acme/1", "acme/2", "acme/3")
        await until_waiting(env, 2)
        paused = env.client.get_async_activity_handle(workflow_id="w", activity_id="acme/2")
        await paused.pause()
        with env.auto_time_skipping_disabled():
            stove.open.set()
            for _ in range(5_000):
                if len(stove.order) == 2:
                    break
                await asyncio.sleep(0.001)
            await paused.unpause()
            assert await ended(handle) == 3
    assert stove.order == ["acme/1", "acme/3", "acme/2"]


async def test_what_is_completed_from_outside_holds_its_place_until_then(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        left = await begin(env, "acme/1", kind="leave")
        with env.auto_time_skipping_disabled():
            for _ in range(5_000):
                found = (await left.describe()).pending_activities
                if found and found[0].completed_outside:
                    break
                await asyncio.sleep(0.001)
            after = await begin(env, "acme/2", id="v")
            await until_waiting(env, 1, "v")
            outside = env.client.get_async_activity_handle(workflow_id="w", activity_id="acme/1")
            await outside.complete("done")
            stove.open.set()
            assert await ended(after) == 1
        assert await ended(left) == 1


async def test_what_has_no_limit_costs_no_call(
    env: WorkflowEnvironment, stove: Stove, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise AssertionError("nothing limits this")

    for name in ("enter_limits", "leave_limits", "take_turn"):
        monkeypatch.setattr(env.client.services.store, name, refuse)
    stove.open.set()
    async with worker(env.client, stove, max_concurrent_activities_by_type={"bake": 1}):
        assert await ended(await begin(env, "acme/1", "acme/2")) == 2


@pytest.mark.parametrize("name", ["enter_limits", "leave_limits", "adjust", "begin", "finish"])
async def test_answers_that_are_lost_cost_no_place(
    env: WorkflowEnvironment, stove: Stove, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store = env.client.services.store
    call, calls = getattr(store, name), 0

    async def forgetful(*args: object) -> object:
        nonlocal calls
        calls += 1
        answer = await call(*args)
        if calls == 2:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    monkeypatch.setattr(store, name, forgetful)
    stove.open.set()
    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        assert await ended(await begin(env, *(f"acme/{number}" for number in range(4)))) == 4
    assert calls > 2
    assert stove.most["acme"] == 1


async def test_a_call_that_is_lost_is_made_good_by_the_waiters_own_row(
    env: WorkflowEnvironment, stove: Stove, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = env.client.services.store

    async def dead(*_: object) -> None:
        raise UnavailableError("the process has died before it could leave")

    async with worker(env.client, stove, max_concurrent_activities_per_key=1):
        handle = await begin(env, "acme/1", "acme/2")
        await until_waiting(env, 1)
        with monkeypatch.context() as patched:
            patched.setattr(store, "leave_limits", dead)
            stove.open.set()
            for _ in range(5_000):
                if not stove.cooking["all"]:
                    break
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
        assert await ended(handle) == 2
    assert stove.most["acme"] == 1


async def test_doubled_messages_begin_no_more_than_there_may_be(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    publish = env.client.services.broker.publish
    env.client.services.broker.publish = lambda message, done=None: (  # type: ignore[method-assign]  # doubled
        publish(message, done),
        publish(message),
    )
    async with (
        worker(env.client, stove, max_concurrent_activities_per_key=2),
        worker(env.client, stove, max_concurrent_activities_per_key=2),
    ):
        handle = await begin(env, *(f"acme/{number}" for number in range(8)))
        await until_waiting(env, 6)
        stove.open.set()
        assert await ended(handle) == 8
    assert stove.most["acme"] == 2
    assert sorted(stove.order) == [f"acme/{number}" for number in range(8)]


async def test_a_rate_is_kept_by_those_who_had_to_wait_for_room(
    env: WorkflowEnvironment, stove: Stove
) -> None:
    stove.open.set()
    async with worker(
        env.client,
        stove,
        max_concurrent_activities_per_key=2,
        max_activities_per_second_per_key=0.01,
    ):
        begun = await env.get_current_time()
        assert await ended(await begin(env, *(f"acme/{number}" for number in range(5)))) == 5
        assert await env.get_current_time() - begun >= timedelta(seconds=400)
    assert stove.most["acme"] <= 2


def test_limits_are_entered_from_the_narrowest_to_the_widest() -> None:
    concurrency = ActivityConcurrency(task_queue=5, by_type={"pay": 3}, per_key=1)
    task = ActivityTask(
        namespace="n",
        workflow_id="w",
        workflow_type="Order",
        run_id="r",
        workflow_task_queue="q",
        event_id=5,
        activity_id="1",
        activity_type="pay",
        task_queue="q",
        key="k",
        priority=PriorityOptions(fairness_key="acme"),
    )
    assert concurrency.of(task) == (
        ConcurrencyLimit("key acme", 1),
        ConcurrencyLimit("type pay", 3),
        ConcurrencyLimit("queue", 5),
    )


@pytest.mark.parametrize("most", [0, -1, 1.5, 10**9])
async def test_a_number_that_cannot_be_one_is_refused(
    env: WorkflowEnvironment, stove: Stove, most: float
) -> None:
    with pytest.raises(ValueError, match="a number of activities at a time"):
        worker(env.client, stove, max_concurrent_activities_per_key=most)
