"""Containers of workers: their commands, variables, health checks and ends, on real servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

import aio_pika
import pytest

from orchestrator.client import Client
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.testing.ledger import Begun, Ended, Ledger
from orchestrator.testing.servers import Servers, free_port
from tests.e2e import compose_file
from tests.e2e.image import Image

pytestmark = [pytest.mark.servers, pytest.mark.slow]
PATIENCE_S = 30.0
UrlOf = Callable[[str], str]


@pytest.fixture
def variables(compose_servers: Servers, image: Image) -> dict[str, str]:
    """The variables of compose.yaml, with the places of the test's servers in them."""
    found = compose_file.read()["workflow-worker"].environment
    places = {
        "@rabbitmq:5672": compose_servers.rabbitmq.url.partition("@")[2].rstrip("/"),
        "@redis:6379": compose_servers.redis.url.partition("@")[2].removesuffix("/0"),
    }
    for place, real in places.items():
        found = {name: value.replace(place, f"@{real}") for name, value in found.items()}
    # Containers have a port of their own each; processes of one machine must not share one.
    port = {"ORCHESTRATOR_HEALTH_PORT": str(free_port())}
    return {**found, **port, "ORDERS_LEDGER": str(image.root / "home" / f"{uuid4()}.jsonl")}


@asynccontextmanager
async def container(
    image: Image, command: list[str], variables: Mapping[str, str]
) -> AsyncIterator[Popen[bytes]]:
    """A healthy container that runs `command`; killed at the end if it still runs."""
    process = image.spawn(command, variables)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(healthcheck, image, variables) != 0:
                assert process.poll() is None, image.output()
                await asyncio.sleep(0.2)
        yield process
    except BaseException as error:
        error.add_note(f"what the container wrote:\n{image.output()[-10_000:]}")
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def healthcheck(image: Image, variables: Mapping[str, str]) -> int:
    """The exit code of the image's health check."""
    return image.run(image.stage.healthcheck, more=variables, check=False).returncode


async def stop(image: Image, process: Popen[bytes], *, seconds: int) -> int:
    """The exit code after the image's stop signal, within the time that Compose gives it."""
    os.kill(process.pid, getattr(signal, image.stage.stop_signal))
    return await asyncio.to_thread(process.wait, seconds)


async def order(broker: str, *, item: str = "salad", address: str = "next door") -> str:
    """Ask for an order as any AMQP client does; its workflow id."""
    workflow_id = f"order-{uuid4()}"
    request = {
        "type": "start",
        "workflow_id": workflow_id,
        "workflow_type": "Order",
        "task_queue": "orders",
        "input": [{"item": item, "address": address}],
    }
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("orc.default.requests", ensure=False)
        await exchange.publish(aio_pika.Message(json.dumps(request).encode()), routing_key="start")
    return workflow_id


async def result(broker_of: UrlOf, store_of: UrlOf, workflow_id: str) -> dict[str, object]:
    async with await Client.connect(
        broker=broker_of("client"), store=store_of("client"), namespace="default"
    ) as client:
        handle = client.get_workflow_handle(workflow_id)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    found: dict[str, object] = await handle.result()
                    return found
                except RPCError as error:  # The message may not have arrived yet.
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                    await asyncio.sleep(0.1)


async def test_a_container_becomes_healthy_works_and_ends_in_good_order(
    image: Image, variables: dict[str, str], broker_of: UrlOf, store_of: UrlOf
) -> None:
    assert healthcheck(image, variables) != 0
    async with container(image, image.stage.command, variables) as process:
        workflow_id = await order(broker_of("starter"))
        found = await result(broker_of, store_of, workflow_id)
        assert found["outcome"] == "delivered"
        seconds = compose_file.read()["workflow-worker"].seconds("stop_grace_period")
        assert await stop(image, process, seconds=seconds) == 0, image.output()
        assert healthcheck(image, variables) != 0


async def test_what_is_in_work_when_the_stop_comes_is_finished(
    image: Image, variables: dict[str, str], broker_of: UrlOf
) -> None:
    ledger = Ledger(Path(variables["ORDERS_LEDGER"]))
    async with container(image, image.stage.command, variables) as process:
        await order(broker_of("starter"), address="1 Main Street")
        await until(lambda: delivering(ledger))
        assert await stop(image, process, seconds=30) == 0, image.output()
    rows = ledger.read().rows
    begun = {(row.activity, row.attempt) for row in rows if isinstance(row, Begun)}
    ended = {(row.activity, row.attempt): row for row in rows if isinstance(row, Ended)}
    assert begun == set(ended)
    assert {row.outcome for row in ended.values()} == {"completed"}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.02)


def delivering(ledger: Ledger) -> bool:
    return any(
        isinstance(row, Begun) and row.activity_type == "deliver_order"
        for row in ledger.read().rows
    )


async def test_split_workers_of_compose_do_an_order_and_scale(
    image: Image, variables: dict[str, str], broker_of: UrlOf, store_of: UrlOf
) -> None:
    services = compose_file.read()
    names = ("workflow-worker", "activity-worker", "activity-worker")
    own = [{**variables, "ORCHESTRATOR_HEALTH_PORT": str(free_port())} for _ in names]
    commands = [services[name].command for name in names]
    async with (
        container(image, commands[0], own[0]) as workflows,
        container(image, commands[1], own[1]) as first,
        container(image, commands[2], own[2]) as second,
    ):
        for name in names:
            assert services[name].healthcheck == image.stage.healthcheck
        orders = [await order(broker_of("starter")) for _ in range(6)]
        for workflow_id in orders:
            assert (await result(broker_of, store_of, workflow_id))["outcome"] == "delivered"
        rows = Ledger(Path(variables["ORDERS_LEDGER"])).read().rows
        assert {row.pid for row in rows} == {first.pid, second.pid}
        for process in (workflows, first, second):
            assert await stop(image, process, seconds=30) == 0, image.output()


async def test_the_other_app_runs_in_the_same_image(
    image: Image, variables: dict[str, str], broker_of: UrlOf, store_of: UrlOf
) -> None:
    """APP is used by the last lines of the file only: the installed part is the same."""
    greeter = image.for_other({"APP": "greeter"})
    try:
        async with (
            container(greeter, greeter.stage.command, variables),
            await Client.connect(
                broker=broker_of("client"), store=store_of("client"), namespace="default"
            ) as client,
            asyncio.timeout(PATIENCE_S),
        ):
            answer = await client.execute_workflow(
                "Greeting", "Ada", id=f"greeting-{uuid4()}", task_queue="greeter"
            )
    finally:
        greeter.remove()
    assert answer == "Hello, Ada!"
