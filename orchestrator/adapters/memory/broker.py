"""The broker of one process: queues in memory that keep the promises of the port.

Connections (`MemoryBroker`) share a `MemoryExchange`, so that the "processes" of a test can be torn
down one by one: what a closed connection had in hand goes back to its queue, marked as redelivered.
Everything happens in turns of the event loop and in one fixed order; time is asked of `call_later`
alone, so that a test's virtual clock moves it. Nothing survives the exchange.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from orchestrator.exceptions import UnavailableError
from orchestrator.limits import STICKY_EXPIRES_MS, STICKY_TTL_MS
from orchestrator.ports import broker as port
from orchestrator.ports.broker import (
    Delivery,
    OnMade,
    Outgoing,
    Published,
    Queue,
    ReplyTo,
    StickyQueue,
)

Cancel: TypeAlias = Callable[[], None]
CallLater: TypeAlias = Callable[[int, Callable[[], None]], Cancel]
"""Call back in so many milliseconds, unless the returned function is called before."""
OnBatch: TypeAlias = Callable[[Sequence[Delivery]], None]
_Value = TypeVar("_Value")


def call_later_on_loop(delay_ms: int, callback: Callable[[], None]) -> Cancel:
    """The `CallLater` of real time: the running event loop's own."""
    return asyncio.get_running_loop().call_later(delay_ms / 1000, callback).cancel


class _Message:
    """A message in a queue or in a consumer's hand."""

    def __init__(self, outgoing: Outgoing, number: int) -> None:
        self.outgoing = outgoing
        self.number = number
        self.redelivered = False
        self.overdue = False
        self.cancel_expiry: Cancel = _nothing


