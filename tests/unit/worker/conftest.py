"""One engine on the memory adapters for the tests of workers, and workers with real activities."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.ports.broker import ActivityQueue
from tests.unit.memory_engine import Engine, engine
from tests.unit.worker.processes import Process
from tests.unit.worker.runners import Open, Runner

__all__ = ["bare", "engine"]


@pytest.fixture
async def bare(engine: Engine) -> Engine:
    """An engine whose queues nobody reads yet."""
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    return engine


@pytest.fixture
async def opened(engine: Engine) -> AsyncIterator[Open]:
    """Opens a worker with these activities in place of the engine's own taker of tasks."""
    for consumer in list(engine.broker._consumers):
        if isinstance(consumer.queue, ActivityQueue):
            await consumer.stop()
    runners: list[Runner] = []

    async def start(*activities: Callable[..., Any], **options: Any) -> Runner:
        runners.append(Runner(engine, *activities, **options))
        return await runners[-1].open()

    yield start
    for runner in runners:
        await runner.close()


@pytest.fixture
async def first(engine: Engine) -> AsyncIterator[Process]:
    """A worker whose activities end when the test says so."""
    for consumer in list(engine.broker._consumers):
        if isinstance(consumer.queue, ActivityQueue):
            await consumer.stop()
    made = Process(engine, "p1")
    await made.open()
    yield made
    made.tasks.abort()
    await made.tasks.drain()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2, thread_name_prefix="oven") as executor:
        yield executor
