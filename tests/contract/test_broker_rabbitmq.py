"""What only RabbitMQ can do to us: lost connections, foreign senders, queues that differ."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence

import aiormq
import pytest

from orchestrator.adapters.rabbitmq import connection, names, sender
from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.adapters.rabbitmq.topology import QueueType
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace, TaskQueue, check_namespace
from orchestrator.ports.broker import (
    ActivityQueue,
    Broker,
    Consumer,
    DeadQueue,
    Delivery,
    Outgoing,
    Published,
    Queue,
    RequestsQueue,
    StickyQueue,
    WorkflowQueue,
)
from orchestrator.telemetry.metrics import Counters
from orchestrator.testing.servers import RabbitMQ, Servers
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


async def publish(broker: Broker, message: Outgoing) -> Published:
    answer: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    broker.publish(message, answer.set_result)
    async with asyncio.timeout(PATIENCE_S):
        return await answer


async def until_confirmed(broker: Broker, message: Outgoing) -> None:
    """Publish again and again, as those do whose outcome is unknown."""
    async with asyncio.timeout(30):
        while await publish(broker, message) is not Published.CONFIRMED:
            pass


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
    assert delivery.body == b"what?"
    assert delivery.reason is not None
    assert "no queue for routing key 'dance'" in delivery.reason


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


async def test_a_vanished_exchange_is_made_again_and_what_was_in_flight_is_unknown(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = await carrier.connect()
    await broker.declare(WORK)
    assert await publish(broker, Outgoing(to=WORK, body=b"1")) is Published.CONFIRMED
    async with aiormq.connect(amqp_url) as foreign:
        await (await foreign.channel()).exchange_delete(names.tasks_exchange(namespace))
    assert await publish(broker, Outgoing(to=WORK, body=b"2")) is Published.UNKNOWN
    assert await publish(broker, Outgoing(to=WORK, body=b"3")) is Published.CONFIRMED


async def test_a_message_that_rabbitmq_refuses_has_an_unknown_outcome(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = await carrier.connect()
    await broker.declare(WORK)
    async with aiormq.connect(amqp_url) as foreign:
        channel = await foreign.channel()
        full = await channel.queue_declare(
            exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        key = names.routing_key(WORK)
        await channel.queue_bind(str(full.queue), names.tasks_exchange(namespace), key)
        results = [await publish(broker, Outgoing(to=WORK, body=b"1")) for _ in range(3)]
    assert Published.UNKNOWN in results
    assert await publish(broker, Outgoing(to=WORK, body=b"2")) is Published.CONFIRMED


async def test_a_consumer_that_rabbitmq_forgot_is_subscribed_again(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = RabbitBroker(amqp_url, namespace)
    await broker.open()
    basket = Basket()
    consumer = await broker.consume(WORK, basket, prefetch=10)
    await broker.check_consumers()
    assert consumer._hand is not None
    assert consumer._consumer_tag is not None
    await consumer._hand.channel.basic_cancel(consumer._consumer_tag)
    await publish(broker, Outgoing(to=WORK, body=b"1"))
    await broker.check_consumers()
    await basket.filled(1)
    await broker.close()


async def test_a_busy_and_a_full_consumer_are_left_alone(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    broker = RabbitBroker(amqp_url, namespace)
    await broker.open()
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=1)
    await publish(broker, Outgoing(to=WORK, body=b"1"))
    await publish(broker, Outgoing(to=WORK, body=b"2"))
    await basket.filled(1)
    for _ in range(3):
        await broker.check_consumers()
    await carrier.be_quiet()
    assert basket.bodies == [b"1"]
    await broker.close()


async def test_more_than_may_be_in_flight_follows(
    carrier: RabbitCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "PUBLISHES_IN_FLIGHT_MAX", 7)
    monkeypatch.setattr(sender, "PUBLISHES_BYTES_IN_FLIGHT_MAX", 4)
    broker = await carrier.connect()
    await broker.declare(WORK)
    bodies = [b"%d" % number for number in range(100)]
    results = await asyncio.gather(*(publish(broker, Outgoing(to=WORK, body=b)) for b in bodies))
    assert results == [Published.CONFIRMED] * 100
    assert await broker.ready(WORK) == 100


async def test_a_peer_that_reads_nothing_makes_outcomes_unknown_once_and_nothing_grows(
    cut_off: RabbitBroker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "PUBLISHES_IN_FLIGHT_MAX", 4)
    monkeypatch.setattr(sender, "CONFIRM_TIMEOUT_MS", 100)
    monkeypatch.setattr(sender, "PUBLISHES_SWEEP_MS", 20)
    assert await publish(cut_off, Outgoing(to=WORK, body=b"1")) is Published.CONFIRMED
    proxy.stall()
    results = await asyncio.gather(
        *(publish(cut_off, Outgoing(to=WORK, body=b"2")) for _ in range(10))
    )
    assert results == [Published.UNKNOWN] * 10
    proxy.flow()
    await until_confirmed(cut_off, Outgoing(to=WORK, body=b"3"))
    waiting = await cut_off.ready(WORK)
    assert waiting is not None
    assert waiting <= 7, "what waited behind the bound was never written"


async def test_while_rabbitmq_is_short_of_memory_publishes_wait_and_the_rest_goes_on(
    servers: Servers, carrier: RabbitCarrier, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(servers.rabbitmq, RabbitMQ):
        pytest.skip("the alarm is set by the command line of a server on this machine")
    monkeypatch.setattr(sender, "CONFIRM_TIMEOUT_MS", 300)
    monkeypatch.setattr(sender, "PUBLISHES_SWEEP_MS", 50)
    broker = await carrier.connect()
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    assert await publish(broker, Outgoing(to=WORK, body=b"1")) is Published.CONFIRMED
    [delivery] = await basket.filled(1)
    await set_alarm(servers.rabbitmq, is_on=True)
    try:
        assert await publish(broker, Outgoing(to=WORK, body=b"2")) is Published.UNKNOWN
        delivery.ack()
        assert await broker.declare(ActivityQueue(TaskQueue("orders"))) != []
        question = broker.request(RequestsQueue(), b"?", timeout_ms=300)
        with pytest.raises(UnavailableError):
            await question
    finally:
        await set_alarm(servers.rabbitmq, is_on=False)
    await basket.filled(2)
    assert await publish(broker, Outgoing(to=WORK, body=b"3")) is Published.CONFIRMED
    assert basket.bodies[:2] == [b"1", b"2"], "unknown does not mean that it was not sent"


async def set_alarm(server: RabbitMQ, *, is_on: bool) -> None:
    """Tell RabbitMQ that it is short of memory, or has enough again."""
    act = (
        "set_alarm({{resource_limit, memory, node()}, []})"
        if is_on
        else ("clear_alarm({resource_limit, memory, node()})")
    )
    environment = {
        **os.environ,
        **server._mapper.env,
        "HOME": str(server.directory / "home"),
        "RABBITMQ_NODENAME": server._node,
    }
    control = shutil.which("rabbitmqctl", path="/usr/lib/rabbitmq/bin:" + os.environ["PATH"])
    assert control is not None
    process = await asyncio.create_subprocess_exec(
        control, "eval", f"rabbit_alarm:{act}.", env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, output


async def test_a_broker_that_lost_all_its_data_is_whole_again_before_work_goes_on(
    servers: Servers, carrier: RabbitCarrier, namespace: Namespace
) -> None:
    if not isinstance(servers.rabbitmq, RabbitMQ):
        pytest.skip("a container that lost its data has another address")
    made: list[Queue] = []
    sticky = StickyQueue("host-1-abc", TaskQueue("orders"))
    broker = RabbitBroker(servers.rabbitmq.url, namespace, on_made=made.extend)
    await broker.open()
    basket = Basket()
    assert await broker.declare(WORK, sticky) == [WORK, sticky]
    await broker.consume(WORK, basket, prefetch=10)
    await broker.consume(sticky, basket, prefetch=10)
    servers.rabbitmq.wipe()
    lost = await publish(broker, Outgoing(to=WORK, body=b"0"))
    assert lost is Published.UNKNOWN
    servers.rabbitmq.start()
    await until_confirmed(broker, Outgoing(to=WORK, body=b"1"))
    await until_confirmed(broker, Outgoing(to=sticky, body=b"2"))
    await basket.holding(b"1", b"2")
    assert set(made) == {WORK, sticky}
    assert await publish(broker, Outgoing(to=DeadQueue(), body=b"3")) is Published.CONFIRMED
    await broker.close()


async def test_messages_and_frames_are_counted(
    carrier: RabbitCarrier, amqp_url: str, namespace: Namespace
) -> None:
    counters = Counters()
    broker = RabbitBroker(amqp_url, namespace, counters=counters)
    await broker.open()
    await broker.declare(WORK)
    await asyncio.gather(*(publish(broker, Outgoing(to=WORK, body=b"1")) for _ in range(100)))
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=100)
    for delivery in await basket.filled(100):
        delivery.ack()
    await broker.close()
    counts = counters.snapshot()
    assert (counts["amqp_published"], counts["amqp_confirmed"]) == (100, 100)
    assert counts["amqp_delivered"] == 100
    assert counts["amqp_acked"] < 100


@pytest.mark.parametrize("change", ["wrong password", "unknown virtual host"])
async def test_refused_credentials_are_told_as_such_and_stay_hidden(
    amqp_url: str, namespace: Namespace, change: str
) -> None:
    url = amqp_url.replace("guest:guest@", "guest:s3cret@")
    if change == "unknown virtual host":
        url = amqp_url + "elsewhere"
    broker = RabbitBroker(url, namespace)
    with pytest.raises(MisconfiguredError, match="refuses access") as caught:
        await broker.open()
    assert "s3cret" not in str(caught.value)
    await broker.close()


@pytest.mark.parametrize("url", ["amqp://me:s3/cret@host:5672/", "amqp://me:s3cret@host:x/", "s3"])
def test_an_unreadable_url_is_refused_without_a_word_of_it(url: str, namespace: Namespace) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        RabbitBroker(url, namespace)
    assert "s3" not in str(caught.value)


async def test_a_server_that_says_nothing_is_unavailable_in_time(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_MS", 50)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        broker = RabbitBroker(f"amqp://me:s3cret@127.0.0.1:{mute.getsockname()[1]}/", namespace)
        with pytest.raises(UnavailableError, match="within 50 ms") as caught:
            await broker.open()
        assert "s3cret" not in str(caught.value)
        await broker.close()


async def test_many_subscribe_again_at_once_after_they_had_all_stopped(
    cut_off: RabbitBroker,
) -> None:
    queues = [ActivityQueue(TaskQueue(f"q{number}")) for number in range(6)]
    baskets = [Basket() for _ in queues]

    async def subscribe() -> list[Consumer]:
        return list(
            await asyncio.gather(
                *(
                    cut_off.consume(queue, basket, prefetch=1)
                    for queue, basket in zip(queues, baskets, strict=True)
                )
            )
        )

    for _ in range(3):
        consumers = await subscribe()
        await asyncio.gather(*(consumer.stop() for consumer in consumers))
    await subscribe()
    assert len(cut_off._consumers) == len(queues)
    for queue, basket in zip(queues, baskets, strict=True):
        await publish(cut_off, Outgoing(to=queue, body=b"1"))
        await basket.filled(1)
