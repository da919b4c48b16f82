"""What has to exist in RabbitMQ, made before it is used and made again when it was lost.

One control channel, one act at a time. The first act on a new connection declares everything this
process relies on: a broker that comes back without its data is whole again before anybody consumes
or publishes. Queues that were missing then are told to the owner, who has work repeated for them.
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
from pamqp import commands

from orchestrator.adapters.rabbitmq import names, topology
from orchestrator.adapters.rabbitmq.connection import LOST, Link
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace
from orchestrator.limits import CONNECT_TIMEOUT_MS, QUEUES_REMEMBERED_MAX
from orchestrator.ports.broker import OnMade, Queue, StickyQueue


class Declarer:
    """Makes, looks at and deletes queues. Errors are put in our words, each act ends within 5 s."""

    def __init__(
        self,
        link: Link,
        namespace: Namespace,
        queue_type: topology.QueueType,
        on_made: OnMade | None,
    ) -> None:
        self._link = link
        self._namespace = namespace
        self._queue_type = queue_type
        self._on_made = on_made
        self._channel: Channel | None = None
        self._connection_seen = 0
        self._only_looks = False
        self._known: dict[Queue, None] = {}
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Make exchanges and shared queues, and all queues that this process has declared."""
        async with self._acting():
            await self._control()

    async def restore(self) -> None:
        """Look through everything again, on whatever connection there is."""
        async with self._acting():
            self._connection_seen = 0
            await self._control()

    async def declare(self, *queues: Queue) -> list[Queue]:
        """Make queues and their bindings; those that did not exist before are returned."""
        async with self._acting():
            await self._control()
            for queue in queues:
                self._remember(queue)
            return [queue for queue in queues if await self._make_missing(queue)]

    async def rely_on(self, queue: Queue) -> None:
        """Make a queue that is about to be consumed; the owner is told when it was missing."""
        made = await self.declare(queue)
        self._tell(made)

    async def delete(self, queue: Queue) -> None:
        """Remove a queue with its messages; nothing when it is not there."""
        self._known.pop(queue, None)
        async with self._acting():
            channel = await self._control()
            await channel.queue_delete(names.queue_name(self._namespace, queue))

    async def look(self, queue: Queue) -> commands.Queue.DeclareOk | None:
        """Messages and consumers of a queue; None when it does not exist."""
        async with self._acting():
            return await self._look(queue)

    @asynccontextmanager
    async def _acting(self) -> AsyncGenerator[None, None]:
        async with self._turn:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                    yield
            except MisconfiguredError:
                self._connection_seen = 0
                raise
            except LOST as error:
                self._connection_seen = 0  # Whatever was missing, the next act looks for it.
                raise _explained(error) from error

    async def _control(self) -> Channel:
        """The control channel, on a connection for which everything was declared."""
        channel = await self._raw_control()
        if self._connection_seen == self._link.connections:
            return channel
        # Marked as seen first: what follows needs the channel too, and must not begin anew.
        self._connection_seen = self._link.connections
        for exchange in topology.exchanges(self._namespace):
            await self._make_exchange(exchange)
        for plan in topology.shared_queues(self._namespace, self._queue_type):
            await self._make_shared(plan)
        for queue in tuple(self._known):
            if await self._make_missing(queue):
                self._tell([queue])  # At once: what comes next may fail.
        return await self._raw_control()

    async def _raw_control(self) -> Channel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._link.channel(confirms=False)
        return self._channel

    async def _make_missing(self, queue: Queue) -> bool:
        """Make a queue; whether it was not there."""
        is_missing = await self._look(queue) is None
        plan = topology.queue_plan(self._namespace, queue, self._queue_type)
        if isinstance(queue, StickyQueue):
            await self._make(plan)
        else:
            await self._make_shared(plan)
        return is_missing

    async def _make_shared(self, plan: topology.QueuePlan) -> None:
        if not self._only_looks:
            try:
                await self._make(plan)
            except ChannelAccessRefused:
                self._only_looks = True
        if self._only_looks:
            channel = await self._raw_control()
            await _find(plan.name, channel.queue_declare(plan.name, passive=True))

    async def _make(self, plan: topology.QueuePlan) -> None:
        channel = await self._raw_control()
        await channel.queue_declare(plan.name, durable=True, arguments=dict(plan.arguments))
        for key in plan.keys:
            await channel.queue_bind(plan.name, plan.exchange, key)

    async def _make_exchange(self, plan: topology.ExchangePlan) -> None:
        channel = await self._raw_control()
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
            channel = await self._raw_control()
            await _find(plan.name, channel.exchange_declare(plan.name, passive=True))

    async def _look(self, queue: Queue) -> commands.Queue.DeclareOk | None:
        channel = await self._control()
        try:
            name = names.queue_name(self._namespace, queue)
            return await channel.queue_declare(name, passive=True)
        except ChannelNotFoundEntity:
            return None  # RabbitMQ closed the channel over it; the next call opens another.

    def _remember(self, queue: Queue) -> None:
        self._known.pop(queue, None)
        self._known[queue] = None
        if len(self._known) > QUEUES_REMEMBERED_MAX:
            del self._known[next(iter(self._known))]

    def _tell(self, made: Sequence[Queue]) -> None:
        if made and self._on_made is not None:
            asyncio.get_running_loop().call_soon(self._on_made, made)


async def _find(name: str, look: Awaitable[object]) -> None:
    """Least privileges: what is shared was declared before, and may only be looked at."""
    try:
        await look
    except ChannelNotFoundEntity:
        raise MisconfiguredError(
            f"RabbitMQ has no {name}, and this user may not make it: let a user who may run "
            "`orchestrator topology declare`, or import a definitions file that holds it"
        ) from None


def _explained(error: BaseException) -> UnavailableError | MisconfiguredError:
    if isinstance(error, ChannelPreconditionFailed):
        return MisconfiguredError(
            f"RabbitMQ holds a queue or exchange that differs from what is needed: {error}; "
            "delete it, or set the namespace's queue type to what is there"
        )
    if isinstance(error, ChannelAccessRefused):
        return MisconfiguredError(f"RabbitMQ refuses access: {error}; grant it to this user")
    return UnavailableError(f"RabbitMQ did not answer: {error or type(error).__name__}")