class _Queue:
    """Messages that wait, in the order of their publishing, and who takes them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.consumers: list[MemoryConsumer] = []
        self.waiting: dict[int, _Message] = {}
        self.cancel_expiry: Cancel = _nothing
        self._order: list[int] = []

    def put(self, message: _Message) -> None:
        """Add `message` at the place that its number gives it."""
        self.waiting[message.number] = message
        heapq.heappush(self._order, message.number)

    def take(self) -> _Message | None:
        """Remove and return the oldest message, if any."""
        while self._order:
            message = self.waiting.pop(heapq.heappop(self._order), None)
            if message is not None:
                return message
        return None

    def next_consumer(self) -> MemoryConsumer | None:
        """The next consumer with a free hand, in turns; None when all are busy."""
        for _ in range(len(self.consumers)):
            consumer = self.consumers.pop(0)
            self.consumers.append(consumer)
            if len(consumer.in_hand) < consumer.prefetch:
                return consumer
        return None


class MemoryExchange:
    """What the connections of one memory share: the queues, and the turn in which things happen.

    Bound to the event loop on which it is first used.
    """

    def __init__(self, *, call_later: CallLater = call_later_on_loop) -> None:
        self.call_later = call_later
        self.waiting_answers: dict[tuple[str, str | None], asyncio.Future[bytes]] = {}
        self._queues: dict[str, _Queue] = {}
        self._outbox: list[tuple[Outgoing, Callable[[Published], None] | None]] = []
        self._turn_planned = False
        self.numbers = itertools.count(1)

    def declare(self, queue: Queue) -> bool:
        """Make `queue` unless it is there; true when it was not. Renews a worker's own queue."""
        key = _key(queue)
        if is_new := key not in self._queues:
            self._queues[key] = _Queue(queue)
        self._expire_when_unused(self._queues[key])
        return is_new

    def delete(self, queue: Queue) -> None:
        """Drop `queue` with its messages, those in hand too; consumers get it back, empty."""
        if (found := self._queues.pop(_key(queue), None)) is None:
            return
        found.cancel_expiry()
        for message in found.waiting.values():
            message.cancel_expiry()
        for consumer in found.consumers:
            consumer.void()
            self.subscribe(consumer)

    def ready(self, queue: Queue) -> int | None:
        """How many messages wait in `queue`; None when it does not exist."""
        found = self._queues.get(_key(queue))
        return None if found is None else len(found.waiting)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way: nothing to route, to hand out, or in anybody's hand."""
        return (
            not self._outbox
            and not self._turn_planned
            and not any(
                consumer.in_hand for queue in self._queues.values() for consumer in queue.consumers
            )
        )

    def subscribe(self, consumer: MemoryConsumer) -> None:
        """Let `consumer` take part in its queue, which is made when it is not there."""
        if self.declare(consumer.queue) and consumer.on_made is not None:
            asyncio.get_running_loop().call_soon(consumer.on_made, [consumer.queue])
        found = self._queues[_key(consumer.queue)]
        found.consumers.append(consumer)
        self._expire_when_unused(found)
        self.plan_turn()

    def unsubscribe(self, consumer: MemoryConsumer) -> None:
        """Give `consumer` nothing more."""
        found = self._queues.get(_key(consumer.queue))
        if found is not None and consumer in found.consumers:
            found.consumers.remove(consumer)
            self._expire_when_unused(found)

    def post(self, message: Outgoing, done: Callable[[Published], None] | None) -> None:
        """Route `message` in the next turn, then call `done`."""
        self._outbox.append((message, done))
        self.plan_turn()

    def put_back(self, queue: Queue, message: _Message) -> None:
        """Return `message` to its old place in `queue`, or to where it goes when it is overdue."""
        message.redelivered = True
        found = self._queues.get(_key(queue))
        if found is None:
            message.cancel_expiry()
            return
        found.put(message)
        if message.overdue:
            self._expire(found, message)
        self.plan_turn()

    def plan_turn(self) -> None:
        """Have routing and delivering done in the next turn of the loop, once."""
        if not self._turn_planned:
            self._turn_planned = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        outbox, self._outbox = self._outbox, []
        for done, result in [(done, self._route(message)) for message, done in outbox]:
            if done is not None:
                _call(done, result)
        batches: dict[MemoryConsumer, list[Delivery]] = {}
        for queue in list(self._queues.values()):
            self._hand_out(queue, batches)
        for consumer, batch in batches.items():
            # An earlier callback may have closed this connection: its deliveries went back.
            if not all(isinstance(one, MemoryDelivery) and one.is_void for one in batch):
                _call(consumer.on_batch, batch)

    def _hand_out(self, queue: _Queue, batches: dict[MemoryConsumer, list[Delivery]]) -> None:
        while queue.waiting:
            consumer = queue.next_consumer()
            message = queue.take() if consumer is not None else None
            if consumer is None or message is None:
                return
            batches.setdefault(consumer, []).append(consumer.hand_over(message))

    def _route(self, message: Outgoing) -> Published:
        if isinstance(message.to, ReplyTo):
            answer = self.waiting_answers.get((message.to.address, message.correlation_id))
            if answer is not None and not answer.done():
                answer.set_result(message.body)
            return Published.CONFIRMED
        return Published.CONFIRMED if self._store(message.to, message) else Published.UNROUTABLE

    def _store(self, to: Queue, outgoing: Outgoing) -> bool:
        found = self._queues.get(_key(to))
        if found is None:
            return False
        message = _Message(outgoing, next(self.numbers))
        found.put(message)
        lifetimes_ms = [] if outgoing.expires_in_ms is None else [outgoing.expires_in_ms]
        if isinstance(to, StickyQueue):
            lifetimes_ms.append(STICKY_TTL_MS)
        if lifetimes_ms:
            message.cancel_expiry = self.call_later(
                min(lifetimes_ms), lambda: self._expire(found, message)
            )
        return True

    def _expire(self, queue: _Queue, message: _Message) -> None:
        """Drop `message`, or let it fall to the shared queue; one in hand only if it comes back."""
        message.overdue = True
        if queue.waiting.pop(message.number, None) is None:
            return
        if isinstance(queue.queue, StickyQueue):
            shared = port.WorkflowQueue(queue.queue.task_queue)
            self._store(shared, replace(message.outgoing, to=shared, expires_in_ms=None))
            self.plan_turn()

    def _expire_when_unused(self, queue: _Queue) -> None:
        queue.cancel_expiry()
        if isinstance(queue.queue, StickyQueue) and not queue.consumers:
            queue.cancel_expiry = self.call_later(
                STICKY_EXPIRES_MS, lambda: self.delete(queue.queue)
            )


class MemoryDelivery:
    """A message in a consumer's hand; void once it is acked, given back or its connection gone."""

    def __init__(self, consumer: MemoryConsumer, message: _Message) -> None:
        self._consumer = consumer
        self._message = message
        self.body = message.outgoing.body
        self.redelivered = message.redelivered
        self.reply_to = message.outgoing.reply_to
        self.correlation_id = message.outgoing.correlation_id
        self.reason = message.outgoing.reason

    @property
    def is_void(self) -> bool:
        """Whether acks and returns mean nothing any more."""
        return self not in self._consumer.in_hand

    def ack(self) -> None:
        """Forget the message."""
        if not self.is_void:
            del self._consumer.in_hand[self]
            self._message.cancel_expiry()
            self._consumer.exchange.plan_turn()

    def give_back(self) -> None:
        """Return the message to its queue, for anybody."""
        if not self.is_void:
            del self._consumer.in_hand[self]
            self._consumer.exchange.put_back(self._consumer.queue, self._message)


class MemoryConsumer:
    """A subscription; what it handed over and nobody finished is `in_hand`."""

    def __init__(
        self,
        exchange: MemoryExchange,
        queue: Queue,
        on_batch: OnBatch,
        *,
        prefetch: int,
        on_made: OnMade | None,
    ) -> None:
        self.exchange = exchange
        self.on_made = on_made
        self.queue = queue
        self.on_batch = on_batch
        self.prefetch = prefetch
        self.in_hand: dict[MemoryDelivery, None] = {}
        self.is_consuming = True

    async def stop(self) -> None:
        """Take nothing more; what is in hand stays there."""
        self.is_consuming = False
        self.exchange.unsubscribe(self)

    def hand_over(self, message: _Message) -> MemoryDelivery:
        """Make a delivery of `message`."""
        delivery = MemoryDelivery(self, message)
        self.in_hand[delivery] = None
        return delivery

    def give_all_back(self) -> None:
        """Return everything in hand to the queue."""
        for delivery in list(self.in_hand):
            delivery.give_back()

    def void(self) -> None:
        """Everything in hand is gone, with its queue."""
        self.in_hand.clear()


