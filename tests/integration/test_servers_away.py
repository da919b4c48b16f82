"""Servers that are killed, restarted, or lose everything, under load: every run ends by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.client import Client
from orchestrator.testing.ledger import Ledger
from orchestrator.testing.servers import Servers
from tests.integration.faults import audit, kitchen, results, start_steps
from tests.integration.programs import until

pytestmark = pytest.mark.servers
RECOVERY_SECONDS_MAX = 35
"""From the moment the server is back until the last run has ended."""
RUNS, STEPS = 30, 8


def kill_redis(servers: Servers) -> None:
    servers.redis.restart()


def kill_rabbitmq(servers: Servers) -> None:
    servers.rabbitmq.restart()


def wipe_rabbitmq(servers: Servers) -> None:
    servers.rabbitmq.wipe()
    servers.rabbitmq.start()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [kill_redis, kill_rabbitmq, wipe_rabbitmq])
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
