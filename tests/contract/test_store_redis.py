"""What only the Redis store promises: opening, and keys that a person can read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from orchestrator.adapters.redis.store import RedisStore
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import ActivityKey, EventId, Namespace, ProcessName, RunId, ShardId
from orchestrator.ports.store import Appended, Started
from orchestrator.telemetry.metrics import Counters
from orchestrator.testing.servers import Servers
from tests.contract.broker_proxy import Proxy
from tests.contract.store_carriers import (
    BEGIN_MS,
    RedisCarrier,
    W,
    activity,
    commit_of,
    signal,
    start_of,
    sync,
)

pytestmark = pytest.mark.servers
ME = ProcessName("host-1-abc")


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that changes the server's settings; each test puts them back."""
    client = redis.asyncio.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def store(redis_url: str, random_namespace: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url, namespace=Namespace(random_namespace))
    await store.open()
    yield store
    await store.close()


async def until_started(store: RedisStore) -> Started:
    """Start until the server answers, as a client does."""
    async with asyncio.timeout(20):
        while True:
            try:
                started = await store.start(start_of())
                assert isinstance(started, Started)
                return started
            except UnavailableError:
                await asyncio.sleep(0.05)


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
    [(entry_id, fields)] = await carrier.client.xrange(key)
    assert entry_id == b"1-0"
    assert fields[b"type"] == b"WorkflowExecutionStarted"
    assert fields[b"time"] == b"2096-10-02T07:06:40.000Z"
    assert b'"workflow_type":"Order"' in fields[b"data"]
    assert BEGIN_MS == 4_000_000_000_000
    await carrier.close()


async def test_scripts_that_the_server_forgot_are_loaded_again(
    redis_url: str, random_namespace: str
) -> None:
    carrier = RedisCarrier(redis_url, random_namespace)
    await carrier.store.open()
    await carrier.store.start(start_of())
    await carrier.client.script_flush()
    again = await carrier.store.start(start_of())
    assert again.run_id == "run-1"
    await carrier.close()


async def test_scripts_of_one_turn_are_one_write(store: RedisStore) -> None:
    counters = store._connection.counters
    await store.start(start_of())
    before = counters.snapshot()
    answers = await asyncio.gather(*(store.append(signal()) for _ in range(50)))
    after = counters.snapshot()
    assert sorted(a.number for a in answers if isinstance(a, Appended)) == list(range(2, 52))
    assert after["redis_scripts"] - before["redis_scripts"] == 50
    assert after["redis_writes"] - before["redis_writes"] == 1
    assert after.get("redis_reads", 0) == before.get("redis_reads", 0)


async def test_an_idle_process_writes_once_a_round_and_changes_no_shard(
    store: RedisStore, admin: redis.asyncio.Redis
) -> None:
    counters = store._connection.counters
    shards = [ShardId(shard) for shard in range(store.shards)]
    writes, changes = counters.value("redis_writes"), await changes_of(admin)
    await asyncio.gather(store.join(ME), store.due(shards, limit=10), store.announce(ME))
    assert counters.value("redis_writes") - writes == 1
    assert await changes_of(admin) - changes == 2, "only membership and sign of life are stored"


async def changes_of(admin: redis.asyncio.Redis) -> int:
    return int((await admin.info("persistence"))["rdb_changes_since_last_save"])


async def test_asking_for_a_sign_of_life_is_one_write(store: RedisStore) -> None:
    await store.listen(ME, lambda name: None)
    await store.announce(ME)
    before = store._connection.counters.value("redis_writes")
    assert await store.is_alive(ME)
    assert store._connection.counters.value("redis_writes") - before == 1


