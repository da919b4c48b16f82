"""A process without a broker uses nothing up, and leaves its share to those who have one."""

from __future__ import annotations

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.engine.redrive import Redrive
from orchestrator.engine.service import Duties
from orchestrator.engine.timers import Timers
from orchestrator.ids import ProcessName, WorkflowId
from orchestrator.ports.broker import ActivityQueue, WorkflowQueue
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.wire.commands import ScheduleActivityTask
from tests.unit.memory_engine import NAMESPACE, QUEUE, RUN, WORKFLOW, Engine

ACTIVITIES, WAKEUPS = ActivityQueue(QUEUE), WorkflowQueue(QUEUE)
PAY = ScheduleActivityTask(
    activity_id="1", activity_type="pay", task_queue=QUEUE, start_to_close_timeout_ms=10_000
)


async def away() -> Engine:
    """An engine that has begun its duties and then lost its broker, whose queues are still
    there."""
    engine = Engine()
    await engine.broker.open()
    await engine.broker.declare(ACTIVITIES, WAKEUPS)
    await engine.duties.once()
    await engine.broker.close()
    return engine


async def back(engine: Engine) -> None:
    await engine.broker.open()
    await engine.pass_time(0)


async def test_wake_ups_that_were_due_meanwhile_are_published_when_the_broker_is_back() -> None:
    engine = await away()
    await engine.start()
    for wait_ms in (2_000, 5_000, 10_000):
        await engine.pass_time(wait_ms)
    await back(engine)
    assert await engine.broker.ready(WAKEUPS) == 1


async def test_tasks_that_were_due_meanwhile_are_published_when_the_broker_is_back() -> None:
    engine = await away()
    await engine.start()
    await engine.commit(PAY)
    for wait_ms in (2_000, 5_000, 10_000):
        await engine.pass_time(wait_ms)
    await back(engine)
    assert await engine.broker.ready(ACTIVITIES) == 1
    [record] = await engine.store.records(WORKFLOW, RUN)
    assert record.dispatches == 1


async def test_shards_of_a_process_without_a_broker_are_taken_over_at_once() -> None:
    engine = await away()
    other = MemoryBroker(engine.broker._exchange)
    await other.open()
    dispatcher = Dispatcher(other, NAMESPACE)
    duties = Duties(
        engine.store,
        other,
        Timers(engine.store, other, dispatcher, namespace=NAMESPACE, retention_ms=60_000),
        Redrive(engine.store, other, dispatcher),
        engine.clock,
        process=ProcessName("p2"),
        on_error=lambda doing, error: None,
    )
    for number in range(8):
        await engine.start(workflow_id=WorkflowId(f"order-{number}"), request_id=f"run-{number}")
    await duties.once()
    engine.clock.ms += 1_000
    await engine.duties.once()
    engine.clock.ms += 1_000
    await duties.once()
    await engine.settle()
    assert await other.ready(WAKEUPS) == 8


async def test_that_the_broker_is_away_is_told_once() -> None:
    engine = await away()
    for _ in range(3):
        await engine.pass_time(1_000)
    assert len(engine.errors) == 1
    assert "RabbitMQ is away" in engine.errors[0]
