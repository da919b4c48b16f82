"""A run from start to end, each process with the rights of its role and no others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import aio_pika
import aiormq
import pytest
import redis.asyncio
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from redis.exceptions import AuthenticationError

from orchestrator import activity, workflow
from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.client import Client
from orchestrator.exceptions import MisconfiguredError
from orchestrator.ids import Namespace, TaskQueue
from orchestrator.ports.broker import WorkflowQueue
from orchestrator.worker import Worker

pytestmark = pytest.mark.servers
PATIENCE_S = 20.0
UrlOf = Callable[[str], str]


@activity.defn
async def bake(item: str) -> str:
    return f"baked {item}"


@workflow.defn
class Bakery:
    """Touches whatever needs a right: an activity, a timer, a signal, a query."""

    def __init__(self) -> None:
        self.paid = False

    @workflow.run
    async def run(self, item: str) -> str:
        baked = await workflow.execute_activity(
            bake, item, start_to_close_timeout=timedelta(seconds=10)
        )
        await workflow.sleep(timedelta(milliseconds=10))
        await workflow.wait_condition(lambda: self.paid)
        return baked

    @workflow.signal
    def pay(self) -> None:
        self.paid = True

    @workflow.query
    def is_paid(self) -> bool:
        return self.paid


@pytest.fixture
async def worker(broker_of: UrlOf, store_of: UrlOf) -> AsyncIterator[Worker]:
    client = await Client.connect(
        broker=broker_of("worker"), store=store_of("worker"), namespace="default"
    )
    async with client:
        worker = Worker(client, task_queue="orders", workflows=[Bakery], activities=[bake])
        async with worker:
            yield worker


@pytest.fixture
async def client(broker_of: UrlOf, store_of: UrlOf) -> AsyncIterator[Client]:
    async with await Client.connect(
        broker=broker_of("client"), store=store_of("client"), namespace="default"
    ) as client:
        yield client


@pytest.fixture
async def starter(broker_of: UrlOf) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(broker_of("starter")) as connection:
        yield await connection.channel()


async def test_a_clients_run_goes_from_start_to_end(worker: Worker, client: Client) -> None:
    async with asyncio.timeout(PATIENCE_S):
        handle = await client.start_workflow(
            Bakery.run, "bread", id=f"bakery-{uuid4()}", task_queue="orders"
        )
        assert await handle.query(Bakery.is_paid) is False
        await handle.signal(Bakery.pay)
        assert await handle.result() == "baked bread"
        assert (await handle.describe()).status is not None
        listed = [run.id async for run in client.list_workflows()]
    assert handle.id in listed


async def test_a_client_may_end_a_run(worker: Worker, client: Client) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for end in ("cancel", "terminate"):
            handle = await client.start_workflow(
                Bakery.run, "bread", id=f"bakery-{uuid4()}", task_queue="orders"
            )
            await getattr(handle, end)()
            with pytest.raises(Exception, match="Workflow"):
                await handle.result()


async def test_a_run_that_a_starter_asked_for_goes_from_start_to_end(
    worker: Worker, client: Client, starter: AbstractChannel
) -> None:
    workflow_id = f"bakery-{uuid4()}"
    request = {
        "type": "start",
        "workflow_id": workflow_id,
        "workflow_type": "Bakery",
        "task_queue": "orders",
        "input": ["rolls"],
    }
    answers: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    replies = await starter.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await replies.consume(answers.put, no_ack=True)
    exchange = await starter.get_exchange("orc.default.requests", ensure=False)
    message = aio_pika.Message(json.dumps(request).encode(), reply_to="amq.rabbitmq.reply-to")
    await exchange.publish(message, routing_key="start")
    async with asyncio.timeout(PATIENCE_S):
        answer = json.loads((await answers.get()).body)
        assert answer["started"] is True
        handle = client.get_workflow_handle(workflow_id)
        await handle.signal("pay")
        assert await handle.result() == "baked rolls"


async def refused(url: str, act: Callable[[aiormq.abc.AbstractChannel], Awaitable[object]]) -> bool:
    """Whether RabbitMQ refuses `act` for want of a right."""
    connection = await aiormq.connect(url)
    try:
        await act(await connection.channel())
    except aiormq.exceptions.ChannelAccessRefused:
        return True
    finally:
        await connection.close()
    return False


@pytest.mark.parametrize(
    ("user", "may"),
    [
        ("topology", {"declare", "delete", "publish tasks", "publish requests", "consume work"}),
        ("worker", {"publish tasks", "consume work", "consume requests", "answer"}),
        ("engine", {"publish tasks", "consume requests", "answer"}),
        ("client", {"publish tasks", "publish requests"}),
        ("starter", {"publish requests"}),
    ],
)
async def test_each_user_of_rabbitmq_may_do_what_its_role_needs_and_nothing_else(
    broker_of: UrlOf, user: str, may: set[str]
) -> None:
    acts: dict[str, Callable[[aiormq.abc.AbstractChannel], Awaitable[object]]] = {
        "declare": lambda ch: ch.queue_declare("orc.default.workflow.new", durable=True),
        "delete": lambda ch: ch.queue_delete("orc.default.workflow.new"),
        "publish tasks": lambda ch: ch.basic_publish(
            b"?", exchange="orc.default.tasks", routing_key="nowhere"
        ),
        "publish requests": lambda ch: ch.basic_publish(
            b"?", exchange="orc.default.requests", routing_key="nowhere"
        ),
        "answer": lambda ch: ch.basic_publish(b"?", exchange="", routing_key="nowhere"),
        "consume work": lambda ch: ch.basic_get("orc.default.workflow.greeter"),
        "consume requests": lambda ch: ch.basic_get("orc.default.requests"),
        "read dead letters": lambda ch: ch.basic_get("orc.default.dead"),
        "use another namespace": lambda ch: ch.queue_declare("orc.other.sticky.x", durable=True),
    }
    if user == "topology":
        # Whoever declares must be able to bind, and so to read; the table names what matters.
        for act in ("consume requests", "read dead letters"):
            del acts[act]
    allowed = {name for name, act in acts.items() if not await refused(broker_of(user), act)}
    assert allowed == may


async def test_there_is_no_guest(broker_of: UrlOf) -> None:
    url = broker_of("worker").replace("worker:worker-development@", "guest:guest@")
    with pytest.raises(aiormq.exceptions.AMQPConnectionError, match="ACCESS_REFUSED"):
        await aiormq.connect(url)


async def test_a_queue_that_was_not_declared_names_the_remedy(broker_of: UrlOf) -> None:
    broker = RabbitBroker(broker_of("worker"), Namespace("default"))
    await broker.open()
    try:
        with pytest.raises(MisconfiguredError, match=r"no orc\.default\.workflow\.moon.*topology"):
            await broker.declare(WorkflowQueue(TaskQueue("moon")))
    finally:
        await broker.close()


async def test_redis_answers_nobody_without_a_name(store_of: UrlOf) -> None:
    url = store_of("worker").replace("worker:worker-development@", "")
    async with redis.asyncio.Redis.from_url(url) as anybody:
        with pytest.raises(AuthenticationError):
            await anybody.ping()


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("worker", "GET orc:{other}:config"),
        ("worker", "SET elsewhere 1"),
        ("worker", "KEYS *"),
        ("worker", "FLUSHALL"),
        ("worker", "CONFIG GET maxmemory"),
        ("worker", "SCRIPT FLUSH"),
        ("worker", "SUBSCRIBE elsewhere"),
        ("worker", "EVAL return{redis.call('SET','elsewhere','1')} 0"),
        ("client", "XTRIM orc:{default:00}:inbox:a MAXLEN 0"),
        ("client", "SUBSCRIBE orc:{default}:process:a"),
        ("viewer", "HSET orc:{default:00}:current:a status failed"),
        ("viewer", "EVAL return{redis.call('HGETALL','orc:{default:00}:current:a')} 0"),
        ("health", "INFO"),
    ],
    ids=str,
)
async def test_a_user_of_redis_is_refused_what_its_role_does_not_need(
    store_of: UrlOf, user: str, command: str
) -> None:
    async with redis.asyncio.Redis.from_url(store_of(user)) as connection:
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|can't access"):
            await connection.execute_command(*command.split(" "))


async def test_a_viewer_sees_a_history(worker: Worker, client: Client, store_of: UrlOf) -> None:
    async with asyncio.timeout(PATIENCE_S):
        handle = await client.start_workflow(
            Bakery.run, "cake", id=f"bakery-{uuid4()}", task_queue="orders"
        )
        await handle.signal(Bakery.pay)
        await handle.result()
    async with redis.asyncio.Redis.from_url(store_of("viewer")) as viewer:
        pattern = f"orc:{{default:*}}:history:{handle.id}:*"
        [key] = [key async for key in viewer.scan_iter(match=pattern)]
        (first, fields), *_ = await viewer.xrange(key)
    assert (first, fields[b"type"]) == (b"1-0", b"WorkflowExecutionStarted")


async def test_a_viewer_may_look_through_the_client_and_change_nothing(
    worker: Worker, client: Client, broker_of: UrlOf, store_of: UrlOf
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        handle = await client.start_workflow(
            Bakery.run, "cake", id=f"bakery-{uuid4()}", task_queue="orders"
        )
        async with await Client.connect(
            broker=broker_of("client"), store=store_of("viewer"), namespace="default"
        ) as viewer:
            seen = viewer.get_workflow_handle(handle.id)
            assert (await seen.describe()).workflow_type == "Bakery"
            assert [event async for event in seen.fetch_history_events()]
            assert handle.id in [run.id async for run in viewer.list_workflows()]
            with pytest.raises(MisconfiguredError, match="refuses access"):
                await seen.signal("pay")
        await handle.terminate()
