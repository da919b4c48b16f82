"""A plain JSON message, published by a program that knows nothing of us, starts a workflow."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.adapters.redis.store import RedisStore
from orchestrator.engine.gateway import Gateway
from orchestrator.ids import Namespace, WorkflowId
from orchestrator.ports.broker import DeadQueue, Delivery, RequestsQueue
from orchestrator.ports.store import RunView
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.telemetry.metrics import Counters
from orchestrator.testing.servers import Servers

pytestmark = pytest.mark.servers
EXAMPLE = (Path(__file__).parents[2] / "schemas/examples/start.json").read_bytes()
PATIENCE_S = 20.0


class RealClock:
    """The port's clock, on the machine's time."""

    def now_ms(self) -> int:
        return round(time.time() * 1000)

    async def wait(self, event: asyncio.Event, *, timeout_ms: int) -> None:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await event.wait()
        except TimeoutError:
            return


async def until(is_done: Callable[[], bool]) -> None:
    """Wait for what the servers will surely bring about."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if is_done():
                return
            await asyncio.sleep(0.02)


class Office:
    """A gateway on the real servers."""

    def __init__(self, redis_url: str, amqp_url: str, namespace: Namespace) -> None:
        self.namespace = namespace
        self.store = RedisStore(redis_url, namespace=namespace, shards=4)
        self.broker = RabbitBroker(amqp_url, namespace)
        self.counters = Counters()
        self.dead: list[Delivery] = []
        self.gateway = Gateway(
            self.store,
            self.broker,
            Dispatcher(self.broker, namespace),
            namespace=namespace,
            expect=lambda shard, due_at_ms: None,
            clock=RealClock(),
            counters=self.counters,
        )

    async def run(self, workflow_id: str) -> RunView:
        """The newest run of a workflow id, which may yet have to come."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.store.run(WorkflowId(workflow_id))
                if found is not None:
                    return found
                await asyncio.sleep(0.02)

    async def counted(self, name: str, count: int) -> None:
        """Wait until `count` is reached."""
        await until(lambda: self.counters.value(name) >= count)


@pytest.fixture
async def office(redis_url: str, amqp_url: str, random_namespace: str) -> AsyncIterator[Office]:
    made = Office(redis_url, amqp_url, Namespace(random_namespace))
    await made.store.open()
    await made.broker.open()
    consumer = await made.broker.consume(RequestsQueue(), made.gateway.take, prefetch=10)
    await made.broker.consume(DeadQueue(), made.dead.extend, prefetch=10)
    yield made
    await consumer.stop()
    await made.gateway.drain()
    await made.broker.close()
    await made.store.close()


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """A client that has nothing but an AMQP library."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield await connection.channel()


async def publish(channel: AbstractChannel, office: Office, body: bytes) -> None:
    exchange = await channel.get_exchange(f"orc.{office.namespace}.requests")
    await exchange.publish(aio_pika.Message(body), routing_key="start")


async def ask(channel: AbstractChannel, office: Office, body: bytes) -> AbstractIncomingMessage:
    """Publish with RabbitMQ's direct reply-to, and wait for the answer."""
    answers: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    tag = await queue.consume(answers.put, no_ack=True)
    exchange = await channel.get_exchange(f"orc.{office.namespace}.requests")
    question = aio_pika.Message(body, reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    await exchange.publish(question, routing_key="start")
    async with asyncio.timeout(PATIENCE_S):
        answer = await answers.get()
    await queue.cancel(tag)
    return answer


async def test_the_example_file_as_it_is_starts_a_run_once(
    office: Office, channel: AbstractChannel
) -> None:
    for _ in range(3):
        await publish(channel, office, EXAMPLE)
    await office.counted("gateway_requests_taken", 3)
    run = await office.run("order-1")
    assert run.run_id == json.loads(EXAMPLE)["request_id"]
    assert (run.workflow_type, run.task_queue, run.history_length) == ("Order", "orders", 1)
    event = await office.store.event(run.workflow_id, run.run_id, 1)
    assert event is not None
    [argument] = event.attributes.input  # type: ignore[union-attr]  # a start
    assert argument.content() == b'{"item":"pizza"}'
    await office.counted("gateway_starts_repeated", 2)
    assert office.counters.value("gateway_runs_started") == 1


async def test_who_asks_by_direct_reply_to_is_answered(
    office: Office, channel: AbstractChannel
) -> None:
    for started in (True, False):
        answer = await ask(channel, office, EXAMPLE)
        assert answer.correlation_id == "7"
        request_id = json.loads(EXAMPLE)["request_id"]
        assert json.loads(answer.body) == {
            "type": "started",
            "request_id": request_id,
            "workflow_id": "order-1",
            "run_id": request_id,
            "started": started,
        }


async def test_who_asks_with_a_queue_of_his_own_is_answered(
    office: Office, channel: AbstractChannel
) -> None:
    queue = await channel.declare_queue(exclusive=True)
    exchange = await channel.get_exchange(f"orc.{office.namespace}.requests")
    message = aio_pika.Message(EXAMPLE, reply_to=queue.name)
    await exchange.publish(message, routing_key="start")
    async with asyncio.timeout(PATIENCE_S):
        answer = await queue.get(timeout=PATIENCE_S, fail=False)
        while answer is None:
            await asyncio.sleep(0.02)
            answer = await queue.get(timeout=PATIENCE_S, fail=False)
    assert json.loads(answer.body)["started"] is True


async def test_what_is_no_request_is_answered_kept_and_followed_by_the_next(
    office: Office, channel: AbstractChannel
) -> None:
    novel = b'{"type": "start", "' + b"x" * 200_000 + b'": 1}'
    for body, problem in ((b"{", "not JSON"), (b"\xff", "not UTF-8"), (novel, "unknown field")):
        answer = json.loads((await ask(channel, office, body)).body)
        assert (answer["type"], answer["code"]) == ("error", "invalid_argument")
        assert problem in answer["message"]
    await until(lambda: len(office.dead) == 3)
    assert [letter.body for letter in office.dead] == [b"{", b"\xff", novel]
    assert all("invalid_argument" in (letter.reason or "") for letter in office.dead)
    assert json.loads((await ask(channel, office, EXAMPLE)).body)["started"] is True


async def test_a_request_waits_for_redis_to_come_back(
    office: Office, channel: AbstractChannel, servers: Servers
) -> None:
    await ask(channel, office, b"{")  # The way is open.
    servers.redis.kill()
    try:
        await publish(channel, office, EXAMPLE)
        await office.counted("gateway_requests_taken", 2)
        await asyncio.sleep(0.2)
        assert office.counters.value("gateway_requests_dead") == 1
    finally:
        servers.redis.start()
    assert (await office.run("order-1")).run_id == json.loads(EXAMPLE)["request_id"]


async def test_a_gateway_that_goes_leaves_unfinished_requests_to_the_next(
    office: Office,
    channel: AbstractChannel,
    servers: Servers,
    redis_url: str,
    amqp_url: str,
) -> None:
    second = Office(redis_url, amqp_url, office.namespace)
    servers.redis.kill()
    try:
        await publish(channel, office, EXAMPLE)
        await office.counted("gateway_requests_taken", 1)
        await office.broker.close()  # As a crash: nothing was finished.
        office.gateway.abort()
    finally:
        servers.redis.start()
    await second.store.open()
    await second.broker.open()
    await second.broker.consume(RequestsQueue(), second.gateway.take, prefetch=10)
    try:
        await second.counted("gateway_runs_started", 1)
    finally:
        await second.broker.close()
        await second.store.close()