async def test_a_connection_that_hears_nothing_any_more_is_kept(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.adapters.redis.listener.UNLISTEN_AFTER_MS", 0)
    monkeypatch.setattr("orchestrator.adapters.redis.listener.LISTEN_PING_MS", 50)
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    watch = await store.watch(W, lambda: None)
    await watch.close()
    await asyncio.sleep(0.3)  # Redis is asked for signs of life, which it gives in other words.
    await (await store.watch(W, lambda: None)).close()
    assert problems == []


async def test_every_answer_of_a_script_tells_the_time(
    redis_url: str, random_namespace: str
) -> None:
    times: list[int] = []
    store = RedisStore(redis_url, namespace=Namespace(random_namespace), on_time=times.append)
    await store.open()
    started = await store.start(start_of())
    assert times == [started.now_ms]
    await store.close()


async def test_all_scripts_are_loaded_when_a_store_opens(
    store: RedisStore, admin: redis.asyncio.Redis
) -> None:
    hashes = [name for name, _ in store._connection.scripts]
    assert len(hashes) > 10
    assert all(await admin.script_exists(*hashes))


async def test_work_goes_on_by_itself_after_a_restart_which_is_told(
    servers: Servers, random_namespace: str
) -> None:
    told: list[str] = []
    store = RedisStore(
        servers.redis.url,
        namespace=Namespace(random_namespace),
        on_failover=lambda: told.append("failover"),
    )
    await store.open()
    await store.start(start_of())
    servers.redis.restart()
    assert not (await until_started(store)).new
    assert told == ["failover"]
    await store.close()


async def test_nobody_is_held_for_dead_while_a_server_has_just_come_back(
    servers: Servers, random_namespace: str
) -> None:
    store = RedisStore(servers.redis.url, namespace=Namespace(random_namespace), settling_ms=60_000)
    await store.open()
    servers.redis.restart()
    await until_started(store)
    with pytest.raises(UnavailableError, match="ask again"):
        await store.is_alive(ME)
    await store.announce(ME)
    assert await store.is_alive(ME), "it renewed its sign of life and will listen again"
    await store.close()


async def test_work_goes_on_after_a_cut_which_is_no_failover(
    proxy: Proxy, random_namespace: str
) -> None:
    told: list[str] = []
    store = RedisStore(
        proxy.url, namespace=Namespace(random_namespace), on_failover=lambda: told.append("f")
    )
    await store.open()
    proxy.cut()
    assert (await until_started(store)).new
    assert told == []
    await store.close()


async def test_a_watch_outlives_a_cut_and_hears_that_it_may_have_missed_something(
    proxy: Proxy, random_namespace: str, redis_url: str
) -> None:
    store = RedisStore(proxy.url, namespace=Namespace(random_namespace), shards=1)
    await store.open()
    told = asyncio.Event()
    watch = await store.watch(W, told.set)
    proxy.cut()
    async with asyncio.timeout(10):
        await told.wait()
        told.clear()
        async with redis.asyncio.Redis.from_url(redis_url) as other:
            await other.publish(store._keys.closes_channel(W), W)
        await told.wait()
    await watch.close()
    await watch.close()
    await store.close()


async def test_a_channel_outlives_its_last_watcher_for_the_next_one(store: RedisStore) -> None:
    await (await store.watch(W, lambda: None)).close()
    before = store._connection.counters.value("redis_writes")
    await (await store.watch(W, lambda: None)).close()
    assert store._connection.counters.value("redis_writes") == before


async def test_a_server_that_evicts_is_refused_with_the_remedy(
    redis_url: str, admin: redis.asyncio.Redis, random_namespace: str
) -> None:
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        store = RedisStore(redis_url, namespace=Namespace(random_namespace))
        with pytest.raises(MisconfiguredError, match="allkeys-lru, set it to noeviction"):
            await store.open()
    finally:
        await admin.config_set("maxmemory-policy", "noeviction")


async def test_a_full_server_is_unavailable_and_nothing_is_half_done(
    store: RedisStore, admin: redis.asyncio.Redis
) -> None:
    await admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(UnavailableError, match="memory"):
            await store.start(start_of())
    finally:
        await admin.config_set("maxmemory", 0)
    started = await store.start(start_of())
    assert isinstance(started, Started)
    assert started.new


async def test_a_master_that_became_a_replica_is_unavailable_until_there_is_one(
    redis_url: str, admin: redis.asyncio.Redis, random_namespace: str
) -> None:
    told: list[str] = []
    store = RedisStore(
        redis_url, namespace=Namespace(random_namespace), on_failover=lambda: told.append("f")
    )
    await store.open()
    await admin.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(UnavailableError):
            await store.start(start_of())
    finally:
        await admin.replicaof("NO", "ONE")
    assert (await until_started(store)).new
    assert told == ["f"]
    await store.close()


async def test_wrong_credentials_are_refused_without_showing_them(
    redis_url: str, random_namespace: str
) -> None:
    url = redis_url.replace("redis://", "redis://me:s3cret@")
    store = RedisStore(url, namespace=Namespace(random_namespace))
    with pytest.raises(MisconfiguredError, match="refuses access") as caught:
        await store.open()
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


async def test_a_user_who_may_not_run_scripts_is_refused_at_open(
    redis_url: str, admin: redis.asyncio.Redis, random_namespace: str
) -> None:
    await admin.execute_command(
        "ACL", "SETUSER", "reader", "on", ">s3cret", "~*", "&*", "+@read", "+ping", "+info"
    )
    store = RedisStore(
        redis_url.replace("redis://", "redis://reader:s3cret@"),
        namespace=Namespace(random_namespace),
    )
    with pytest.raises(MisconfiguredError, match="refuses access"):
        await store.open()
    await admin.execute_command("ACL", "DELUSER", "reader")


async def test_counters_are_those_that_were_given(redis_url: str, random_namespace: str) -> None:
    counters = Counters()
    store = RedisStore(redis_url, namespace=Namespace(random_namespace), counters=counters)
    await store.open()
    await store.start(start_of())
    assert counters.value("redis_scripts") == 1
    await store.close()


async def test_one_attempt_is_read_without_the_others_of_its_run(
    store: RedisStore, admin: redis.asyncio.Redis
) -> None:
    await store.start(start_of())
    all_of_them = tuple(
        activity(number, key=ActivityKey(f"key-{number}")) for number in range(2, 102)
    )
    await store.commit(commit_of(await sync(store), "t1", activities=all_of_them))
    key = store._keys.of_run("activities", W, RunId("run-1"))
    before = (await admin.info("commandstats"))["cmdstat_hgetall"]["calls"]
    record = await store.record(W, RunId("run-1"), EventId(50))
    after = (await admin.info("commandstats"))["cmdstat_hgetall"]["calls"]
    assert record is not None
    assert record.key == "key-50"
    assert await admin.hlen(key) > 500
    assert before == after
    assert await store.record(W, RunId("run-1"), EventId(999)) is None
