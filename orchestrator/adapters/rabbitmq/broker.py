"""The broker's port on RabbitMQ: puts together connections, declarer, senders, consumers, asker.

Two connections, because RabbitMQ blocks those that publish while it is short of memory or disk, and
acks and declarations must go on meanwhile. Work, answers and questions have a channel each: what is
wrong with one message closes its channel and leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging

from aiormq import Channel

from orchestrator.adapters.rabbitmq import names, topology
from orchestrator.adapters.rabbitmq.connection import Link
from orchestrator.adapters.rabbitmq.consumer import OnBatch, RabbitConsumer
from orchestrator.adapters.rabbitmq.declarer import Declarer
from orchestrator.adapters.rabbitmq.reply import Asker
from orchestrator.adapters.rabbitmq.sender import Done, Sender
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace
from orchestrator.limits import CONSUMER_CHECK_MS
from orchestrator.ports.broker import Destination, OnMade, Outgoing, Queue, ReplyTo
from orchestrator.telemetry.metrics import Counters

_log = logging.getLogger(__name__)


class RabbitBroker:
    """A process's broker on RabbitMQ; implements `orchestrator.ports.broker.Broker`.

    Lives on the event loop on which it is opened. After `close` it stays closed.
    """

    def __init__(
        self,
        url: str,
        namespace: Namespace,
        *,
        queue_type: topology.QueueType = topology.QueueType.CLASSIC,
        name: str = "orchestrator",
        counters: Counters | None = None,
        on_made: OnMade | None = None,
    ) -> None:
        """Prepare a connection to `url`; `name` is shown in RabbitMQ's list of connections.

        `on_made` is told of queues that had to be made although this process relied on them: their
        messages are gone. `counters` gets `amqp_published`, `amqp_confirmed`, `amqp_delivered` and
        `amqp_acked` (frames).

        Raises:
            MisconfiguredError: the URL cannot be read.
        """
        self._namespace = namespace
        self._counters = Counters() if counters is None else counters
        self._consuming = Link(url, name=f"{name} consume")
        self._publishing = Link(url, name=f"{name} publish")
        self._declarer = Declarer(self._consuming, namespace, queue_type, on_made)
        self._work = Sender(self._publishing_channel, namespace, self._counters)
        self._answers = Sender(self._publishing_channel, namespace, self._counters)
        self._asker = Asker(self._publishing_channel, namespace, self._counters)
        self._publishing_seen = 0
        self._consumers: dict[RabbitConsumer, Queue] = {}
        self._watchdog: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the consuming connection is there; its consumers see to it that it comes back."""
        return self._consuming.is_connected

    async def open(self) -> None:
        """Connect, and declare exchanges and shared queues. A user who may not declare them finds
        them there, or is told what to do.

        Raises:
            UnavailableError: no answer within 5 s.
            MisconfiguredError: what is declared there differs from what we need, or is not there
                and may not be made by this user.
        """
        await self._declarer.open()
        if self._watchdog is None:
            self._watchdog = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Finish what is being published, write the last acks, disconnect. Never fails."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            await asyncio.wait([self._watchdog])
        await asyncio.gather(self._asker.close(), self._work.close(), self._answers.close())
        for consumer in self._consumers:
            await consumer.close()
        self._consumers.clear()
        await self._consuming.close()
        await self._publishing.close()

    async def declare(self, *queues: Queue) -> list[Queue]:
        """Make queues and their bindings; those that did not exist before are returned."""
        return await self._declarer.declare(*queues)

    async def delete(self, queue: Queue) -> None:
        """Remove a queue with its messages; nothing when it is not there."""
        await self._declarer.delete(queue)

    def publish(self, message: Outgoing, done: Done | None = None) -> None:
        """Send without waiting; see the port."""
        sender = self._answers if isinstance(message.to, ReplyTo) else self._work
        sender.send(message, done)

    async def consume(self, queue: Queue, on_batch: OnBatch, *, prefetch: int) -> RabbitConsumer:
        """Deliver messages of `queue`, which is made when it is not there, also again later."""

        async def open_channel() -> Channel:
            await self._declarer.rely_on(queue)
            return await self._consuming.channel(confirms=False)

        await self._forget_finished()
        consumer = RabbitConsumer(
            open_channel,
            names.queue_name(self._namespace, queue),
            on_batch,
            prefetch=prefetch,
            counters=self._counters,
        )
        await consumer.start()
        self._consumers[consumer] = queue
        return consumer

    async def ready(self, queue: Queue) -> int | None:
        """How many messages wait in `queue`; None when it does not exist."""
        found = await self._declarer.look(queue)
        return None if found is None else found.message_count

    async def request(self, to: Destination, body: bytes, *, timeout_ms: int) -> bytes:
        """Publish and wait for the one answer.

        Raises:
            UnavailableError: no answer in time, or nobody listens.
        """
        return await self._asker.ask(to, body, timeout_ms=timeout_ms)

    async def check_consumers(self) -> None:
        """Compare each consumer with what RabbitMQ knows of its queue; what is dead is restored.

        A subscription can die without a word, e.g. when its queue's leader is lost.
        """
        for consumer, queue in tuple(self._consumers.items()):
            found = await self._declarer.look(queue)
            messages, consumers = (
                (0, 0)
                if found is None
                else (
                    found.message_count or 0,
                    found.consumer_count or 0,
                )
            )
            consumer.check(messages=messages, consumers=consumers)

    async def _forget_finished(self) -> None:
        """Give up the channels of consumers that were stopped and have nothing in hand."""
        finished = [consumer for consumer in self._consumers if consumer.is_finished]
        for consumer in finished:
            # Whoever else subscribes just now may have met it before.
            if self._consumers.pop(consumer, None) is not None:
                await consumer.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CONSUMER_CHECK_MS / 1000)
            try:
                await self.check_consumers()
            except (UnavailableError, MisconfiguredError) as error:
                _log.warning("consumers_not_checked error=%s", error)

    async def _publishing_channel(self) -> Channel:
        """A channel to publish on. After the first one: exchanges may be gone with the last."""
        if self._publishing_seen:
            await self._declarer.restore()
        channel = await self._publishing.channel(confirms=True)
        self._publishing_seen = self._publishing.connections
        return channel
