"""An order from start to end on a real Redis and a real RabbitMQ."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from orchestrator.adapters.rabbitmq.broker import RabbitBroker
from orchestrator.adapters.redis.store import RedisStore
from orchestrator.converter import DataConverter
from orchestrator.core.start import StartOptions, start_of
from orchestrator.core.transition import Append
from orchestrator.definition.registry import Registry
from orchestrator.ids import Namespace, ProcessName, TaskQueue, WorkflowId
from orchestrator.ports.broker import ActivityQueue, WorkflowQueue
from orchestrator.ports.store import Appended, Started
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.wire.inbox import SignalReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.worker.activity_tasks import ActivityTasks
from orchestrator.worker.attempt import Attempt, Beat
from orchestrator.worker.run_cache import RunCache
from orchestrator.worker.workflow_tasks import WorkflowTasks
from tests.unit.memory_engine import TurnedClock
from tests.unit.worker.shop import Order

QUEUE = TaskQueue("orders")
WORKFLOW = WorkflowId("order-1")


async def pay(attempt: Attempt, beat: Beat) -> Payload:
    return Payload.of_json(b'"paid"')


@pytest.mark.servers
async def test_an_order_runs_from_start_to_end(
    redis_url: str, amqp_url: str, random_namespace: str
) -> None:
    namespace = Namespace(random_namespace)
    store = RedisStore(redis_url, namespace=namespace, shards=4)
    broker = RabbitBroker(amqp_url, namespace)
    await store.open()
    await broker.open()
    dispatcher, numbers, clock = Dispatcher(broker, namespace), count(1), TurnedClock()
    workflows = WorkflowTasks(
        store,
        broker,
        dispatcher,
        clock,
        namespace=namespace,
        identity="w1",
        registry=Registry(workflows=[Order]),
        values=DataConverter(),
        cache=RunCache(10),
        sticky=None,
        expect=lambda shard, due_at_ms: None,
        mint=lambda: f"t{next(numbers)}",
    )
    activities = ActivityTasks(
        store,
        broker,
        dispatcher,
        clock,
        namespace=namespace,
        process=ProcessName("w1"),
        execute=pay,
        expect=lambda shard, due_at_ms: None,
        mint=lambda: f"t{next(numbers)}",
    )
    closed = asyncio.Event()
    try:
        await broker.declare(WorkflowQueue(QUEUE), ActivityQueue(QUEUE))
        await broker.consume(WorkflowQueue(QUEUE), workflows.take, prefetch=10)
        await broker.consume(ActivityQueue(QUEUE), activities.take, prefetch=10)
        watch = await store.watch(WORKFLOW, closed.set)
        options = StartOptions(
            workflow_id=WORKFLOW,
            workflow_type="Order",
            task_queue=QUEUE,
            request_id="r1",
            input=(Payload.of_json(b'"pizza"'),),
        )
        started = await store.start(start_of(options, now_ms=clock.ms))
        assert isinstance(started, Started)
        assert started.wake is not None
        dispatcher.wake(WORKFLOW, started.wake)
        signal = SignalReceived(signal_name="add", input=(Payload.of_json(b'"cola"'),))
        signalled = await store.append(Append(workflow_id=WORKFLOW, body=signal, message=True))
        assert isinstance(signalled, Appended)
        if signalled.wake is not None:
            dispatcher.wake(WORKFLOW, signalled.wake)
        async with asyncio.timeout(20):
            await closed.wait()
        await watch.close()
        run = await store.run(WORKFLOW)
        assert run is not None
        assert run.status is RunStatus.COMPLETED
        assert run.closing is not None
        result = run.closing.attributes.result  # type: ignore[union-attr]  # completed
        assert result == Payload.of_json(b"\"paid, added ['cola']\"")
        await workflows.drain()
        await activities.drain()
    finally:
        await broker.close()
        await store.close()
