"""Time in an environment of tests: skipped while nothing is under way, and only then."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator.exceptions import RPCError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.engine.client.workflows import (
    ACTIVITIES,
    QUEUE,
    WORKFLOWS,
    Erring,
    Order,
    Ordering,
    Sleeper,
)


async def test_a_year_passes_while_its_end_is_waited_for() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS),
    ):
        before = await env.get_current_time()
        run = env.client.execute_workflow(Sleeper.run, 365, id="s", task_queue=QUEUE)
        assert await run == "awake"
        passed = await env.get_current_time() - before
        assert timedelta(days=365) <= passed < timedelta(days=365, minutes=5)


async def test_time_stands_while_nobody_waits() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS),
    ):
        handle = await env.client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
        with env.auto_time_skipping_disabled():
            before = await env.get_current_time()
            await handle.describe()
            assert await env.get_current_time() - before < timedelta(minutes=1)
        assert await handle.result() == "awake"


async def test_a_sleep_lets_the_timers_before_it_fire() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        worker = Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES)
        async with worker:
            handle = await env.client.start_workflow(
                Ordering.run, Order("pizza"), id="o", task_queue=QUEUE
            )
            await env.sleep(timedelta(minutes=59))
            assert (await handle.describe()).close_time is None
            await env.sleep(timedelta(minutes=2))
            assert (await handle.describe()).close_time is not None
            assert env.supports_time_skipping


async def test_a_local_environment_runs_on_the_real_clock() -> None:
    async with await WorkflowEnvironment.start_local() as env:
        worker = Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES)
        async with worker:
            handle = await env.client.start_workflow(
                Ordering.run, Order("pizza"), id="o", task_queue=QUEUE
            )
            await handle.signal(Ordering.finish)
            assert await handle.result() == Order("pizza")
            assert not env.supports_time_skipping


async def test_no_real_time_passes_until_the_ends_of_runs_are_cleared_away() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS),
    ):
        async with asyncio.timeout(0.9):  # A duty that sleeps looks again after a second.
            for name in ("first", "second", "third"):
                handle = await env.client.start_workflow(Sleeper.run, 2, id=name, task_queue=QUEUE)
                await env.sleep(0.3)
                await handle.terminate()
                await env.sleep(timedelta(days=1))


async def test_time_does_not_run_away_over_a_run_that_cannot_go_on() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS),
    ):
        before = await env.get_current_time()
        handle = await env.client.start_workflow(Erring.run, id="e", task_queue=QUEUE)
        with pytest.raises(RPCError):
            await handle.result(rpc_timeout=timedelta(milliseconds=50))
        problem = (await handle.describe()).problem or ""
        assert problem.startswith("workflow_code: KeyError: 'salad'\n")
        assert await env.get_current_time() - before < timedelta(seconds=30)
        await env.sleep(timedelta(hours=1))
        assert await env.get_current_time() - before >= timedelta(hours=1)


async def test_a_start_may_be_delayed_and_a_signal_ends_the_delay() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        worker = Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES)
        async with worker:
            before = await env.get_current_time()
            delay = timedelta(hours=6)
            handle = await env.client.start_workflow(
                Ordering.run, Order("pizza"), id="o", task_queue=QUEUE, start_delay=delay
            )
            await env.sleep(timedelta(hours=5))
            assert (await handle.describe()).history_length == 1
            await handle.signal(Ordering.finish)
            assert await handle.result() == Order("pizza")
            assert await env.get_current_time() - before < delay
            await env.client.execute_workflow(
                Sleeper.run, 0, id="s", task_queue=QUEUE, start_delay=delay
            )
            assert await env.get_current_time() - before >= timedelta(hours=11)
