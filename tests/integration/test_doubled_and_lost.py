"""Messages of every kind that come twice, come late, or never come: one outcome all the same."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq.abc import DeliveredMessage

from orchestrator.client import Client, WorkflowHandle
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.wire.events import HistoryEvent
from tests.integration.faults import QUEUE, audit, kitchen, results, start_steps
from tests.integration.programs import PATIENCE_SECONDS, Program

pytestmark = pytest.mark.servers
RUNS, STEPS = 10, 3


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[aiormq.Channel]:
    """A program that knows nothing of us."""
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    assert isinstance(channel, aiormq.Channel)
    yield channel
    await connection.close()


async def keys_of(*workers: Program) -> list[str]:
    """Routing keys of all tasks of these workers."""
    started = [(await worker.logged("worker_started"))[0] for worker in workers]
    own = [f"sticky.{one['process']}" for one in started]
    return [f"workflow.{QUEUE}", f"activity.{QUEUE}", *own]


def kind_of(message: DeliveredMessage) -> str:
    key = str(message.delivery.routing_key).partition(".")[0]
    return f"{json.loads(message.body)['type']} to {key}"


class Doubler:
    """Sees every message of a namespace and sends it once more, to the same queue."""

    def __init__(self, channel: aiormq.Channel, namespace: str) -> None:
        self._channel = channel
        self._namespace = namespace
        self.seen: list[tuple[str, DeliveredMessage]] = []

    async def listen(self, exchange: str, keys: Sequence[str]) -> None:
        answer = await self._channel.queue_declare(exclusive=True)
        assert answer.queue is not None
        for key in keys:
            name = f"orc.{self._namespace}.{exchange}"
            await self._channel.queue_bind(answer.queue, name, key)
        await self._channel.basic_consume(answer.queue, self._double, no_ack=True)

    async def again(self) -> None:
        """Send everything that was seen once more, long after."""
        for queue, message in self.seen:
            await self._send(queue, message)

    def kinds(self) -> Counter[str]:
        return Counter(kind_of(message) for _, message in self.seen)

    async def _double(self, message: DeliveredMessage) -> None:
        key = str(message.delivery.routing_key)
        queue = f"orc.{self._namespace}.{'requests' if key == 'start' else key}"
        self.seen.append((queue, message))
        await self._send(queue, message)

    async def _send(self, queue: str, message: DeliveredMessage) -> None:
        properties = message.header.properties
        await self._channel.basic_publish(message.body, routing_key=queue, properties=properties)


class Asker:
    """A client of another language: asks by message and collects the answers."""

    def __init__(self, channel: aiormq.Channel, namespace: str) -> None:
        self._channel = channel
        self._exchange = f"orc.{namespace}.requests"
        self.answers: list[dict[str, Any]] = []  # Any: what JSON holds
        self._news = asyncio.Event()
        self._queue = ""

    async def open(self) -> None:
        declared = await self._channel.queue_declare(exclusive=True)
        self._queue = declared.queue or ""
        await self._channel.basic_consume(self._queue, self._take, no_ack=True)

    async def ask(self, workflow_id: str) -> None:
        body = {
            "type": "start",
            "workflow_id": workflow_id,
            "workflow_type": "Steps",
            "task_queue": QUEUE,
            "input": [1, 0.0],
        }
        await self._channel.basic_publish(
            json.dumps(body).encode(),
            exchange=self._exchange,
            routing_key="start",
            properties=aiormq.spec.Basic.Properties(reply_to=self._queue, delivery_mode=2),
        )

    async def answered(self, count: int) -> list[dict[str, Any]]:  # Any: what JSON holds
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.answers) < count:
                self._news.clear()
                await self._news.wait()
        return self.answers

    async def _take(self, message: DeliveredMessage) -> None:
        self.answers.append(json.loads(message.body))
        self._news.set()


async def history_of(handle: WorkflowHandle[Any, Any]) -> list[HistoryEvent]:  # Any: of any type
    return [event async for event in handle.fetch_history_events()]


async def test_messages_of_every_kind_that_come_twice_and_again_later_have_one_outcome(
    channel: aiormq.Channel, folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    doubler, asker = Doubler(channel, client.namespace), Asker(channel, client.namespace)
    await asker.open()
    async with kitchen(folder, environment) as one, kitchen(folder, environment) as two:
        await doubler.listen("tasks", await keys_of(one, two))
        await doubler.listen("requests", ["start"])
        await asker.ask("asked")
        starts = await asker.answered(2)
        assert sorted(start["started"] for start in starts) == [False, True]
        assert len({start["run_id"] for start in starts}) == 1

        handles = await start_steps(client, [f"run-{n}" for n in range(RUNS)], STEPS, 0.02)
        tables = [
            await client.start_workflow("Table", 3, id=f"table-{n}", task_queue=QUEUE)
            for n in range(RUNS)
        ]
        for amount in (1, 2):
            for table in tables:
                await table.signal("pay", amount)
                # The answer comes twice, and the second one answers no later question.
                assert await table.query("bill", amount) == amount * sum(range(amount + 1))
        for table in tables:
            await table.signal("pay", 3)
        assert await results(handles) == [[str(number) for number in range(STEPS)]] * RUNS
        assert await results(tables) == [[1, 2, 3]] * RUNS

        asked = client.get_workflow_handle("asked", run_id=starts[0]["run_id"])
        everything = [asked, *handles, *tables]
        await results([asked])
        before = [await history_of(handle) for handle in everything]
        await doubler.again()
        assert [start["started"] for start in (await asker.answered(3))[2:]] == [False]
        assert await results(await start_steps(client, ["last"], STEPS, 0.0)) == [["0", "1", "2"]]
        assert [await history_of(handle) for handle in everything] == before
    # A query goes to everybody where no worker has the run in its memory, which is as it happens.
    assert {*doubler.kinds()} - {"query_task to workflow"} == {
        "start to start",
        "workflow_task to workflow",
        "workflow_task to sticky",
        "query_task to sticky",
        "activity_task to activity",
    }
    await audit([asked, *handles], folder)


class Thief:
    """Takes messages out of queues, a share of them as one consumer more, and drops them."""

    def __init__(self, channel: aiormq.Channel, namespace: str, *, count: int) -> None:
        self._channel = channel
        self._namespace = namespace
        self._count = count
        self._tags: dict[str, str] = {}
        self.stolen: list[DeliveredMessage] = []

    async def steal(self, key: str) -> None:
        """Take the next messages of one queue, so many."""
        left = self._count

        async def take(message: DeliveredMessage) -> None:
            nonlocal left
            if left == 0:
                await self._channel.basic_nack(message.delivery_tag or 0, requeue=True)
                return
            left -= 1
            self.stolen.append(message)
            await self._channel.basic_ack(message.delivery_tag or 0)
            if left == 0:
                await self._channel.basic_cancel(self._tags[key])

        answer = await self._channel.basic_consume(f"orc.{self._namespace}.{key}", take)
        self._tags[key] = str(answer.consumer_tag)

    def kinds(self) -> set[str]:
        return {kind_of(message) for message in self.stolen}


@pytest.mark.slow
async def test_lost_messages_of_every_kind_are_made_again(
    channel: aiormq.Channel, folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    thief, asker = Thief(channel, client.namespace, count=3), Asker(channel, client.namespace)
    await asker.open()
    async with kitchen(folder, environment) as worker:
        keys = [*await keys_of(worker), "requests"]
        for key in keys:
            await thief.steal(key)
        handles = await start_steps(client, [f"run-{n}" for n in range(RUNS)], STEPS, 0.02)
        table = await client.start_workflow("Table", 1, id="table", task_queue=QUEUE)
        await answer_at_last(table)
        while not {"start to requests", "start to start"} & thief.kinds():
            # The asker repeats what was not answered, under the same id.
            await asker.ask("asked")
        while not asker.answers:
            await asker.ask("asked")
            await asyncio.sleep(0.2)
        assert (
            await results(handles, seconds=60) == [[str(number) for number in range(STEPS)]] * RUNS
        )
        await table.signal("pay", 1)
        assert await results([table], seconds=60) == [[1]]
        [run_id] = {answer["run_id"] for answer in asker.answers}
        asked = client.get_workflow_handle("asked", run_id=run_id)
        assert await results([asked], seconds=60) == [["0"]]
    assert {kind.partition(" ")[0] for kind in thief.kinds()} >= {
        "start",
        "workflow_task",
        "activity_task",
    }
    assert any(kind.endswith("to sticky") for kind in thief.kinds())
    await audit([asked, *handles], folder)


async def answer_at_last(table: WorkflowHandle[Any, Any]) -> None:  # Any: of any type
    """A query whose message or answer is lost fails in its time; the next one is answered."""
    async with asyncio.timeout(60):
        while True:
            try:
                assert await table.query("bill", rpc_timeout=timedelta(seconds=1)) == 0
            except RPCError as error:
                if error.status is not RPCStatusCode.DEADLINE_EXCEEDED:
                    raise
            else:
                return


async def test_purged_queues_lose_nothing(
    channel: aiormq.Channel, folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with kitchen(folder, environment) as worker:
        await worker.logged("worker_started")  # The queues are there.
    handles = await start_steps(client, [f"run-{n}" for n in range(RUNS)], 1, 0.0)
    queue = f"orc.{client.namespace}.workflow.{QUEUE}"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if (await channel.queue_declare(queue, passive=True)).message_count == RUNS:
                break
            await asyncio.sleep(0.02)
    await channel.queue_purge(queue)
    async with kitchen(folder, environment):
        assert await results(handles) == [["0"]] * RUNS
    await audit(handles, folder)
