"""Servers that are killed, restarted, or lose everything, under load: every run ends by itself."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import redis.asyncio

from orchestrator.cli.exits import ExitCode
from orchestrator.client import Client
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.testing.ledger import Ledger
from orchestrator.testing.servers import Servers, free_port
from tests.integration.faults import audit, kitchen, results, start_steps
from tests.integration.programs import until

pytestmark = pytest.mark.servers
RECOVERY_SECONDS_MAX = 20
"""From the moment the server is back until the last run has ended."""
START_SECONDS_MAX = 6
"""Five, and something for a machine that is busy with other things."""
RUNS, STEPS = 30, 8


def kill_both(servers: Servers) -> None:
    servers.redis.kill()
    servers.rabbitmq.kill()
    servers.redis.start()
    servers.rabbitmq.start()


def kill_redis(servers: Servers) -> None:
    servers.redis.restart()


def kill_rabbitmq(servers: Servers) -> None:
    servers.rabbitmq.restart()


def wipe_rabbitmq(servers: Servers) -> None:
    servers.rabbitmq.wipe()
    servers.rabbitmq.start()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [kill_redis, kill_rabbitmq, wipe_rabbitmq, kill_both])
async def test_runs_go_on_by_themselves_and_no_step_is_done_twice(
    fault: Callable[[Servers], None],
    servers: Servers,
    folder: Path,
    environment: Mapping[str, str],
    client: Client,
) -> None:
    if servers.choice.kind == "docker":
        pytest.skip("a restarted container gets another port")
    ledger = Ledger(folder / "ledger")
    async with kitchen(folder, environment) as one, kitchen(folder, environment) as two:
        await one.logged("worker_started")
        await two.logged("worker_started")
        handles = await start_steps(client, [f"run-{n}" for n in range(RUNS)], STEPS, 0.25)
        await until(lambda: len(ledger.read().rows) > RUNS * 2)
        await asyncio.to_thread(fault, servers)
        back = time.monotonic()
        ends = await results(handles, seconds=90)
        seconds = time.monotonic() - back
        assert one.process.returncode is None
        assert two.process.returncode is None
    assert ends == [[str(number) for number in range(STEPS)]] * RUNS
    await audit(handles, folder)
    print(f"{fault.__name__}: the last run ended {seconds:.1f} s after the server was back")
    assert seconds < RECOVERY_SECONDS_MAX


async def test_200_starts_before_any_worker_runs_all_end_once_one_does(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    handles = await start_steps(client, [f"run-{n}" for n in range(200)], 1, 0.0)
    async with kitchen(folder, environment):
        assert await results(handles, seconds=60) == [["0"]] * 200
    await audit(handles, folder)


@pytest.mark.slow
async def test_what_is_started_while_a_server_is_away_runs_when_it_is_back(
    servers: Servers, folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    if servers.choice.kind == "docker":
        pytest.skip("a restarted container gets another port")
    async with kitchen(folder, environment) as worker:
        await worker.logged("worker_started")
        servers.rabbitmq.kill()
        try:
            handles = await start_steps(client, ["without-rabbitmq"], 1, 0.0)
        finally:
            await asyncio.to_thread(servers.rabbitmq.start)
        assert await results(handles, seconds=RECOVERY_SECONDS_MAX) == [["0"]]
        servers.redis.kill()
        starting = asyncio.create_task(start_steps(client, ["without-redis"], 1, 0.0))
        try:
            await asyncio.sleep(1)
            assert not starting.done()
        finally:
            await asyncio.to_thread(servers.redis.start)
        handles += await starting
        assert await results(handles, seconds=RECOVERY_SECONDS_MAX) == [["0"], ["0"]]


@pytest.mark.parametrize("absent", ["broker", "store"])
async def test_a_server_that_is_not_there_at_the_start_is_told_in_time_without_its_password(
    absent: str, folder: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    url = {
        "broker": f"amqp://user:geheim@127.0.0.1:{port}/",
        "store": f"redis://user:geheim@127.0.0.1:{port}/0",
    }[absent]
    variables = {**environment, f"ORCHESTRATOR_{absent.upper()}": url}
    given = {name: variables[f"ORCHESTRATOR_{name.upper()}"] for name in ("broker", "store")}
    begun = time.monotonic()
    with pytest.raises(UnavailableError) as refused:
        await Client.connect(**given, namespace=variables["ORCHESTRATOR_NAMESPACE"])
    assert time.monotonic() - begun < START_SECONDS_MAX
    assert f"127.0.0.1:{port}" in str(refused.value)
    assert "geheim" not in "".join(traceback.format_exception(refused.value))
    async with kitchen(folder, variables) as worker:
        assert await worker.code() == ExitCode.UNAVAILABLE
    assert f"127.0.0.1:{port}" in worker.err
    assert "geheim" not in worker.out + worker.err
    assert "Traceback" not in worker.err


async def test_a_redis_that_evicts_is_refused_with_the_remedy(
    folder: Path, environment: Mapping[str, str], redis_url: str, amqp_url: str
) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as admin:
        await admin.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(MisconfiguredError, match="set it to noeviction"):
                await Client.connect(broker=amqp_url, store=redis_url, namespace="evicted")
            async with kitchen(folder, environment) as worker:
                assert await worker.code() == ExitCode.USAGE
        finally:
            await admin.config_set("maxmemory-policy", "noeviction")
    assert "maxmemory-policy is allkeys-lru, set it to noeviction" in worker.err
    assert "Traceback" not in worker.err
