"""A process takes messages while its store answers, and leaves them to others while it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.ids import TaskQueue
from orchestrator.ports.broker import ActivityQueue, Delivery, Outgoing, WorkflowQueue
from orchestrator.relay.subscriptions import Subscription, Subscriptions
from orchestrator.telemetry.log import get_logger
from tests.unit.memory_engine import Engine, engine

__all__ = ["engine"]
FIRST, SECOND = WorkflowQueue(TaskQueue("q")), ActivityQueue(TaskQueue("q"))


class MoodyStore(MemoryStore):
    """A store that is away when the test says so."""

    answers = True

    @property
    def is_connected(self) -> bool:
        return self.answers


class Process:
    """Notes what it takes, and acks it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.taken: list[bytes] = []
        self.store = MoodyStore(now_ms=engine.clock.now_ms, random=Random(1))
        self.subscriptions = Subscriptions(
            self.store,
            engine.broker,
            engine.clock,
            [Subscription(FIRST, self.take, 10), Subscription(SECOND, self.take, 10)],
            log=get_logger("test"),
        )

    def take(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            self.taken.append(delivery.body)
            delivery.ack()

    async def second_passes(self) -> None:
        self.engine.clock.ms += 1_000
        await self.engine.settle()

    async def send(self) -> None:
        for queue in (FIRST, SECOND):
            self.engine.broker.publish(Outgoing(to=queue, body=b"!"))
        await self.engine.settle()


@pytest.fixture
async def process(engine: Engine) -> AsyncIterator[Process]:
    made = Process(engine)
    await made.subscriptions.begin()
    running = asyncio.create_task(made.subscriptions.run())
    yield made
    await made.subscriptions.stop()
    await running


async def test_messages_wait_for_others_while_the_store_is_away(process: Process) -> None:
    process.store.answers = False
    await process.second_passes()
    await process.send()
    assert process.taken == []
    assert not process.subscriptions.is_consuming
    process.store.answers = True
    await process.second_passes()
    assert process.taken == [b"!", b"!"]
    assert process.subscriptions.is_consuming


async def test_a_store_that_answers_changes_nothing(process: Process) -> None:
    await process.second_passes()
    await process.send()
    assert process.taken == [b"!", b"!"]


async def test_who_has_stopped_does_not_subscribe_again(process: Process) -> None:
    process.store.answers = False
    await process.second_passes()
    await process.subscriptions.stop()
    process.store.answers = True
    await process.second_passes()
    await process.send()
    assert process.taken == []


async def test_a_broker_that_is_away_too_is_asked_again(engine: Engine, process: Process) -> None:
    process.store.answers = False
    await process.second_passes()
    await engine.broker.close()
    process.store.answers = True
    await process.second_passes()
    assert not process.subscriptions.is_consuming
    await engine.broker.open()
    await process.second_passes()
    assert process.subscriptions.is_consuming
