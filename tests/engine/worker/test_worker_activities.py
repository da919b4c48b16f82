"""Activities of whole workers on the embedded engine: where they run, and how a worker ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from orchestrator import activity, workflow
from orchestrator.client import Client
from orchestrator.common import RetryPolicy
from orchestrator.ports.broker import WorkflowQueue
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from orchestrator.worker.executors import PoolUnusableError
from tests.engine.conftest import OpenEnv

QUEUE = "kitchen"


@workflow.defn
class Cook:
    """Runs one activity by its name."""

    @workflow.run
    async def run(self, name: str) -> str:
        return str(
            await workflow.execute_activity(
                name,
                start_to_close_timeout=timedelta(minutes=5),
                retry_policy=RetryPolicy(initial_interval=timedelta(minutes=1)),
            )
        )


@activity.defn
def bake() -> str:
    return threading.current_thread().name


@pytest.fixture
async def env(adapters: str, open_env: OpenEnv) -> AsyncIterator[WorkflowEnvironment]:
    """On the real clock in both places."""
    opening = await WorkflowEnvironment.start_local() if adapters == "memory" else open_env()
    async with opening as environment:
        yield environment


async def test_sync_activities_run_in_the_executor_of_their_worker(
    env: WorkflowEnvironment,
) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="oven") as oven:
        worker = Worker(
            env.client,
            task_queue=QUEUE,
            workflows=[Cook],
            activities=[bake],
            activity_executor=oven,
        )
        async with worker:
            run = env.client.execute_workflow(Cook.run, "bake", id="c", task_queue=QUEUE)
            assert await run == "oven_0"


async def test_a_worker_without_a_place_for_its_sync_activities_is_refused(
    env: WorkflowEnvironment,
) -> None:
    with pytest.raises(ValueError, match="'bake' is not async and needs a place to run"):
        Worker(env.client, task_queue=QUEUE, activities=[bake])


async def test_what_a_worker_cannot_finish_when_it_goes_begins_at_the_next_one_at_once(
    env: WorkflowEnvironment,
) -> None:
    begun = asyncio.Event()

    @activity.defn
    async def stew() -> str:
        if activity.info().attempt == 1:
            begun.set()
            await asyncio.Event().wait()
        return f"attempt {activity.info().attempt}"

    async with Worker(env.client, task_queue=QUEUE, workflows=[Cook]):
        async with Worker(env.client, task_queue=QUEUE, activities=[stew]):
            handle = await env.client.start_workflow(Cook.run, "stew", id="c", task_queue=QUEUE)
            await begun.wait()
        async with Worker(env.client, task_queue=QUEUE, activities=[stew]), asyncio.timeout(50):
            # The policy's minute is not waited for.
            assert await handle.result() == "attempt 2"


async def test_a_worker_whose_executor_is_closed_ends_and_says_so(
    env: WorkflowEnvironment,
) -> None:
    oven = ThreadPoolExecutor(1)
    worker = Worker(
        env.client,
        task_queue=QUEUE,
        workflows=[Cook],
        activities=[bake],
        activity_executor=oven,
    )
    oven.shutdown()
    running = asyncio.create_task(worker.run())
    await env.client.start_workflow(Cook.run, "bake", id="c", task_queue=QUEUE)
    async with asyncio.timeout(60):
        with pytest.raises(PoolUnusableError):
            await running
    assert worker.is_shutdown


async def test_an_activity_may_use_the_grace_of_its_worker(env: WorkflowEnvironment) -> None:
    begun = asyncio.Event()

    @activity.defn
    async def stew() -> str:
        begun.set()
        await activity.wait_for_worker_shutdown()
        return "done early"

    worker = Worker(
        env.client,
        task_queue=QUEUE,
        workflows=[Cook],
        activities=[stew],
        graceful_shutdown_timeout=timedelta(seconds=20),
    )
    async with worker:
        handle = await env.client.start_workflow(Cook.run, "stew", id="c", task_queue=QUEUE)
        await begun.wait()
    # The wake-up goes to whoever comes next, not to the worker that ends.
    while await env.client.services.broker.ready(WorkflowQueue(QUEUE)) != 1:  # noqa: ASYNC110
        await asyncio.sleep(0.001)  # a broker tells nobody how much it has
    async with Worker(env.client, task_queue=QUEUE, workflows=[Cook]):
        assert await handle.result() == "done early"


@pytest.mark.parametrize(("slots", "is_warned"), [(2, True), (1, False)])
async def test_an_executor_that_lets_begun_attempts_wait_is_warned_of(
    env: WorkflowEnvironment, caplog: pytest.LogCaptureFixture, slots: int, is_warned: bool
) -> None:
    with ThreadPoolExecutor(1) as oven:
        worker = Worker(
            env.client,
            task_queue=QUEUE,
            activities=[bake],
            activity_executor=oven,
            max_concurrent_activities=slots,
        )
        async with worker:
            said = [one.msg for one in caplog.records]
    assert ("activity_executor_is_small" in said) is is_warned


@activity.defn
async def ask() -> str:
    client: Client = activity.client()
    description = await client.get_workflow_handle(activity.info().workflow_id).describe()
    return f"{description.id} in {activity.info().namespace}"


@activity.defn
def ask_in_a_thread() -> str:
    try:
        activity.client()
    except RuntimeError as error:
        return str(error)
    return "a client"


async def test_an_async_activity_has_its_workers_client(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue=QUEUE, workflows=[Cook], activities=[ask]):
        found = await env.client.execute_workflow(Cook.run, "ask", id="w", task_queue=QUEUE)
    assert found == f"w in {env.client.namespace}"


async def test_a_sync_activity_has_none_and_is_told_why(env: WorkflowEnvironment) -> None:
    with ThreadPoolExecutor(1) as threads:
        async with Worker(
            env.client,
            task_queue=QUEUE,
            workflows=[Cook],
            activities=[ask_in_a_thread],
            activity_executor=threads,
        ):
            found = await env.client.execute_workflow(
                Cook.run, "ask_in_a_thread", id="w", task_queue=QUEUE
            )
    assert "is for async activities" in found
