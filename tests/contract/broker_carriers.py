"""What the broker's contract is tested on: each carrier makes connections and lets time pass."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Protocol

import aiormq

from orchestrator.adapters.memory.broker import MemoryBroker, MemoryExchange
from orchestrator.adapters.rabbitmq import definitions, topology
from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.ids import Namespace, TaskQueue
from orchestrator.ports.broker import Broker, Delivery, OnMade

PATIENCE_S = 5.0
TURNS_UNTIL_QUIET = 10
QUIET_S = 0.2
EXPIRY_LAG_S = 0.3


class ManualTime:
    """Time that moves when told to; its `call_later` goes into a `MemoryExchange`."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._made = 0
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        self._made += 1
        number = self._made
        heapq.heappush(self._waiting, (self._now_ms + delay_ms, number, callback))
        return lambda: self._cancelled.add(number)

    def advance(self, ms: int) -> None:
        until_ms = self._now_ms + ms
        while self._waiting and self._waiting[0][0] <= until_ms:
            self._now_ms, number, callback = heapq.heappop(self._waiting)
            if number not in self._cancelled:
                callback()
        self._now_ms = until_ms


class Carrier(Protocol):
    """A broker, its connections and its time, in a namespace of its own."""

    async def connect(self, on_made: OnMade | None = None) -> Broker:
        """A further opened connection; `close` closes those that are still open."""
        ...

    async def pass_time(self, ms: int) -> None:
        """Let `ms` pass, and what is due happen."""
        ...

    async def be_quiet(self) -> None:
        """Wait until everything that is on its way has surely arrived."""
        ...

    async def close(self) -> None:
        """Close the connections and leave nothing behind."""
        ...


class MemoryCarrier:
    """Memory, with a virtual clock."""

    def __init__(self) -> None:
        self._time = ManualTime()
        self._exchange = MemoryExchange(call_later=self._time.call_later)
        self._brokers: list[MemoryBroker] = []

    async def connect(self, on_made: OnMade | None = None) -> Broker:
        broker = MemoryBroker(self._exchange, on_made=on_made)
        await broker.open()
        self._brokers.append(broker)
        return broker

    async def pass_time(self, ms: int) -> None:
        await self.be_quiet()
        self._time.advance(ms)
        await self.be_quiet()

    async def be_quiet(self) -> None:
        for _ in range(TURNS_UNTIL_QUIET):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for broker in self._brokers:
            await broker.close()


class Basket:
    """An `on_batch` that keeps what it gets."""

    def __init__(self) -> None:
        self.batches: list[list[Delivery]] = []
        self._came = asyncio.Event()

    @property
    def deliveries(self) -> list[Delivery]:
        """All of them, in order."""
        return [delivery for batch in self.batches for delivery in batch]

    @property
    def bodies(self) -> list[bytes]:
        """The bodies of all deliveries, in order."""
        return [delivery.body for delivery in self.deliveries]

    def __call__(self, batch: Sequence[Delivery]) -> None:
        self.batches.append(list(batch))
        self._came.set()

    async def filled(self, count: int) -> list[Delivery]:
        """All deliveries, once there are at least `count`."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.deliveries) < count:
                self._came.clear()
                await self._came.wait()
        return self.deliveries

    async def holding(self, *bodies: bytes) -> None:
        """Wait until each of `bodies` has come."""
        async with asyncio.timeout(PATIENCE_S):
            while set(bodies) - set(self.bodies):
                self._came.clear()
                await self._came.wait()


class RabbitCarrier:
    """RabbitMQ, in real time."""

    def __init__(self, url: str, namespace: Namespace) -> None:
        self._url = url
        self._namespace = namespace
        self._brokers: list[RabbitBroker] = []

    async def connect(self, on_made: OnMade | None = None) -> Broker:
        broker = RabbitBroker(self._url, self._namespace, on_made=on_made)
        await broker.open()
        self._brokers.append(broker)
        return broker

    async def pass_time(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000 + EXPIRY_LAG_S)

    async def be_quiet(self) -> None:
        await asyncio.sleep(QUIET_S)

    async def close(self) -> None:
        for broker in self._brokers:
            await broker.close()
        connection = await aiormq.connect(self._url)
        channel = await connection.channel()
        declared = definitions.declarations(
            self._namespace, [TaskQueue("orders")], topology.QueueType.CLASSIC
        )
        for queue in declared["queues"]:
            await channel.queue_delete(str(queue["name"]))
        for exchange in declared["exchanges"]:
            await channel.exchange_delete(str(exchange["name"]))
        await connection.close()
