"""Large values in a real Redis, beside runs on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import redis.asyncio

from orchestrator.adapters.redis.acl import rules
from orchestrator.adapters.redis.keys import claim
from orchestrator.client import Client
from orchestrator.contrib.claim_check import ClaimCheckCodec, RedisDriver
from orchestrator.converter import DataConverter
from orchestrator.exceptions import ConversionError
from orchestrator.ids import Namespace
from orchestrator.limits import PAYLOAD_BYTES_MAX
from orchestrator.worker import Replayer, Worker
from tests.unit.converter.coded import QUEUE, Continuing

pytestmark = pytest.mark.servers

LARGE = "x" * (PAYLOAD_BYTES_MAX + 10)
KEY = "ab" * 32
DAY_MS = 24 * 3_600_000


@pytest.fixture
async def driver(redis_url: str, random_namespace: str) -> AsyncIterator[RedisDriver]:
    found = RedisDriver(redis_url, keep=timedelta(days=2), namespace=random_namespace)
    yield found
    await found.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as found:
        yield found


@pytest.fixture
def key(random_namespace: str) -> str:
    """Where the value named `KEY` is kept."""
    return claim(Namespace(random_namespace), KEY)


async def test_values_go_through_runs_and_their_replay(
    redis_url: str, amqp_url: str, random_namespace: str, driver: RedisDriver
) -> None:
    values = DataConverter(payload_codec=ClaimCheckCodec(driver))
    async with (
        await Client.connect(
            broker=amqp_url, store=redis_url, namespace=random_namespace, data_converter=values
        ) as client,
        Worker(client, task_queue=QUEUE, workflows=[Continuing]),
    ):
        handle = await client.start_workflow(
            Continuing.run, args=[LARGE, 1], id="l", task_queue=QUEUE, memo={"word": "note"}
        )
        assert await handle.result() == f"{LARGE} and note"
        history = await client.get_workflow_handle("l").fetch_history()
    assert len(history.to_json()) < 20_000
    await Replayer(workflows=[Continuing], data_converter=values).replay_workflow(history)


async def test_what_is_stored_or_read_again_lives_on(
    driver: RedisDriver, server: redis.asyncio.Redis, key: str
) -> None:
    await driver.store(KEY, b"value")
    assert await server.pttl(key) > DAY_MS
    for act in (driver.store(KEY, b"value"), driver.retrieve(KEY)):
        await server.pexpire(key, DAY_MS)
        await act
        assert await server.pttl(key) > DAY_MS


async def test_nobody_brings_an_end_nearer(
    driver: RedisDriver,
    server: redis.asyncio.Redis,
    key: str,
    redis_url: str,
    random_namespace: str,
) -> None:
    await driver.store(KEY, b"value")
    other = RedisDriver(redis_url, keep=timedelta(hours=1), namespace=random_namespace)
    await other.store(KEY, b"value")
    assert await other.retrieve(KEY) == b"value"
    await other.close()
    assert await server.pttl(key) > DAY_MS


async def test_many_may_begin_at_once(driver: RedisDriver) -> None:
    await asyncio.gather(*(driver.store(KEY, b"value") for _ in range(20)))
    assert await driver.retrieve(KEY) == b"value"


async def test_it_connects_again_after_its_end(driver: RedisDriver) -> None:
    await driver.store(KEY, b"value")
    await driver.close()
    assert await driver.retrieve(KEY) == b"value"


async def test_what_is_gone_is_said(driver: RedisDriver, server: redis.asyncio.Redis) -> None:
    await driver.store(KEY, b"value")
    await driver.delete(KEY)
    await driver.delete(KEY)
    with pytest.raises(KeyError):
        await driver.retrieve(KEY)
    values = DataConverter(payload_codec=ClaimCheckCodec(driver))
    (payload,) = await values.encode([LARGE])
    await driver.delete(payload.metadata["claim-key"])
    with pytest.raises(ConversionError, match="keep values for longer than runs"):
        await values.decode([payload])


@pytest.mark.parametrize("user", ["worker", "client"])
async def test_users_of_workers_and_clients_may(
    user: str, server: redis.asyncio.Redis, redis_url: str, random_namespace: str
) -> None:
    name = f"{user}-{random_namespace}"
    granted = rules(user, Namespace(random_namespace))
    await server.execute_command("ACL", "SETUSER", name, "on", ">secret", *granted)
    url = redis_url.replace("redis://", f"redis://{name}:secret@")
    driver = RedisDriver(url, keep=timedelta(days=1), namespace=random_namespace)
    await driver.store(KEY, b"value")
    assert await driver.retrieve(KEY) == b"value"
    await driver.delete(KEY)
    await driver.close()
    await server.execute_command("ACL", "DELUSER", name)
