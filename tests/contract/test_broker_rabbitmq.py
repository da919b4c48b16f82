"""What only RabbitMQ can do to us: lost connections, foreign senders, queues that differ."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import aiormq
import pytest

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.adapters.rabbitmq.topology import QueueType
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace, TaskQueue, check_namespace
from orchestrator.ports.broker import (
    DeadQueue,
    Delivery,
    Outgoing,
    Published,
    RequestsQueue,
    WorkflowQueue,
)
from tests.contract.broker_carriers import PATIENCE_S, Basket, RabbitCarrier
from tests.contract.broker_proxy import Proxy

pytestmark = pytest.mark.servers
WORK = WorkflowQueue(TaskQueue("orders"))


@pytest.fixture
def namespace(random_namespace: str) -> Namespace:
    return check_namespace(random_namespace)


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(amqp_url) as proxy:
        yield proxy


@pytest.fixture
async def carrier(amqp_url: str, namespace: Namespace) -> AsyncIterator[RabbitCarrier]:
    carrier = RabbitCarrier(amqp_url, namespace)
    yield carrier
    await carrier.close()


@pytest.fixture
async def cut_off(
    carrier: RabbitCarrier, proxy: Proxy, namespace: Namespace
) -> AsyncIterator[RabbitBroker]:
    """A broker whose connections the proxy can cut."""
    broker = RabbitBroker(proxy.url, namespace)
    await broker.open()
    await broker.declare(WORK)
    yield broker
    await broker.close()


async def publish(broker: RabbitBroker, message: Outgoing) -> Published:
    answer: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    broker.publish(message, answer.set_result)
    async with asyncio.timeout(PATIENCE_S):
        return await answer


async def test_after_a_cut_the_deliveries_in_hand_are_void_and_come_again(
    cut_off: RabbitBroker, proxy: Proxy, carrier: RabbitCarrier
) -> None:
    basket = Basket()
    await cut_off.consume(WORK, basket, prefetch=10)
    await publish(cut_off, Outgoing(to=WORK, body=b"1"))
    [void] = await basket.filled(1)
    proxy.cut()
    again = (await basket.filled(2))[1]
    assert (again.body, again.redelivered) == (b"1", True)
    void.ack()
    void.give_back()
    again.ack()
    await carrier.be_quiet()
    assert basket.bodies == [b"1", b"1"]
    assert await cut_off.ready(WORK) == 0


async def test_publishing_goes_on_after_a_cut(cut_off: RabbitBroker, proxy: Proxy) -> None:
    assert await publish(cut_off, Outgoing(to=WORK, body=b"1")) is Published.CONFIRMED
    proxy.cut()
    results = [await publish(cut_off, Outgoing(to=WORK, body=b"2")) for _ in range(3)]
    assert results[-1] is Published.CONFIRMED


async def test_a_cut_leaves_every_publish_with_exactly_one_answer(
    cut_off: RabbitBroker, proxy: Proxy
) -> None:
    results: list[Published] = []
    for _ in range(500):
        cut_off.publish(Outgoing(to=WORK, body=b"1"), results.append)
    await asyncio.sleep(0.01)
    proxy.cut()
    await cut_off.close()
    assert len(results) == 500
    assert set(results) <= {Published.CONFIRMED, Published.UNKNOWN}


async def test_a_question_ends_when_the_connection_is_lost(
    cut_off: RabbitBroker, proxy: Proxy, carrier: RabbitCarrier
) -> None:
    basket = Basket()
    await (await carrier.connect()).consume(RequestsQueue(), basket, prefetch=1)
    question = asyncio.ensure_future(cut_off.request(RequestsQueue(), b"1", timeout_ms=60_000))
    await basket.filled(1)
    proxy.cut()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(UnavailableError):
            await question


async def test_nobody_there_is_unavailable_and_the_password_stays_hidden(
    namespace: Namespace,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        broker = RabbitBroker(f"amqp://me:s3cret@127.0.0.1:{port}/", namespace)
        with pytest.raises(UnavailableError) as caught:
            await broker.open()
    assert "s3cret" not in str(caught.value)
    assert f"127.0.0.1:{port}" in str(caught.value)


async def test_a_queue_of_another_type_is_refused_with_a_remedy(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    await carrier.connect()
    other = RabbitBroker(amqp_url, namespace, queue_type=QueueType.QUORUM)
    with pytest.raises(MisconfiguredError, match="queue type"):
        await other.open()
    await other.close()


async def test_a_quorum_queue_gives_up_a_poisonous_message_with_a_reason(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = RabbitBroker(amqp_url, namespace, queue_type=QueueType.QUORUM)
    await broker.open()
    dead = Basket()
    await broker.consume(DeadQueue(), dead, prefetch=1)

    def refuse(batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            delivery.give_back()

    await broker.consume(WORK, refuse, prefetch=1)
    assert await publish(broker, Outgoing(to=WORK, body=b"poison")) is Published.CONFIRMED
    [delivery] = await dead.filled(1)
    assert (delivery.body, delivery.reason) == (b"poison", "delivery_limit")
    await broker.close()


async def test_a_request_under_an_unknown_key_is_a_dead_letter(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = await carrier.connect()
    basket = Basket()
    await broker.consume(DeadQueue(), basket, prefetch=1)
    async with await aiormq.connect(amqp_url) as foreign:
        channel = await foreign.channel()
        await channel.basic_publish(
            b"what?", exchange=names.requests_exchange(namespace), routing_key="dance"
        )
    [delivery] = await basket.filled(1)
    assert (delivery.body, delivery.reason) == (b"what?", None)


async def test_a_request_of_any_client_arrives_without_headers_and_properties(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = await carrier.connect()
    basket = Basket()
    await broker.consume(RequestsQueue(), basket, prefetch=1)
    async with await aiormq.connect(amqp_url) as foreign:
        channel = await foreign.channel()
        await channel.basic_publish(
            b"{}", exchange=names.requests_exchange(namespace), routing_key="start"
        )
    [delivery] = await basket.filled(1)
    assert (delivery.reply_to, delivery.correlation_id, delivery.reason) == (None, None, None)


async def test_a_reason_that_quotes_a_novel_reaches_the_dead_queue(carrier: RabbitCarrier) -> None:
    """Headers must fit into one frame; one that did not would close the connection."""
    broker, basket = await carrier.connect(), Basket()
    await broker.consume(DeadQueue(), basket, prefetch=1)
    novel = "é" * 500_000
    broker.publish(Outgoing(to=DeadQueue(), body=b"?", reason=novel))
    [delivery] = await basket.filled(1)
    assert delivery.reason
    assert novel.startswith(delivery.reason)
    delivery.ack()
