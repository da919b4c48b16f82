"""What a workflow costs, counted in calls of a worker on real servers; never timed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orchestrator import activity, workflow
from orchestrator.client import Client
from orchestrator.worker import Worker

pytestmark = pytest.mark.servers
_COUNTED = (
    "redis_scripts",
    "redis_reads",
    "redis_commands",
    "amqp_published",
    "amqp_delivered",
)


@activity.defn
async def echo(number: int) -> int:
    return number


@workflow.defn
class Steps:
    """So many activities, one after another."""

    @workflow.run
    async def run(self, count: int) -> int:
        total = 0
        for number in range(count):
            total += await workflow.execute_activity(
                echo, number, start_to_close_timeout=timedelta(seconds=30)
            )
        return total


@pytest.fixture
async def clients(
    amqp_url: str, redis_url: str, random_namespace: str
) -> AsyncIterator[tuple[Client, Client]]:
    """The client that starts, and the one whose worker does the work: each counts its own calls."""

    async def connected() -> Client:
        return await Client.connect(
            broker=amqp_url, store=redis_url, namespace=random_namespace, settings={"shards": 2}
        )

    async with await connected() as starting, await connected() as working:
        yield starting, working


async def _calls(starting: Client, working: Client, steps: int) -> dict[str, int]:
    """Calls of the worker's process for a run of so many steps."""
    before = working.services.counters.snapshot()
    await starting.execute_workflow(Steps.run, steps, id=f"steps-{steps}", task_queue="steps")
    after = working.services.counters.snapshot()
    return {name: after.get(name, 0) - before.get(name, 0) for name in _COUNTED}


async def test_a_step_costs_three_scripts_two_publishes_and_two_deliveries(
    clients: tuple[Client, Client],
) -> None:
    starting, working = clients
    worker = Worker(
        working, task_queue="steps", workflows=[Steps], activities=[echo], engine_duties=False
    )
    async with worker:
        await _calls(starting, working, 2)
        few = await _calls(starting, working, 5)
        many = await _calls(starting, working, 25)
    # Signs of life are commands of their own, every three seconds.
    assert few.pop("redis_commands") <= 1
    assert many.pop("redis_commands") <= 2
    step = {name: (many[name] - few[name]) / 20 for name in few}
    assert step == {
        "redis_scripts": 3,
        "redis_reads": 0,
        "amqp_published": 2,
        "amqp_delivered": 2,
    }
    # The first commit of a run is its first step's; beyond the steps there is one more.
    rest = {name: few[name] - 5 * step[name] for name in few}
    assert rest == {
        "redis_scripts": 1,
        "redis_reads": 0,
        "amqp_published": 0,
        "amqp_delivered": 1,
    }


async def test_a_start_costs_one_script_and_one_message(clients: tuple[Client, Client]) -> None:
    starting, _ = clients
    counters = starting.services.counters
    before = counters.snapshot()
    await starting.start_workflow(Steps.run, 1, id="alone", task_queue="nobody")
    await starting.close()  # what was published this turn has been written
    after = counters.snapshot()
    calls = {name: after.get(name, 0) - before.get(name, 0) for name in _COUNTED}
    assert calls == {
        "redis_scripts": 1,
        "redis_reads": 0,
        "redis_commands": 0,
        "amqp_published": 1,
        "amqp_delivered": 0,
    }


async def test_a_result_costs_one_read_before_the_notice_and_one_after_it(
    clients: tuple[Client, Client],
) -> None:
    starting, working = clients
    handle = await starting.start_workflow(Steps.run, 2, id="awaited", task_queue="steps")
    counters = starting.services.counters
    before = counters.snapshot()
    waiting = asyncio.create_task(handle.result())
    async with Worker(working, task_queue="steps", workflows=[Steps], activities=[echo]):
        assert await waiting == 1
    after = counters.snapshot()
    assert after["redis_reads"] - before.get("redis_reads", 0) <= 2
