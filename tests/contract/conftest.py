"""Each contract test of the store runs on every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.store_carriers import Carrier, MemoryCarrier, RedisCarrier


@pytest_asyncio.fixture(params=["memory", "redis"])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    """A fresh store on the test's clock; the invariant of inbox and row is checked at the end."""
    found: MemoryCarrier | RedisCarrier = MemoryCarrier()
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        found = RedisCarrier(url, request.getfixturevalue("random_namespace"))
        await found.log_in_as_worker()
    await found.store.open()
    await found.advance(0)
    yield found
    assert await found.broken() == []
    await found.close()
