"""The broker's port on RabbitMQ: puts together connections, topology, publisher, consumers, asker.

Two connections, because RabbitMQ blocks those that publish while it is short of memory or disk, and
acks and declarations must go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager

from aiormq import Channel
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from orchestrator.adapters.rabbitmq import names, topology
from orchestrator.adapters.rabbitmq.connection import LOST, Link
from orchestrator.adapters.rabbitmq.consumer import OnBatch, RabbitConsumer
from orchestrator.adapters.rabbitmq.publisher import Done, Publisher
from orchestrator.adapters.rabbitmq.reply import Asker
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace
from orchestrator.limits import CONNECT_TIMEOUT_MS
from orchestrator.ports.broker import Destination, Outgoing, Queue, StickyQueue


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
    ) -> None:
        """Prepare a connection to `url`; `name` is shown in RabbitMQ's list of connections."""
        self._namespace = namespace
        self._queue_type = queue_type
        self._consuming = Link(url, name=f"{name} consume")
        self._publishing = Link(url, name=f"{name} publish")
        self._publisher = Publisher(self._publishing, namespace)
        self._asker = Asker(self._publishing, namespace)
        self._consumers: list[RabbitConsumer] = []
        self._control: Channel | None = None
        self._controlling = asyncio.Lock()
        self._only_looks = False

    async def open(self) -> None:
        """Connect, and declare exchanges and shared queues. A user who may not declare them finds
        them there, or is told what to do.

        Raises:
            UnavailableError: no answer within 5 s.
            MisconfiguredError: what is declared there differs from what we need, or is not there
                and may not be made by this user.
        """
        async with self._control_turn():
            for exchange in topology.exchanges(self._namespace):
                await self._make_exchange(exchange)
            for plan in topology.shared_queues(self._namespace, self._queue_type):
                await self._make_shared(plan)

    async def close(self) -> None:
        """Finish what is being published, write the last acks, disconnect. Never fails."""
        self._asker.give_up()
        await self._publisher.close()
        for consumer in self._consumers:
            await consumer.close()
        self._consumers.clear()
        await self._consuming.close()
        await self._publishing.close()

    async def declare(self, *queues: Queue) -> Sequence[Queue]:
        """Make queues and their bindings; those that did not exist before are returned."""
        new: list[Queue] = []
        async with self._control_turn():
            for queue in queues:
                if await self._count(queue) is None:
                    new.append(queue)
                await self._make_queue(queue)
        return new

    async def delete(self, queue: Queue) -> None:
        """Remove a queue with its messages; nothing when it is not there."""
        async with self._control_turn():
            channel = await self._control_channel()
            await channel.queue_delete(names.queue_name(self._namespace, queue))

    def publish(self, message: Outgoing, done: Done | None = None) -> None:
        """Send without waiting; see the port."""
        self._publisher.publish(message, done)

    async def consume(self, queue: Queue, on_batch: OnBatch, *, prefetch: int) -> RabbitConsumer:
        """Deliver messages of `queue`, which is made when it is not there, also again later."""

        async def open_channel() -> Channel:
            await self.declare(queue)
            return await self._consuming.channel(confirms=False)

        consumer = RabbitConsumer(
            open_channel,
            names.queue_name(self._namespace, queue),
            on_batch,
            prefetch=prefetch,
        )
        await consumer.start()
        self._consumers.append(consumer)
        return consumer

    async def ready(self, queue: Queue) -> int | None:
        """How many messages wait in `queue`; None when it does not exist."""
        async with self._control_turn():
            return await self._count(queue)

    async def request(self, to: Destination, body: bytes, *, timeout_ms: int) -> bytes:
        """Publish and wait for the one answer.

        Raises:
            UnavailableError: no answer in time, or nobody listens.
        """
        return await self._asker.ask(to, body, timeout_ms=timeout_ms)

    def _plan(self, queue: Queue) -> topology.QueuePlan:
        return topology.queue_plan(self._namespace, queue, self._queue_type)

    @asynccontextmanager
    async def _control_turn(self) -> AsyncGenerator[None, None]:
        """One at a time on the control channel, with a bound, and errors put in our words."""
        async with self._controlling:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                    yield
            except LOST as error:
                raise _explained(error) from error

    async def _count(self, queue: Queue) -> int | None:
        channel = await self._control_channel()
        try:
            name = names.queue_name(self._namespace, queue)
            return (await channel.queue_declare(name, passive=True)).message_count
        except ChannelNotFoundEntity:
            return None  # RabbitMQ closed the channel over it; the next call opens another.

    async def _make_queue(self, queue: Queue) -> None:
        if isinstance(queue, StickyQueue):
            await self._make(self._plan(queue))
        else:
            await self._make_shared(self._plan(queue))

    async def _make_shared(self, plan: topology.QueuePlan) -> None:
        if not self._only_looks:
            try:
                await self._make(plan)
            except ChannelAccessRefused:
                self._only_looks = True
        if self._only_looks:
            channel = await self._control_channel()
            await self._look(plan.name, channel.queue_declare(plan.name, passive=True))

    async def _make(self, plan: topology.QueuePlan) -> None:
        channel = await self._control_channel()
        await channel.queue_declare(plan.name, durable=True, arguments=dict(plan.arguments))
        for key in plan.keys:
            await channel.queue_bind(plan.name, plan.exchange, key)

    async def _make_exchange(self, plan: topology.ExchangePlan) -> None:
        channel = await self._control_channel()
        if not self._only_looks:
            try:
                await channel.exchange_declare(
                    plan.name,
                    exchange_type=plan.type,
                    durable=True,
                    arguments=dict(plan.arguments),
                )
            except ChannelAccessRefused:
                self._only_looks = True
        if self._only_looks:
            channel = await self._control_channel()
            await self._look(plan.name, channel.exchange_declare(plan.name, passive=True))

    async def _look(self, name: str, look: Awaitable[object]) -> None:
        """Least privileges: what is shared was declared before, and may only be looked at."""
        try:
            await look
        except ChannelNotFoundEntity:
            raise MisconfiguredError(
                f"RabbitMQ has no {name}, and this user may not make it: let a user who may run "
                "`orchestrator topology declare`, or import a definitions file that holds it"
            ) from None

    async def _control_channel(self) -> Channel:
        if self._control is None or self._control.is_closed:
            self._control = await self._consuming.channel(confirms=False)
        return self._control


def _explained(error: BaseException) -> UnavailableError | MisconfiguredError:
    if isinstance(error, ChannelPreconditionFailed):
        return MisconfiguredError(
            f"RabbitMQ holds a queue or exchange that differs from what is needed: {error}; "
            "delete it, or set the namespace's queue type to what is there"
        )
    if isinstance(error, ChannelAccessRefused):
        return MisconfiguredError(f"RabbitMQ refuses access: {error}; grant it to this user")
    return UnavailableError(f"RabbitMQ did not answer: {error or type(error).__name__}")
