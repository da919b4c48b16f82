"""`orchestrator worker` as processes: begin, work, health, and every way to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.client import Client
from orchestrator.testing.servers import free_port
from tests.contract.broker_proxy import Proxy
from tests.integration.programs import SHOP, Program, lives, run, until

pytestmark = pytest.mark.servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current folder of the programs, with an app in it."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


async def start_waiting(client: Client, kind: str = "file") -> None:
    await client.start_workflow("Waiting", args=["flag", kind], id="w", task_queue="shop")


async def test_a_worker_runs_an_app_of_the_current_folder(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with Program("worker", "shop", folder=folder, environment=environment) as worker:
        result = await client.execute_workflow("Greeting", "Ada", id="g", task_queue="shop")
        assert result == "Hello, Ada!"
        worker.signal(signal.SIGTERM)
        assert await worker.code() == 0


async def test_sigterm_lets_a_running_activity_finish(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with Program("worker", "shop.py", folder=folder, environment=environment) as worker:
        await start_waiting(client)
        await until((folder / "flag.begun").exists)
        worker.signal(signal.SIGTERM)
        await worker.logged("worker_draining")
        (folder / "flag").touch()
        assert await worker.code() == 0
        assert (folder / "flag.ended").exists()


async def test_a_second_signal_ends_a_worker_at_once(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with Program("worker", "shop", folder=folder, environment=environment) as worker:
        await start_waiting(client)
        await until((folder / "flag.begun").exists)
        worker.signal(signal.SIGTERM)
        await worker.logged("worker_draining")
        worker.signal(signal.SIGTERM)
        assert await worker.code(seconds=15) == 128 + signal.SIGTERM
        assert not (folder / "flag.ended").exists()


async def test_two_signals_end_a_worker_whose_event_loop_is_blocked(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with Program("worker", "shop", folder=folder, environment=environment) as worker:
        await start_waiting(client, "loop")
        await until((folder / "flag.begun").exists)
        worker.signal(signal.SIGTERM)
        await worker.signal_until_ended(signal.SIGINT)
        assert await worker.code() in (128 + signal.SIGTERM, 128 + signal.SIGINT)


@pytest.mark.slow
async def test_a_thread_that_never_ends_does_not_keep_the_worker(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    arguments = ("worker", "shop", "--graceful-shutdown-timeout", "0.1")
    async with Program(*arguments, folder=folder, environment=environment) as worker:
        await start_waiting(client, "block")
        await until((folder / "flag.begun").exists)
        worker.signal(signal.SIGINT)
        assert await worker.code(seconds=20) == 0
        assert "threads_left_behind" in worker.err


async def test_a_dead_process_of_several_is_started_again(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    arguments = ("worker", "shop", "--processes", "2")
    async with Program(*arguments, folder=folder, environment=environment) as worker:
        await worker.logged("worker_started", 2)
        first, second = await worker.logged("worker_process_started", 2)
        os.kill(first["child_pid"], signal.SIGKILL)
        third = (await worker.logged("worker_process_started", 3))[2]
        assert third["child"] == first["child"]
        await worker.logged("worker_started", 3)
        assert await client.execute_workflow("Greeting", "Ada", id="g", task_queue="shop")
        worker.signal(signal.SIGTERM)
        assert await worker.code() == 0
    assert not lives(second["child_pid"])
    assert not lives(third["child_pid"])


async def test_a_second_signal_ends_all_processes_at_once(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    arguments = ("worker", "shop", "--processes", "2")
    async with Program(*arguments, folder=folder, environment=environment) as worker:
        children = await worker.logged("worker_process_started", 2)
        await worker.logged("worker_started", 2)
        await start_waiting(client)
        await until((folder / "flag.begun").exists)
        worker.signal(signal.SIGTERM)
        await worker.logged("worker_draining", 2)
        worker.signal(signal.SIGINT)
        assert await worker.code(seconds=15) == 128 + signal.SIGINT
        await until(lambda: not any(lives(child["child_pid"]) for child in children))
        assert not (folder / "flag.ended").exists()


async def test_processes_end_in_good_order_when_their_supervisor_is_killed(
    folder: Path, environment: Mapping[str, str]
) -> None:
    arguments = ("worker", "shop", "--processes", "2")
    async with Program(*arguments, folder=folder, environment=environment) as worker:
        children = await worker.logged("worker_process_started", 2)
        await worker.logged("worker_started", 2)
        worker.signal(signal.SIGKILL)
        await until(lambda: not any(lives(child["child_pid"]) for child in children))
        await worker.logged("worker_ended", 2)


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_health_is_green_while_work_can_be_taken_and_red_when_not(
    processes: str, folder: Path, environment: Mapping[str, str], amqp_url: str
) -> None:
    port = str(free_port())
    variables = {**environment, "ORCHESTRATOR_HEALTH_PORT": port}
    async with Proxy(amqp_url) as proxy:
        arguments = ("worker", "shop", "--broker", proxy.url, "--processes", processes)
        async with Program(*arguments, folder=folder, environment=variables) as worker:
            await worker.logged("worker_started", int(processes))
            green = await run("health", folder=folder, environment=variables)
            assert (green.process.returncode, green.out, green.err) == (0, "ok\n", "")
            await proxy.__aexit__(None, None, None)
            red = await run("health", folder=folder, environment=variables)
            assert red.process.returncode == 1
            assert "RabbitMQ" in red.err
            live = await run("health", "--live", folder=folder, environment=variables)
            assert live.process.returncode == 0
            worker.signal(signal.SIGTERM)
            assert await worker.code() == 0
    gone = await run("health", folder=folder, environment=variables)
    assert gone.process.returncode == 1
    assert f"nobody answers at http://127.0.0.1:{port}/readyz" in gone.err


async def test_the_servers_themselves_can_be_checked(
    folder: Path, environment: Mapping[str, str]
) -> None:
    well = await run("health", "--servers", folder=folder, environment=environment)
    assert (well.process.returncode, well.out) == (0, "ok\n")


async def test_an_engine_runs_alone_and_ends_in_good_order(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    port = str(free_port())
    arguments = ("engine", "--health-port", port)
    idle = Program("worker", "shop", "--no-engine", folder=folder, environment=environment)
    engine = Program(*arguments, folder=folder, environment=environment)
    async with idle, engine:
        await until_healthy(port, folder, environment)
        result = await client.execute_workflow("Greeting", "Ada", id="g", task_queue="shop")
        assert result == "Hello, Ada!"
        engine.signal(signal.SIGTERM)
        assert await engine.code() == 0


async def until_healthy(port: str, folder: Path, environment: Mapping[str, str]) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < 15:
        program = await run("health", "--port", port, folder=folder, environment=environment)
        if program.process.returncode == 0:
            return
    raise AssertionError(program.err)


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_servers_that_are_down_are_told_within_5_s_and_without_a_password(
    processes: str, folder: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    variables = {
        **environment,
        "ORCHESTRATOR_BROKER": f"amqp://user:geheim@127.0.0.1:{port}/",
        "ORCHESTRATOR_STORE": f"redis://:geheim@127.0.0.1:{port}/0",
    }
    arguments = ("worker", "shop", "--processes", processes)
    async with Program(*arguments, folder=folder, environment=variables) as worker:
        assert await worker.code(seconds=8) == 4
    assert f"Redis at redis://127.0.0.1:{port}" in worker.err
    assert f"RabbitMQ at amqp://user:***@127.0.0.1:{port}" in worker.err
    assert "geheim" not in worker.err
    assert "Traceback" not in worker.err


async def test_a_worker_whose_health_port_is_taken_says_so(
    folder: Path, environment: Mapping[str, str]
) -> None:
    port = amqp_port(environment["ORCHESTRATOR_BROKER"])
    program = await run(
        "worker", "shop", "--health-port", port, folder=folder, environment=environment
    )
    assert program.process.returncode == 4
    assert "choose another --health-port" in program.err


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_module_that_is_not_there_ends_the_worker_with_2(
    processes: str, folder: Path, environment: Mapping[str, str]
) -> None:
    program = await run(
        "worker", "shoop", "--processes", processes, folder=folder, environment=environment
    )
    assert program.process.returncode == 2
    assert "there is no module 'shoop'" in program.err


def amqp_port(url: str) -> str:
    return url.rpartition(":")[2].partition("/")[0]


@pytest.mark.parametrize("command", [("worker", "shop"), ("engine",)])
async def test_a_process_says_at_its_start_what_redis_will_not_keep(
    folder: Path, environment: Mapping[str, str], command: tuple[str, ...]
) -> None:
    demanding = {**environment, "ORCHESTRATOR_DURABILITY": "durable"}
    async with Program(*command, folder=folder, environment=demanding) as program:
        [said] = await program.logged("redis_keeps_less_than_promised")
        assert said["found"] == "appendfsync is everysec; durability durable promises more"
        assert "appendfsync always" in said["remedy"]
