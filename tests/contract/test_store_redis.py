"""What only the Redis store promises: opening, and keys that a person can read."""

from __future__ import annotations

import pytest

from orchestrator.adapters.redis.store import RedisStore
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace
from tests.contract.store_carriers import BEGIN_MS, RedisCarrier, start_of


async def test_a_process_with_another_shard_count_is_refused(
    redis_url: str, random_namespace: str
) -> None:
    namespace = Namespace(random_namespace)
    first = RedisStore(redis_url, namespace=namespace, shards=4)
    await first.open()
    await first.close()
    other = RedisStore(redis_url, namespace=namespace, shards=8)
    with pytest.raises(MisconfiguredError, match="shards 4"):
        await other.open()
    await other.close()


async def test_a_server_that_is_not_there_is_unavailable_and_its_password_stays_hidden() -> None:
    store = RedisStore("redis://:secret@127.0.0.1:1/0")
    with pytest.raises(UnavailableError) as raised:
        await store.open()
    assert "secret" not in str(raised.value)
    await store.close()


async def test_a_history_is_readable_in_plain_words(redis_url: str, random_namespace: str) -> None:
    carrier = RedisCarrier(redis_url, random_namespace)
    await carrier.store.open()
    await carrier.advance(0)
    await carrier.store.start(start_of())
    key = carrier.redis._keys.of_run("history", start_of().workflow_id, start_of().run.run_id)
    [(entry_id, fields)] = await carrier.redis._connection.client.xrange(key)
    assert entry_id == b"1-0"
    assert fields[b"type"] == b"WorkflowExecutionStarted"
    assert fields[b"time"] == b"2096-10-02T07:06:40.000Z"
    assert b'"workflow_type":"Order"' in fields[b"data"]
    assert BEGIN_MS == 4_000_000_000_000
    await carrier.store.close()


async def test_scripts_that_the_server_forgot_are_loaded_again(
    redis_url: str, random_namespace: str
) -> None:
    carrier = RedisCarrier(redis_url, random_namespace)
    await carrier.store.open()
    await carrier.store.start(start_of())
    await carrier.redis._connection.client.script_flush()
    again = await carrier.store.start(start_of())
    assert again.run_id == "run-1"
    await carrier.store.close()
