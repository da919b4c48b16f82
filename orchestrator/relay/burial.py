"""Dead letters: what nobody can read or do goes to the dead queue with its reason, and only then
out of hand.

While the broker does not take a letter its delivery is kept, and the letter is published again once
a second: a delivery that is given back would be delivered, and fail, again at once. A dead queue
that is gone is made again.
"""

from __future__ import annotations

import asyncio

from orchestrator.exceptions import OrchestratorError
from orchestrator.limits import IDLE_POLL_MS
from orchestrator.ports.broker import Broker, DeadQueue, Delivery, Outgoing, Published
from orchestrator.ports.clock import Clock


async def bury(
    broker: Broker, clock: Clock, delivery: Delivery, reason: str, *, leaving: asyncio.Event
) -> bool:
    """Whether the dead queue has the message of `delivery`, which stays its caller's to settle;
    False when `leaving` is set before that."""
    letter = Outgoing(
        to=DeadQueue(),
        body=delivery.body,
        correlation_id=delivery.correlation_id,
        reason=reason,
    )
    while (outcome := await _published(broker, letter)) is not Published.CONFIRMED:
        if outcome is Published.UNROUTABLE:
            await _make_queue(broker)
        if not leaving.is_set():
            await clock.wait(leaving, timeout_ms=IDLE_POLL_MS)
        if leaving.is_set():
            return False
    return True


class Burials:
    """Owns a task for each delivery on its way to the dead queue; the consumer's prefetch bounds
    their number."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._leaving = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    def bury(self, delivery: Delivery, reason: str) -> None:
        """See to it that the delivery is acked once the dead queue has its message."""
        work = asyncio.get_running_loop().create_task(self._bury(delivery, reason), name="burial")
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    async def drain(self) -> None:
        """Wait for what is under way; what waits for the broker is given back."""
        self._leaving.set()
        while self._work:
            await asyncio.wait(self._work)

    def abort(self) -> None:
        """Cancel everything under way: it is delivered again, elsewhere."""
        for work in self._work:
            work.cancel()

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        is_buried = await bury(self._broker, self._clock, delivery, reason, leaving=self._leaving)
        if is_buried:
            delivery.ack()
        else:
            delivery.give_back()


async def _published(broker: Broker, letter: Outgoing) -> Published:
    outcome: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    broker.publish(letter, outcome.set_result)
    return await asyncio.shield(outcome)


async def _make_queue(broker: Broker) -> None:
    try:
        await broker.declare(DeadQueue())
    except OrchestratorError:
        pass  # The next try will tell: somebody who may make it can be on the way.
