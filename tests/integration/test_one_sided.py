"""A process that has lost one of its servers must not keep the others' runs from going on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.client import Client
from orchestrator.worker import Worker
from tests.contract.broker_proxy import Proxy

pytestmark = pytest.mark.servers
QUEUE, RUNS, NAPS = "naps", 40, 4
PATIENCE_SECONDS = 20


@workflow.defn
class Nap:
    """Each step is due in the shard of its run, wherever that is looked after."""

    @workflow.run
    async def run(self, count: int) -> int:
        for _ in range(count):
            await workflow.sleep(timedelta(seconds=0.3))
        return count


def worker_of(client: Client) -> Worker:
    return Worker(client, task_queue=QUEUE, workflows=[Nap])


async def test_duties_of_a_process_that_has_lost_rabbitmq_are_done_by_the_others(
    redis_url: str, amqp_url: str, random_namespace: str, client: Client
) -> None:
    async with Proxy(amqp_url) as proxy:
        cut_off = await Client.connect(
            broker=proxy.url, store=redis_url, namespace=random_namespace
        )
        async with cut_off, worker_of(cut_off), worker_of(client):
            await asyncio.sleep(1.5)  # Both have their share of the shards by now.
            handles = [
                await client.start_workflow(Nap.run, NAPS, id=f"nap-{n}", task_queue=QUEUE)
                for n in range(RUNS)
            ]
            proxy.refuse()
            async with asyncio.timeout(PATIENCE_SECONDS):
                ends = await asyncio.gather(*(handle.result() for handle in handles))
    assert ends == [NAPS] * RUNS


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Proxy.refuse, Proxy.stall])
async def test_messages_do_not_come_to_rest_with_a_process_that_has_lost_redis(
    redis_url: str,
    amqp_url: str,
    random_namespace: str,
    client: Client,
    fault: Callable[[Proxy], None],
) -> None:
    async with Proxy(redis_url) as proxy:
        cut_off = await Client.connect(broker=amqp_url, store=proxy.url, namespace=random_namespace)
        async with cut_off, worker_of(cut_off), worker_of(client):
            await asyncio.sleep(1.5)  # Both take tasks and have their share of the shards by now.
            handles = [
                await client.start_workflow(Nap.run, NAPS, id=f"nap-{n}", task_queue=QUEUE)
                for n in range(RUNS)
            ]
            fault(proxy)
            async with asyncio.timeout(PATIENCE_SECONDS):
                ends = await asyncio.gather(*(handle.result() for handle in handles))
            proxy.flow()
    assert ends == [NAPS] * RUNS
