"""The commands that look at the servers: doctor, topology, dead letters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import aio_pika
import pytest

from orchestrator.testing.servers import Servers, free_port
from tests.integration.programs import SHOP, Program, run

pytestmark = pytest.mark.servers


async def findings(
    folder: Path, environment: Mapping[str, str], *arguments: str, code: int
) -> dict[str, dict[str, str]]:
    """What `doctor` found, by subject."""
    program = await run("doctor", "-o", "json", *arguments, folder=folder, environment=environment)
    assert program.process.returncode == code, program.err
    found = [json.loads(line) for line in program.out.splitlines()]
    assert all(one["remedy"] for one in found if one["level"] in ("warning", "error"))
    return {one["subject"]: one for one in found}


async def test_doctor_finds_open_runs_without_a_worker_and_is_content_with_one(
    folder: Path, environment: Mapping[str, str]
) -> None:
    (folder / "shop.py").write_text(SHOP)
    start = ("start", "Waiting", "--task-queue", "shop", "--input", '"x"', "--input", '"signal"')
    await run(*start, "--id", "w", folder=folder, environment=environment)
    ill = await findings(folder, environment, code=1)
    assert ill["task queue shop, workflows"]["level"] == "error"
    assert "1 open runs stand still" in ill["task queue shop, workflows"]["found"]
    assert ill["start messages"]["level"] == "warning"
    async with Program("worker", "shop", folder=folder, environment=environment) as worker:
        await worker.logged("worker_started")
        well = await findings(folder, environment, code=0)
    for subject in (
        "redis version",
        "redis durability",
        "redis round trip",
        "rabbitmq version",
        "rabbitmq round trip",
        "start messages",
        "task queue shop, workflows",
        "task queue shop, activities",
    ):
        assert well[subject]["level"] == "ok", well[subject]


async def test_doctor_leaves_nothing_behind_in_rabbitmq(
    folder: Path, environment: Mapping[str, str], servers: Servers
) -> None:
    await findings(folder, environment, code=0)
    connection = await aio_pika.connect(environment["ORCHESTRATOR_BROKER"])
    async with connection:
        channel = await connection.channel()
        namespace = environment["ORCHESTRATOR_NAMESPACE"]
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue(f"orc.{namespace}.workflow.doctor", passive=True)


async def test_doctor_tells_a_server_that_is_down_and_still_looks_at_the_other(
    folder: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    down = f"amqp://user:geheim@127.0.0.1:{port}/"
    found = await findings(folder, environment, "--broker", down, code=4)
    assert found["redis version"]["level"] == "ok"
    assert found["rabbitmq"]["level"] == "error"
    assert "geheim" not in json.dumps(found)
    nowhere = f"redis://:geheim@127.0.0.1:{port}/0"
    found = await findings(folder, environment, "--store", nowhere, code=4)
    assert found["redis"]["level"] == "error"
    assert found["rabbitmq round trip"]["level"] == "ok"
    assert "geheim" not in json.dumps(found)


async def test_doctor_tells_settings_that_are_not_the_namespaces(
    folder: Path, environment: Mapping[str, str]
) -> None:
    await findings(folder, environment, code=0)
    found = await findings(folder, {**environment, "ORCHESTRATOR_SHARDS": "7"}, code=1)
    assert "was made with shards 128" in found["namespace"]["found"]


async def test_the_topology_is_declared_and_declared_again(
    folder: Path, environment: Mapping[str, str]
) -> None:
    arguments = ("topology", "declare", "--task-queue", "a", "--task-queue", "b")
    made = await run(*arguments, folder=folder, environment=environment)
    assert made.process.returncode == 0, made.err
    assert "task queue a: made\ntask queue b: made\n" in made.out
    again = await run(*arguments, folder=folder, environment=environment)
    assert "task queue a: was there" in again.out
    other = {**environment, "ORCHESTRATOR_QUEUE_TYPE": "quorum"}
    differs = await run(*arguments, folder=folder, environment=other)
    assert differs.process.returncode == 2
    assert "set the namespace's queue type" in differs.err


async def test_a_definitions_file_is_printed_without_a_server(folder: Path) -> None:
    export = ("topology", "export", "--task-queue", "orders", "--namespace", "shop")
    plain = await run(*export, folder=folder, environment={})
    queues = [queue["name"] for queue in json.loads(plain.out)["queues"]]
    assert "orc.shop.workflow.orders" in queues
    assert "users" not in json.loads(plain.out)
    missing = await run(*export, "--users", folder=folder, environment={})
    assert missing.process.returncode == 2
    assert "need a password each" in missing.err
    users = ("topology", "worker", "engine", "client", "starter")
    passwords = {f"{user.upper()}_PASSWORD": "geheim" for user in users}
    whole = await run(*export, "--users", folder=folder, environment=passwords)
    assert [user["name"] for user in json.loads(whole.out)["users"]] == list(users)
    assert "geheim" not in whole.out


async def test_dead_letters_are_shown_with_their_reasons_and_stay(
    folder: Path, environment: Mapping[str, str]
) -> None:
    nothing = await run("dead", "list", folder=folder, environment=environment)
    assert (nothing.process.returncode, nothing.out) == (0, "")
    namespace = environment["ORCHESTRATOR_NAMESPACE"]
    connection = await aio_pika.connect(environment["ORCHESTRATOR_BROKER"])
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(f"orc.{namespace}.requests")
        for body in (b"one", b"two\x1b[2J"):
            await exchange.publish(aio_pika.Message(body), "no-such-request")
    for _ in range(2):
        listed = await run("dead", "list", folder=folder, environment=environment)
        lines = listed.out.splitlines()[1:]
        assert all("no queue for routing key 'no-such-request'" in line for line in lines)
        assert [line.rsplit("  ", 1)[1] for line in lines] == ["one", "two\\x1b[2J"]
    first = await run(
        "dead", "list", "--limit", "1", "-o", "json", folder=folder, environment=environment
    )
    assert json.loads(first.out)["body"] == "one"
