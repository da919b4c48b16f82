"""Rates of activities: who has to wait waits in its record, in nobody's way, and is shown."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchestrator import activity, workflow
from orchestrator.client import Client, PendingActivity, WorkflowHandle
from orchestrator.common import Priority, RetryPolicy
from orchestrator.core.rates import ActivityRates, RateLimit
from orchestrator.exceptions import ApplicationError, UnavailableError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire.options import Priority as PriorityOptions
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker import Replayer, Worker

QUEUE = "calls"


class Line:
    """Notes when each call began."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, datetime]] = []
        self.failures = 0

    @activity.defn
    async def call(self, whom: str) -> str:
        self.calls.append((whom, activity.info().started_time))
        if self.failures:
            self.failures -= 1
            raise ApplicationError("busy")
        return whom

    @activity.defn
    async def text(self, whom: str) -> str:
        self.calls.append((f"text {whom}", activity.info().started_time))
        return whom

    def seconds(self, whom: str) -> list[int]:
        """When calls of one began, after the first call of all."""
        first = min(begun for _, begun in self.calls)
        times = sorted(begun for name, begun in self.calls if name == whom)
        return [round((begun - first).total_seconds()) for begun in times]


@workflow.defn
class CallAll:
    """Calls all at once, each under its own key."""

    @workflow.run
    async def run(self, whom: list[str], kind: str) -> int:
        called = [
            workflow.execute_activity(
                kind,
                one,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1)),
                priority=Priority(fairness_key=one),
            )
            for one in whom
        ]
        return len(await asyncio.gather(*called))


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping() as made:
        yield made


def worker(client: Client, line: Line, **rates: Any) -> Worker:
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[CallAll],
        activities=[line.call, line.text],
        **rates,
    )


async def begin(
    env: WorkflowEnvironment, *whom: str, kind: str = "call", id: str = "w"
) -> WorkflowHandle[Any, int]:
    return await env.client.start_workflow(
        CallAll.run, args=[list(whom), kind], id=id, task_queue=QUEUE
    )


async def ended(handle: WorkflowHandle[Any, int]) -> int:
    result = await handle.result()
    await Replayer(workflows=[CallAll]).replay_workflow(await handle.fetch_history())
    return result


async def pending(env: WorkflowEnvironment, count: int) -> Mapping[str | None, PendingActivity]:
    """Pending activities by what they wait for, once so many are left."""
    for _ in range(2_000):
        found = (await env.client.get_workflow_handle("w").describe()).pending_activities
        if len(found) == count and all(one.limited_by for one in found):
            return {one.limited_by: one for one in found}
        await asyncio.sleep(0.001)
    raise AssertionError(found)


async def test_a_key_that_has_to_wait_is_in_nobodys_way(env: WorkflowEnvironment) -> None:
    line = Line()
    async with worker(
        env.client, line, max_activities_per_second_per_key=0.01, max_concurrent_activities=1
    ):
        handle = await begin(env, "acme", "acme", "acme", "acme", "other")
        assert await ended(handle) == 5
    assert line.seconds("acme") == [0, 100, 200, 300]
    assert line.seconds("other") == [0]


async def test_who_waits_is_shown_with_its_limit_and_its_time(env: WorkflowEnvironment) -> None:
    line = Line()
    async with worker(env.client, line, max_activities_per_second_per_key=0.01):
        handle = await begin(env, "acme", "acme")
        with env.auto_time_skipping_disabled():
            (waiting,) = (await pending(env, 1)).values()
            assert (waiting.limited_by, waiting.state, waiting.attempt) == (
                "key acme",
                "backing_off",
                0,
            )
            left = waiting.next_attempt_time - await env.get_current_time()  # type: ignore[operator]  # it is set
            assert timedelta(seconds=90) < left <= timedelta(seconds=100)
        assert await ended(handle) == 2


async def test_a_type_and_the_whole_queue_have_rates_of_their_own(
    env: WorkflowEnvironment,
) -> None:
    line = Line()
    async with worker(
        env.client,
        line,
        max_activities_per_second_by_type={"call": 0.02},
        max_task_queue_activities_per_second=0.1,
    ):
        calls = await begin(env, *"abc")
        texts = await begin(env, *"def", kind="text", id="v")
        await asyncio.gather(ended(calls), ended(texts))
    called = sorted(second for whom in "abc" for second in line.seconds(whom))
    texted = sorted(second for whom in "def" for second in line.seconds(f"text {whom}"))
    assert [later - earlier for earlier, later in itertools.pairwise(called)] == [50, 50]
    everything = sorted([*called, *texted])
    gaps = [later - earlier for earlier, later in itertools.pairwise(everything)]
    assert min(gaps) >= 10
    assert max(texted) <= 40


async def test_a_worker_keeps_its_own_pace(env: WorkflowEnvironment) -> None:
    line = Line()
    async with worker(env.client, line, max_activities_per_second=40):
        begun = asyncio.get_running_loop().time()
        assert await ended(await begin(env, *(["one"] * 50))) == 50
        took_s = asyncio.get_running_loop().time() - begun
    assert took_s >= 0.2
    assert env.client.services.counters.snapshot()["activities_completed"] == 50


async def test_every_attempt_needs_a_turn(env: WorkflowEnvironment) -> None:
    line = Line()
    line.failures = 2
    async with worker(env.client, line, max_activities_per_second_per_key=0.01):
        assert await ended(await begin(env, "acme")) == 1
    assert line.seconds("acme") == [0, 100, 200]


@pytest.mark.parametrize("name", ["take_turn", "adjust"])
async def test_answers_that_are_lost_waste_turns_and_nothing_else(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store = env.client.services.store
    call, calls = getattr(store, name), 0

    async def forgetful(*args: object) -> object:
        nonlocal calls
        calls += 1
        answer = await call(*args)
        if calls % 2:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    monkeypatch.setattr(store, name, forgetful)
    line = Line()
    async with worker(env.client, line, max_activities_per_second_per_key=0.01):
        assert await ended(await begin(env, "acme", "acme", "acme")) == 3
    assert calls > 1
    seconds = line.seconds("acme")
    assert len(seconds) == 3
    assert all(later - earlier >= 100 for earlier, later in itertools.pairwise(seconds))


async def test_a_doubled_task_is_begun_once(env: WorkflowEnvironment) -> None:
    line = Line()
    publish = env.client.services.broker.publish
    env.client.services.broker.publish = lambda message, done=None: (  # type: ignore[method-assign]  # doubled
        publish(message, done),
        publish(message),
    )
    async with worker(env.client, line, max_activities_per_second_per_key=0.01):
        assert await ended(await begin(env, "acme", "acme")) == 2
    assert len(line.calls) == 2


def test_limits_are_passed_from_the_narrowest_to_the_widest() -> None:
    rates = ActivityRates(task_queue=5, by_type={"pay": 3}, per_key=1)
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
    assert rates.of(task) == [
        RateLimit("key acme", 1),
        RateLimit("type pay", 3),
        RateLimit("queue", 5),
    ]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
async def test_a_rate_that_cannot_be_one_is_refused(env: WorkflowEnvironment, rate: float) -> None:
    with pytest.raises(ValueError, match="a rate of activities"):
        worker(env.client, Line(), max_activities_per_second=rate)
