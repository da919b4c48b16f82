"""The promises of `orchestrator.ports.broker`, kept by every carrier alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from orchestrator.exceptions import UnavailableError
from orchestrator.ids import TaskQueue, check_namespace
from orchestrator.limits import STICKY_TTL_MS
from orchestrator.ports.broker import (
    ActivityQueue,
    Broker,
    DeadQueue,
    Delivery,
    Outgoing,
    Published,
    Queue,
    ReplyTo,
    RequestsQueue,
    StickyQueue,
    WorkflowQueue,
)
from tests.contract.broker_carriers import PATIENCE_S, Basket, Carrier, MemoryCarrier, RabbitCarrier

WORK = WorkflowQueue(TaskQueue("orders"))
ACTIVITIES = ActivityQueue(TaskQueue("orders"))
STICKY = StickyQueue("host-1-abc", TaskQueue("orders"))


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.servers)])
async def carrier(request: pytest.FixtureRequest, random_namespace: str) -> AsyncIterator[Carrier]:
    carrier: Carrier = MemoryCarrier()
    if request.param == "rabbitmq":
        amqp_url = request.getfixturevalue("amqp_url")
        carrier = RabbitCarrier(amqp_url, check_namespace(random_namespace))
    yield carrier
    await carrier.close()


@pytest.fixture
async def broker(carrier: Carrier) -> Broker:
    return await carrier.connect()


async def send(broker: Broker, to: Queue, *bodies: bytes) -> list[Published]:
    """Publish `bodies` in one turn and wait for what became of them."""
    answers: list[asyncio.Future[Published]] = []
    for body in bodies:
        answer: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        broker.publish(Outgoing(to=to, body=body), answer.set_result)
        answers.append(answer)
    async with asyncio.timeout(PATIENCE_S):
        return list(await asyncio.gather(*answers))


async def test_a_published_message_is_confirmed_and_delivered_with_all_it_carries(
    broker: Broker,
) -> None:
    await broker.declare(WORK)
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    results: list[Published] = []
    broker.publish(
        Outgoing(to=WORK, body=b"hello", reply_to="there", correlation_id="7"), results.append
    )
    [delivery] = await basket.filled(1)
    assert (delivery.body, delivery.reply_to, delivery.correlation_id) == (b"hello", "there", "7")
    assert not delivery.redelivered
    assert delivery.reason is None
    delivery.ack()


async def test_every_publish_gets_exactly_one_answer(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(WORK)
    results: list[Published] = []
    for number in range(300):
        broker.publish(Outgoing(to=WORK, body=b"%d" % number), results.append)
    await send(broker, WORK, b"last")
    await carrier.be_quiet()
    assert results == [Published.CONFIRMED] * 300
    assert await broker.ready(WORK) == 301


async def test_an_empty_and_a_large_body_arrive_as_they_are(broker: Broker) -> None:
    await broker.declare(WORK)
    large = bytes(range(256)) * 4096
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    await send(broker, WORK, b"", large)
    await basket.filled(2)
    assert sorted(basket.bodies) == [b"", large]


async def test_callbacks_are_never_called_inside_of_publish(broker: Broker) -> None:
    await broker.declare(WORK)
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    results: list[Published] = []
    broker.publish(Outgoing(to=WORK, body=b"1"), results.append)
    broker.publish(Outgoing(to=STICKY, body=b"2"), results.append)
    assert results == []
    assert basket.deliveries == []


async def test_a_message_for_a_queue_that_is_gone_is_unroutable(broker: Broker) -> None:
    assert await send(broker, STICKY, b"1") == [Published.UNROUTABLE]
    await broker.declare(STICKY)
    assert await send(broker, STICKY, b"2") == [Published.CONFIRMED]
    await broker.delete(STICKY)
    assert await broker.ready(STICKY) is None
    assert await send(broker, STICKY, b"3") == [Published.UNROUTABLE]


async def test_unroutable_and_routable_messages_of_one_turn_are_told_apart(broker: Broker) -> None:
    await broker.declare(WORK)
    destinations: list[Queue] = [WORK, STICKY] * 10
    results = await asyncio.gather(*(send(broker, to, b"1") for to in destinations))
    assert results == [[Published.CONFIRMED], [Published.UNROUTABLE]] * 10


async def test_a_publish_after_the_close_has_an_unknown_outcome(carrier: Carrier) -> None:
    broker = await carrier.connect()
    await broker.declare(WORK)
    await broker.close()
    assert await send(broker, WORK, b"1") == [Published.UNKNOWN]


async def test_deliveries_come_in_batches(broker: Broker) -> None:
    await broker.declare(WORK)
    await send(broker, WORK, *(b"%d" % number for number in range(200)))
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=200)
    await basket.filled(200)
    assert len(basket.batches) < 100


async def test_no_more_than_prefetch_messages_are_in_hand(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(WORK)
    await send(broker, WORK, *(b"%d" % number for number in range(10)))
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=3)
    await basket.filled(3)
    await carrier.be_quiet()
    assert len(basket.deliveries) == 3
    assert await broker.ready(WORK) == 7
    basket.deliveries[0].ack()
    await basket.filled(4)
    await carrier.be_quiet()
    assert len(basket.deliveries) == 4


async def test_acks_in_any_order_forget_exactly_the_acked(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(WORK)
    await send(broker, WORK, *(b"%d" % number for number in range(6)))
    other = await carrier.connect()
    basket = Basket()
    await other.consume(WORK, basket, prefetch=10)
    deliveries = await basket.filled(6)
    for index in (5, 0, 3, 1):
        deliveries[index].ack()
    await other.close()
    again = Basket()
    await broker.consume(WORK, again, prefetch=10)
    await again.filled(2)
    await carrier.be_quiet()
    assert sorted(again.bodies) == [b"2", b"4"]


async def test_a_message_given_back_comes_again(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(WORK)
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=1)
    await send(broker, WORK, b"1")
    [delivery] = await basket.filled(1)
    delivery.give_back()
    again = (await basket.filled(2))[1]
    assert (again.body, again.redelivered) == (b"1", True)
    again.ack()
    again.ack()
    again.give_back()
    await carrier.be_quiet()
    assert len(basket.deliveries) == 2
    assert await broker.ready(WORK) == 0


async def test_what_a_closed_connection_had_in_hand_is_redelivered(
    carrier: Carrier, broker: Broker
) -> None:
    await broker.declare(WORK)
    await send(broker, WORK, b"1", b"2")
    other = await carrier.connect()
    lost = Basket()
    await other.consume(WORK, lost, prefetch=10)
    deliveries = await lost.filled(2)
    await other.close()
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    again = await basket.filled(2)
    assert sorted(basket.bodies) == [b"1", b"2"]
    assert all(delivery.redelivered for delivery in again)
    for void in deliveries:
        void.ack()
        void.give_back()
    await carrier.be_quiet()
    assert len(basket.deliveries) == 2


async def test_a_stopped_consumer_takes_nothing_more_but_keeps_what_is_in_hand(
    carrier: Carrier, broker: Broker
) -> None:
    await broker.declare(WORK)
    basket = Basket()
    consumer = await broker.consume(WORK, basket, prefetch=10)
    await send(broker, WORK, b"1")
    [delivery] = await basket.filled(1)
    await consumer.stop()
    await send(broker, WORK, b"2")
    await carrier.be_quiet()
    assert basket.bodies == [b"1"]
    assert await broker.ready(WORK) == 1
    delivery.ack()
    await carrier.be_quiet()
    assert await broker.ready(WORK) == 1


async def test_consumers_of_one_queue_share_its_messages(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(ACTIVITIES)
    left, right = Basket(), Basket()
    await broker.consume(ACTIVITIES, left, prefetch=2)
    await (await carrier.connect()).consume(ACTIVITIES, right, prefetch=2)
    await send(broker, ACTIVITIES, b"1", b"2", b"3", b"4")
    await left.filled(2)
    await right.filled(2)
    assert sorted(left.bodies + right.bodies) == [b"1", b"2", b"3", b"4"]


async def test_a_callback_that_raises_does_not_stop_the_consumer(broker: Broker) -> None:
    await broker.declare(WORK)
    basket = Basket()
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))

    def fail_once(batch: Sequence[Delivery]) -> None:
        basket(batch)
        if len(basket.batches) == 1:
            raise ValueError("not understood")

    await broker.consume(WORK, fail_once, prefetch=10)
    await send(broker, WORK, b"1")
    await basket.filled(1)
    await send(broker, WORK, b"2")
    await basket.filled(2)
    assert basket.bodies == [b"1", b"2"]
    assert len(errors) == 1


async def test_an_untaken_sticky_message_falls_to_the_shared_queue(
    carrier: Carrier, broker: Broker
) -> None:
    await broker.declare(WORK, STICKY)
    await send(broker, STICKY, b"1")
    assert (await broker.ready(STICKY), await broker.ready(WORK)) == (1, 0)
    await carrier.pass_time(STICKY_TTL_MS)
    assert (await broker.ready(STICKY), await broker.ready(WORK)) == (0, 1)
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=1)
    [delivery] = await basket.filled(1)
    assert (delivery.body, delivery.reason) == (b"1", None)


async def test_a_sticky_message_in_hand_does_not_fall_until_it_is_given_back(
    carrier: Carrier, broker: Broker
) -> None:
    await broker.declare(WORK, STICKY)
    basket = Basket()
    await broker.consume(STICKY, basket, prefetch=1)
    await send(broker, STICKY, b"1")
    [delivery] = await basket.filled(1)
    await carrier.pass_time(STICKY_TTL_MS)
    assert await broker.ready(WORK) == 0
    delivery.ack()


async def test_an_expired_message_is_dropped(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(WORK)
    broker.publish(Outgoing(to=WORK, body=b"1", expires_in_ms=200))
    await send(broker, WORK, b"2")
    await carrier.pass_time(200)
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    await basket.filled(1)
    await carrier.be_quiet()
    assert basket.bodies == [b"2"]
    assert await broker.ready(DeadQueue()) == 0


async def test_a_dead_letter_carries_its_reason(broker: Broker) -> None:
    basket = Basket()
    await broker.consume(DeadQueue(), basket, prefetch=1)
    broker.publish(Outgoing(to=DeadQueue(), body=b"\xff{", reason="not JSON"))
    [delivery] = await basket.filled(1)
    assert (delivery.body, delivery.reason) == (b"\xff{", "not JSON")
    delivery.ack()


async def test_the_shared_queues_are_there_after_open(broker: Broker) -> None:
    assert await send(broker, RequestsQueue(), b"1") == [Published.CONFIRMED]
    assert await broker.ready(RequestsQueue()) == 1
    assert await broker.ready(DeadQueue()) == 0


async def test_declare_returns_the_new_queues_only(carrier: Carrier, broker: Broker) -> None:
    assert await broker.declare(WORK, STICKY) == [WORK, STICKY]
    other = await carrier.connect()
    assert await other.declare(WORK, ACTIVITIES, STICKY) == [ACTIVITIES]
    assert await other.declare(WORK, ACTIVITIES) == []


async def test_ready_counts_what_waits(broker: Broker) -> None:
    assert await broker.ready(WORK) is None
    await broker.declare(WORK)
    await send(broker, WORK, b"1", b"2")
    assert await broker.ready(WORK) == 2


async def test_a_deleted_queue_comes_back_for_its_consumer(
    carrier: Carrier, broker: Broker
) -> None:
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    other = await carrier.connect()
    await other.delete(WORK)
    async with asyncio.timeout(PATIENCE_S):
        while await send(other, WORK, b"1") != [Published.CONFIRMED]:
            await carrier.be_quiet()
    await basket.filled(1)
    assert basket.bodies == [b"1"]


async def test_the_owner_is_told_of_queues_that_it_relied_on_and_that_were_not_there(
    carrier: Carrier,
) -> None:
    made: list[Queue] = []
    broker = await carrier.connect(on_made=made.extend)
    assert await broker.declare(WORK) == [WORK]
    basket = Basket()
    await broker.consume(WORK, basket, prefetch=10)
    await broker.consume(ACTIVITIES, basket, prefetch=10)
    await carrier.be_quiet()
    assert made == [ACTIVITIES]
    await (await carrier.connect()).delete(WORK)
    async with asyncio.timeout(PATIENCE_S):
        while made != [ACTIVITIES, WORK]:
            await carrier.be_quiet()


async def test_acks_of_the_last_moment_count(carrier: Carrier, broker: Broker) -> None:
    await broker.declare(WORK)
    await send(broker, WORK, *(b"%d" % number for number in range(200)))
    other = await carrier.connect()
    basket = Basket()
    await other.consume(WORK, basket, prefetch=200)
    for delivery in await basket.filled(200):
        delivery.ack()
    await other.close()
    await carrier.be_quiet()
    assert await broker.ready(WORK) == 0


async def test_hundreds_of_questions_at_once_get_their_own_answers(
    carrier: Carrier, broker: Broker
) -> None:
    server = await carrier.connect()

    def answer(batch: Sequence[Delivery]) -> None:
        for question in batch:
            assert question.reply_to is not None
            server.publish(
                Outgoing(
                    to=ReplyTo(question.reply_to),
                    body=question.body,
                    correlation_id=question.correlation_id,
                )
            )
            question.ack()

    await server.consume(RequestsQueue(), answer, prefetch=50)
    questions = [b"%d" % number for number in range(500)]
    answers = await asyncio.gather(
        *(broker.request(RequestsQueue(), body, timeout_ms=20_000) for body in questions)
    )
    assert answers == questions


async def test_deleting_a_queue_that_is_not_there_is_no_error(broker: Broker) -> None:
    await broker.delete(STICKY)


async def test_a_request_gets_its_own_answer(carrier: Carrier, broker: Broker) -> None:
    server = await carrier.connect()
    results: list[Published] = []

    def answer(batch: Sequence[Delivery]) -> None:
        for question in reversed(batch):
            assert question.reply_to is not None
            to = ReplyTo(question.reply_to)
            body = b"re: " + question.body
            server.publish(
                Outgoing(to=to, body=body, correlation_id=question.correlation_id), results.append
            )
            question.ack()

    await server.consume(RequestsQueue(), answer, prefetch=10)
    questions = [b"%d" % number for number in range(5)]
    answers = await asyncio.gather(
        *(broker.request(RequestsQueue(), body, timeout_ms=5_000) for body in questions)
    )
    assert answers == [b"re: " + body for body in questions]
    assert results == [Published.CONFIRMED] * 5


async def test_a_request_without_an_answer_in_time_is_unavailable(
    carrier: Carrier, broker: Broker
) -> None:
    question = asyncio.ensure_future(broker.request(RequestsQueue(), b"1", timeout_ms=100))
    await carrier.pass_time(100)
    with pytest.raises(UnavailableError):
        await question


async def test_a_request_that_nobody_listens_to_is_unavailable_at_once(broker: Broker) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(UnavailableError):
            await broker.request(STICKY, b"1", timeout_ms=60_000)


async def test_an_answer_that_nobody_waits_for_any_more_harms_nobody(
    carrier: Carrier, broker: Broker
) -> None:
    basket = Basket()
    server = await carrier.connect()
    await server.consume(RequestsQueue(), basket, prefetch=1)
    question = asyncio.ensure_future(broker.request(RequestsQueue(), b"1", timeout_ms=100))
    [delivery] = await basket.filled(1)
    await carrier.pass_time(100)
    with pytest.raises(UnavailableError):
        await question
    assert delivery.reply_to is not None
    server.publish(Outgoing(to=ReplyTo(delivery.reply_to), body=b"late", correlation_id="unknown"))
    await carrier.be_quiet()
    await broker.declare(WORK)
    assert await send(broker, WORK, b"2") == [Published.CONFIRMED]