class MemoryBroker:
    """One connection to a `MemoryExchange`; implements `orchestrator.ports.broker.Broker`."""

    def __init__(
        self, exchange: MemoryExchange | None = None, *, on_made: OnMade | None = None
    ) -> None:
        self._exchange = MemoryExchange() if exchange is None else exchange
        self._on_made = on_made
        self._consumers: list[MemoryConsumer] = []
        self._address = f"memory.reply.{next(self._exchange.numbers)}"
        self._is_open = False

    @property
    def is_connected(self) -> bool:
        """Whether it is open."""
        return self._is_open

    async def open(self) -> None:
        """Connect, and make the queues of requests and of dead letters. May follow a close."""
        self._is_open = True
        self._exchange.declare(port.RequestsQueue())
        self._exchange.declare(port.DeadQueue())

    async def close(self) -> None:
        """End as a process does: what is in hand goes back, questions are given up."""
        self._is_open = False
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            self._exchange.unsubscribe(consumer)
        for consumer in consumers:
            consumer.give_all_back()
        for (address, _), answer in self._exchange.waiting_answers.items():
            if address == self._address and not answer.done():
                answer.set_exception(UnavailableError("the broker was closed before an answer"))

    def cut(self) -> None:
        """Lose the connection and get it back: what is in hand is void and comes again."""
        for consumer in self._consumers:
            consumer.give_all_back()

    async def declare(self, *queues: Queue) -> Sequence[Queue]:
        """Make queues; those that did not exist before are returned."""
        self._check_open()
        return [queue for queue in queues if self._exchange.declare(queue)]

    async def delete(self, queue: Queue) -> None:
        """Remove a queue with its messages."""
        self._check_open()
        self._exchange.delete(queue)

    def publish(self, message: Outgoing, done: Callable[[Published], None] | None = None) -> None:
        """Send in the next turn of the loop; UNKNOWN when closed."""
        if self._is_open:
            self._exchange.post(message, done)
        elif done is not None:
            asyncio.get_running_loop().call_soon(done, Published.UNKNOWN)

    async def consume(self, queue: Queue, on_batch: OnBatch, *, prefetch: int) -> MemoryConsumer:
        """Deliver messages of `queue`, which is made when it is not there."""
        self._check_open()
        consumer = MemoryConsumer(
            self._exchange, queue, on_batch, prefetch=prefetch, on_made=self._on_made
        )
        self._consumers.append(consumer)
        self._exchange.subscribe(consumer)
        return consumer

    async def ready(self, queue: Queue) -> int | None:
        """How many messages wait in `queue`; None when it does not exist."""
        self._check_open()
        return self._exchange.ready(queue)

    async def request(self, to: port.Destination, body: bytes, *, timeout_ms: int) -> bytes:
        """Publish and wait for the one answer.

        Raises:
            UnavailableError: no answer in time, or nobody listens.
        """
        self._check_open()
        answer = asyncio.Future[bytes]()
        address = (self._address, str(next(self._exchange.numbers)))

        def give_up(problem: str) -> None:
            if not answer.done():
                answer.set_exception(UnavailableError(problem))

        def published(result: Published) -> None:
            if result is not Published.CONFIRMED:
                give_up(f"nobody listens at {to}")

        self._exchange.waiting_answers[address] = answer
        cancel = self._exchange.call_later(
            timeout_ms, lambda: give_up(f"no answer from {to} within {timeout_ms} ms")
        )
        try:
            question = Outgoing(to=to, body=body, reply_to=address[0], correlation_id=address[1])
            self.publish(replace(question, expires_in_ms=timeout_ms), published)
            return await answer
        finally:
            cancel()
            del self._exchange.waiting_answers[address]

    def _check_open(self) -> None:
        if not self._is_open:
            raise UnavailableError("the client is closed, or was not opened")


def _nothing() -> None:
    """Cancel what was never planned."""


def _key(queue: Queue) -> str:
    match queue:
        case StickyQueue():
            return f"sticky.{queue.worker}"
        case port.RequestsQueue() | port.DeadQueue():
            return type(queue).__name__
        case _:
            return f"{type(queue).__name__}.{queue.task_queue}"


def _call(callback: Callable[[_Value], None], value: _Value) -> None:
    """Call back; an error is the callback's owner's and must not stop the others' turn."""
    try:
        callback(value)
    except Exception as error:  # the boundary to foreign callbacks
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"callback {callback!r} of the memory broker failed", "exception": error}
        )
