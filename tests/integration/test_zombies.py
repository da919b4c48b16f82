"""A worker that is frozen past every time-out and comes back: others went on meanwhile, and what it
still does changes nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.client import Client, WorkflowHandle
from orchestrator.testing.audit import Interruption
from orchestrator.testing.ledger import Begun, Ended, Ledger, now_us
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from tests.contract.broker_proxy import Proxy
from tests.integration.faults import QUEUE, audit, kitchen, results
from tests.integration.programs import PATIENCE_SECONDS, until

pytestmark = pytest.mark.servers
STEPS, STEP_SECONDS, STEP_TIMEOUT_SECONDS = 3, 0.4, 1.5
TASK_TIMEOUT = timedelta(seconds=1)


@pytest.fixture
def impatient(environment: Mapping[str, str]) -> Mapping[str, str]:
    """RabbitMQ drops a worker that it has not heard of for two seconds."""
    url = f"{environment['ORCHESTRATOR_BROKER']}?heartbeat=1"
    return {**environment, "ORCHESTRATOR_BROKER": url}


async def history_of(handle: WorkflowHandle[object, list[str]]) -> list[HistoryEvent]:
    return [event async for event in handle.fetch_history_events()]


def acts(history: Sequence[HistoryEvent]) -> list[str]:
    """What a run did, without the tasks by which it did so."""
    return [event.type for event in history if not event.type.startswith("WorkflowTask")]


async def begin(client: Client, names: Sequence[str]) -> list[WorkflowHandle[object, list[str]]]:
    return [
        await client.start_workflow(
            "Steps",
            args=[STEPS, STEP_SECONDS, STEP_TIMEOUT_SECONDS],
            id=name,
            task_queue=QUEUE,
            task_timeout=TASK_TIMEOUT,
        )
        for name in names
    ]


@pytest.mark.slow
async def test_a_worker_that_comes_back_from_the_dead_changes_nothing(
    folder: Path,
    environment: Mapping[str, str],
    impatient: Mapping[str, str],
    client: Client,
) -> None:
    ledger = Ledger(folder / "ledger")
    async with kitchen(folder, impatient) as zombie, kitchen(folder, environment) as living:
        await zombie.logged("worker_started")
        await living.logged("worker_started")
        pid = zombie.process.pid
        [single] = await begin(client, ["single"])
        await results([single])
        handles = await begin(client, [f"run-{n}" for n in range(12)])

        def held() -> int:
            rows = [row for row in ledger.read().rows if row.pid == pid]
            return sum(1 if isinstance(row, Begun) else -isinstance(row, Ended) for row in rows)

        await until(lambda: held() >= 3)
        frozen_us = now_us()
        zombie.signal(signal.SIGSTOP)
        lost = held()
        assert await results(handles, seconds=60) == [[str(n) for n in range(STEPS)]] * 12
        before = [await history_of(handle) for handle in handles]

        zombie.signal(signal.SIGCONT)
        thawed_us = now_us()
        await until(lambda: held() == 0)
        living.signal(signal.SIGTERM)
        assert await living.code() == 0
        # The zombie is the only worker now: what it had in hand is behind it, and it works on.
        assert await results(await begin(client, ["last"])) == [[str(n) for n in range(STEPS)]]
        assert [await history_of(handle) for handle in handles] == before

    model = acts(await history_of(single))
    assert [acts(history) for history in before] == [model] * 12
    assert lost >= 3
    frozen = Interruption(pid=pid, kind="frozen", from_us=frozen_us, to_us=thawed_us)
    await audit(handles, folder, [frozen])


@pytest.fixture
async def store_proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """A way to Redis that can be held up."""
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.mark.slow
async def test_a_commit_and_a_finish_that_were_long_under_way_arrive_to_no_effect(
    folder: Path,
    impatient: Mapping[str, str],
    environment: Mapping[str, str],
    store_proxy: Proxy,
    client: Client,
) -> None:
    ledger = Ledger(folder / "ledger")
    held_up = {**impatient, "ORCHESTRATOR_STORE": store_proxy.url}
    async with kitchen(folder, held_up) as zombie:
        await zombie.logged("worker_started")
        table = await client.start_workflow(
            "Table", id="table", task_queue=QUEUE, task_timeout=TASK_TIMEOUT
        )
        assert await table.query("bill") == 0  # It is in the zombie's memory.
        [steps] = await begin(client, ["steps"])
        await until(lambda: any(isinstance(row, Begun) for row in ledger.read().rows))
        store_proxy.stall()
        await table.signal("pay", 10)  # The end of the run is on its way, and stays there.
        await until(lambda: any(isinstance(row, Ended) for row in ledger.read().rows))
        await asyncio.sleep(0.2)  # So is the end of the step.
        zombie.signal(signal.SIGSTOP)
        async with kitchen(folder, environment) as living:
            await living.logged("worker_started")
            assert await results([steps], seconds=60) == [[str(n) for n in range(STEPS)]]
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await table.result() == [10]
            before = [await history_of(handle) for handle in (table, steps)]
            store_proxy.flow()
            zombie.signal(signal.SIGCONT)
            living.signal(signal.SIGTERM)
            assert await living.code() == 0
        assert await results(await begin(client, ["last"])) == [[str(n) for n in range(STEPS)]]
        assert [await history_of(handle) for handle in (table, steps)] == before
    for handle, history in zip((table, steps), before, strict=True):
        identities = {
            one.attributes.identity
            for one in history
            if isinstance(one.attributes, e.WorkflowTaskCompleted)
        }
        assert len(identities) == 2, handle.id  # Both took part in it.
