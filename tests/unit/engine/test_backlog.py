"""What may still wait in its queue is not published a second time; what is lost is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.ids import WorkflowId
from orchestrator.ports.broker import ActivityQueue, Outgoing, Queue, WorkflowQueue
from orchestrator.wire.commands import ScheduleActivityTask
from tests.unit.memory_engine import QUEUE, Engine

ACTIVITIES, WAKEUPS = ActivityQueue(QUEUE), WorkflowQueue(QUEUE)


@pytest.fixture
async def idle() -> AsyncIterator[Engine]:
    """An engine whose queues nobody takes from."""
    made = Engine()
    await made.broker.open()
    await made.broker.declare(ACTIVITIES, WAKEUPS)
    yield made
    await made.broker.close()
    assert made.errors == []


def activity(number: int) -> ScheduleActivityTask:
    return ScheduleActivityTask(
        activity_id=str(number),
        activity_type="pay",
        task_queue=QUEUE,
        start_to_close_timeout_ms=10_000,
    )


async def fill(engine: Engine, queue: Queue, count: int) -> None:
    for _ in range(count):
        engine.broker.publish(Outgoing(to=queue, body=b"another one's"))
    await engine.settle()


async def schedule(engine: Engine, count: int) -> None:
    await engine.start()
    await engine.commit(*(activity(number) for number in range(count)))


async def test_a_task_that_may_wait_in_its_queue_is_not_published_again(idle: Engine) -> None:
    await schedule(idle, 3)
    await fill(idle, ACTIVITIES, 3)
    for wait_ms in (2_000, 5_000, 10_000, 20_000):
        await idle.pass_time(wait_ms)
        assert await idle.broker.ready(ACTIVITIES) == 3


async def test_tasks_that_exceed_what_their_queue_holds_are_published_again(idle: Engine) -> None:
    await schedule(idle, 3)
    await fill(idle, ACTIVITIES, 1)
    await idle.pass_time(2_000)
    assert await idle.broker.ready(ACTIVITIES) == 1 + 2


async def test_a_task_is_published_again_after_a_minute_whatever_its_queue_holds(
    idle: Engine,
) -> None:
    await schedule(idle, 1)
    await fill(idle, ACTIVITIES, 5)
    for wait_ms in (2_000, 5_000, 10_000, 20_000, 30_000):
        assert await idle.broker.ready(ACTIVITIES) == 5
        await idle.pass_time(wait_ms)
    assert await idle.broker.ready(ACTIVITIES) == 6


async def test_a_backlog_of_an_hour_gets_few_repeats(idle: Engine) -> None:
    await schedule(idle, 1)
    await fill(idle, ACTIVITIES, 5)
    for _ in range(3_600):
        await idle.pass_time(1_000)
    repeats = (await idle.broker.ready(ACTIVITIES) or 0) - 5
    assert 5 <= repeats <= 15


async def test_wake_ups_of_all_shards_are_compared_with_their_queue_at_once(idle: Engine) -> None:
    for number in range(8):
        await idle.start(workflow_id=WorkflowId(f"order-{number}"), request_id=f"run-{number}")
    await idle.pass_time(2_000)
    assert await idle.broker.ready(WAKEUPS) == 8
