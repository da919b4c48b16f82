"""What is no message of ours, on every queue of a running worker: kept with its reason, and passed
over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiormq
import pamqp.frame
import pytest
from aiormq.abc import ChannelFrame, DeliveredMessage
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from orchestrator.client import Client
from tests.integration.faults import QUEUE, kitchen, results, start_steps
from tests.integration.programs import PATIENCE_SECONDS, Program

pytestmark = pytest.mark.servers
CELERY = b'[["pizza"], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
"""A message of another system, as it may be sent to a queue by mistake."""
UNREADABLE = (
    b"{",
    b'"\xff\xfe"',
    CELERY,
    b'{"type": "nonsense", "namespace": "n", "workflow_id": "w"}',
    b"[" * 100_000,
    b"",
    b"x" * 5 * 1024 * 1024,
)


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[aiormq.Channel]:
    """A program that knows nothing of us."""
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    assert isinstance(channel, aiormq.Channel)
    yield channel
    await connection.close()


class DeadLetters:
    """The dead queue, as a person reads it."""

    def __init__(self, channel: aiormq.Channel, namespace: str) -> None:
        self._channel = channel
        self._queue = f"orc.{namespace}.dead"

    async def next(self) -> DeliveredMessage:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = await self._channel.basic_get(self._queue, no_ack=True)
                if not isinstance(found.delivery, commands.Basic.GetEmpty):
                    return found
                await asyncio.sleep(0.02)

    async def is_empty(self) -> bool:
        found = await self._channel.basic_get(self._queue, no_ack=True)
        return isinstance(found.delivery, commands.Basic.GetEmpty)


def reason_of(letter: DeliveredMessage) -> str:
    return str((letter.header.properties.headers or {})["orc-reason"])


def is_told(reason: str, body: bytes) -> bool:
    """Whether a person learns what was expected, or how much is too much."""
    return "expected" in reason or (len(body) > 4 * 1024 * 1024 and "byte" in reason)


async def queues_of(worker: Program, namespace: str) -> list[str]:
    """All queues that a worker takes messages from."""
    [started] = await worker.logged("worker_started")
    own = f"orc.{namespace}.sticky.{started['process']}"
    shared = (f"workflow.{QUEUE}", f"activity.{QUEUE}", "requests")
    return [own, *(f"orc.{namespace}.{name}" for name in shared)]


async def test_what_nobody_can_read_is_kept_with_its_reason_and_work_goes_on(
    channel: aiormq.Channel,
    folder: Path,
    environment: Mapping[str, str],
    client: Client,
) -> None:
    dead = DeadLetters(channel, client.namespace)
    async with kitchen(folder, environment) as worker:
        for queue in await queues_of(worker, client.namespace):
            for body in UNREADABLE:
                await channel.basic_publish(body, routing_key=queue)
                letter = await dead.next()
                assert letter.body == body
                assert is_told(reason_of(letter), body), (queue, body[:40], reason_of(letter))
        assert await results(await start_steps(client, ["run"], 1, 0.0)) == [["0"]]
        assert worker.process.returncode is None
        assert await dead.is_empty()


async def test_a_request_of_an_unknown_name_and_a_foreign_dead_letter_wait_for_a_person(
    channel: aiormq.Channel, client: Client
) -> None:
    dead = DeadLetters(channel, client.namespace)
    for exchange, key in (("requests", "nonsense"), ("dead", "")):
        name = f"orc.{client.namespace}.{exchange}"
        await channel.basic_publish(CELERY, exchange=name, routing_key=key)
        letter = await dead.next()
        assert letter.body == CELERY
        assert isinstance(letter.delivery, commands.Basic.GetOk)
        assert letter.delivery.exchange == name
        assert letter.delivery.routing_key == key


async def test_a_start_message_that_cannot_be_done_is_kept_with_its_reason(
    channel: aiormq.Channel,
    folder: Path,
    environment: Mapping[str, str],
    client: Client,
) -> None:
    dead = DeadLetters(channel, client.namespace)
    start = {"type": "start", "workflow_id": "w", "workflow_type": "Steps", "task_queue": QUEUE}
    async with kitchen(folder, environment):
        for wrong, words in (
            ({"workflow_id": "order-{1}"}, "no braces"),
            ({"workflow_id": "order\n"}, "no control characters"),
            ({"workflow_id": "x" * 2_000}, "at most 1000 bytes"),
            ({"task_queue": "a queue"}, "without spaces"),
            ({"workflow_type": ""}, "not empty"),
            ({"input": {"count": 1}}, "array"),
            ({"input": ["x" * 3_000_000]}, "the limit is 2,097,152"),
            ({"run_timeout": 5}, "run_timeout"),
        ):
            body = json.dumps({**start, **wrong}).encode()
            name = f"orc.{client.namespace}.requests"
            await channel.basic_publish(body, exchange=name, routing_key="start")
            letter = await dead.next()
            assert letter.body == body
            assert words in reason_of(letter), (wrong.keys(), reason_of(letter))
        assert [run async for run in client.list_workflows()] == []


async def test_a_task_that_no_queue_takes_comes_back_to_its_sender(
    channel: aiormq.Channel, client: Client
) -> None:
    with pytest.raises(aiormq.exceptions.PublishError):
        await channel.basic_publish(
            b"{}",
            exchange=f"orc.{client.namespace}.tasks",
            routing_key="workflow.nowhere",
            mandatory=True,
        )


async def test_properties_that_the_client_library_cannot_read_stop_no_consumer(
    channel: aiormq.Channel,
    folder: Path,
    environment: Mapping[str, str],
    client: Client,
) -> None:
    dead = DeadLetters(channel, client.namespace)
    async with kitchen(folder, environment) as worker:
        for queue in await queues_of(worker, client.namespace):
            await publish_with_odd_properties(channel, queue)
            letter = await dead.next()
            assert letter.body == b"{"
            assert is_told(reason_of(letter), b"{")
        assert await results(await start_steps(client, ["run"], 2, 0.0)) == [["0", "1"]]
        assert "consumer_lost" not in worker.err


async def publish_with_odd_properties(channel: aiormq.Channel, queue: str) -> None:
    """A reply address that is no UTF-8: AMQP allows any bytes there."""
    properties = commands.Basic.Properties(reply_to="ODD", correlation_id="ODD", app_id="ODD")
    header = ContentHeader(properties=properties, body_size=1)
    odd = pamqp.frame.marshal(header, channel.number).replace(b"ODD", b"\xff\xfe\xfd")
    frames = [
        pamqp.frame.marshal(commands.Basic.Publish(routing_key=queue), channel.number),
        odd,
        pamqp.frame.marshal(ContentBody(b"{"), channel.number),
    ]
    channel.delivery_tag += 1
    confirmed = channel.confirmations[channel.delivery_tag] = asyncio.Future()
    frame = ChannelFrame(payload=b"".join(frames), should_close=False)
    await channel.write_queue.put(frame)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await confirmed
