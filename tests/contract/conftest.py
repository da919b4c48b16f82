"""Each contract test of the store runs on every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.contract.store_carriers import Carrier, MemoryCarrier


@pytest_asyncio.fixture
async def carrier() -> AsyncIterator[Carrier]:
    """A fresh store on the test's clock; the invariant of inbox and row is checked at the end."""
    memory = MemoryCarrier()
    await memory.store.open()
    yield memory
    assert await memory.broken() == []
    await memory.store.close()
