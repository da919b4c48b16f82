"""What a process takes from its queues, and that it takes nothing while it could not do it.

A process that has lost Redis alone would go on to be handed its share of the messages, and keep
each of them until it gives up: the others' work would pass through its hands and come to rest
there. So it is subscribed only while its store answers. What it has in hand when that ends is made
again from its row, for whoever is still subscribed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.limits import IDLE_POLL_MS
from orchestrator.ports.broker import Broker, Consumer, Delivery, Queue
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.telemetry.log import Logger


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue, who takes its messages, and how many may be in hand."""

    queue: Queue
    take: Callable[[Sequence[Delivery]], None]
    prefetch: int


class Subscriptions:
    """Keeps one process subscribed to its queues; see `run`."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        clock: Clock,
        wanted: Sequence[Subscription],
        *,
        log: Logger,
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._wanted = wanted
        self._log = log
        self._consumers: list[Consumer] = []
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def is_consuming(self) -> bool:
        """Whether deliveries of every queue can come now."""
        return len(self._consumers) == len(self._wanted) and all(
            consumer.is_consuming for consumer in self._consumers
        )

    async def begin(self) -> None:
        """Subscribe.

        Raises:
            UnavailableError: the broker does not answer.
            MisconfiguredError: a queue is there with other arguments.
        """
        async with self._turn:
            await self._subscribe()

    async def run(self) -> None:
        """Once a second, take nothing more if the store is away, and subscribe again if it is
        back; until `stop`."""
        while not self._stopping.is_set():
            await self._clock.wait(self._stopping, timeout_ms=IDLE_POLL_MS)
            async with self._turn:
                if not self._stopping.is_set():
                    await self._look()

    async def stop(self) -> None:
        """Take nothing more; what is in hand stays there. Ends `run`."""
        self._stopping.set()
        async with self._turn:
            await self._unsubscribe()

    async def _look(self) -> None:
        if self._consumers and not self._store.is_connected:
            await self._unsubscribe()
            self._log.warning("subscriptions_paused", reason="the store does not answer")
        elif not self._consumers and self._store.is_connected:
            try:
                await self._subscribe()
            except Exception as error:  # the boundary of the loop: it must find the broker again
                await self._unsubscribe()
                self._log.warning("subscriptions_wait", error=repr(error))
            else:
                self._log.info("subscriptions_resumed")

    async def _subscribe(self) -> None:
        for one in self._wanted:
            consumer = await self._broker.consume(one.queue, one.take, prefetch=one.prefetch)
            self._consumers.append(consumer)

    async def _unsubscribe(self) -> None:
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            try:
                await consumer.stop()
            except Exception as error:  # the boundary of one consumer: the others must end too
                self._log.warning("consumer_end_hindered", error=repr(error))
