"""One engine on the memory adapters for the tests of workers."""

from __future__ import annotations

import pytest

from tests.unit.memory_engine import Engine, engine

__all__ = ["bare", "engine"]


@pytest.fixture
async def bare(engine: Engine) -> Engine:
    """An engine whose queues nobody reads yet."""
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    return engine
