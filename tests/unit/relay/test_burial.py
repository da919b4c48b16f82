"""What nobody can read leaves the hand only when the dead queue has it, and never loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from orchestrator.ports.broker import DeadQueue, Delivery, Outgoing, RequestsQueue
from orchestrator.relay.burial import Burials
from tests.unit.memory_engine import Engine, engine

__all__ = ["engine"]


class Undertaker:
    """Buries whatever comes, and counts it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.taken = 0
        self.burials = Burials(engine.broker, engine.clock)

    def take(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            self.taken += 1
            self.burials.bury(delivery, "no JSON")

    async def dead(self) -> int | None:
        return await self.engine.broker.ready(DeadQueue())


@pytest.fixture
async def undertaker(engine: Engine) -> AsyncIterator[Undertaker]:
    made = Undertaker(engine)
    await engine.broker.consume(RequestsQueue(), made.take, prefetch=10)
    yield made
    await made.burials.drain()


async def send(engine: Engine) -> None:
    engine.broker.publish(Outgoing(to=RequestsQueue(), body=b"?"))
    await engine.settle()


async def test_a_dead_letter_goes_to_the_dead_queue(undertaker: Undertaker) -> None:
    await send(undertaker.engine)
    assert (undertaker.taken, await undertaker.dead()) == (1, 1)


async def test_a_dead_queue_that_is_gone_is_made_again_and_the_letter_tried_once_a_second(
    engine: Engine, undertaker: Undertaker
) -> None:
    await engine.broker.delete(DeadQueue())
    await send(engine)
    assert undertaker.taken == 1
    engine.clock.ms += 1_000
    await engine.settle()
    assert (undertaker.taken, await undertaker.dead()) == (1, 1)


async def test_who_leaves_gives_back_what_is_not_buried(
    engine: Engine, undertaker: Undertaker
) -> None:
    await engine.broker.delete(DeadQueue())
    (consumer,) = (one for one in engine.broker._consumers if one.queue == RequestsQueue())
    await send(engine)
    await consumer.stop()
    await undertaker.burials.drain()
    assert await engine.broker.ready(RequestsQueue()) == 1
