"""What RabbitMQ had to be given anew is repeated at once, not when its rows are due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from orchestrator.config import EMBEDDED, load_settings
from orchestrator.ids import TaskQueue
from orchestrator.ports.broker import ActivityQueue, WorkflowQueue
from orchestrator.wire.commands import ScheduleActivityTask
from orchestrator.wiring import Services
from orchestrator.worker.recovery import Recovery
from tests.unit.memory_engine import QUEUE, Engine

PAY = ScheduleActivityTask(
    activity_id="1", activity_type="pay", task_queue=QUEUE, start_to_close_timeout_ms=10_000
)


async def nothing() -> None:
    """There are no ends to repeat."""


@pytest.fixture
async def recovery(engine: Engine) -> AsyncIterator[Recovery]:
    services = Services(
        settings=load_settings({"broker": EMBEDDED, "store": EMBEDDED}),
        store=engine.store,
        broker=engine.broker,
        clock=engine.clock,
    )
    made = Recovery(services, task_queue=QUEUE, repeat_finishes=nothing)
    running = asyncio.create_task(made.run())
    yield made
    made.stop()
    await running


async def test_tasks_of_a_lost_activity_queue_are_published_at_once(
    engine: Engine, recovery: Recovery
) -> None:
    await engine.start()
    await engine.commit(PAY)
    recovery.queues_made([ActivityQueue(QUEUE)])
    await engine.settle()
    await engine.pass_time(0)
    assert [task.activity_type for task in engine.activities] == ["pay"]
    assert engine.wakeups == []


async def test_wake_ups_of_a_lost_workflow_queue_are_published_at_once(
    engine: Engine, recovery: Recovery
) -> None:
    await engine.start()
    recovery.queues_made([WorkflowQueue(QUEUE)])
    await engine.settle()
    await engine.pass_time(0)
    assert len(engine.wakeups) == 1


async def test_the_loss_of_other_queues_repeats_nothing(engine: Engine, recovery: Recovery) -> None:
    await engine.start()
    await engine.commit(PAY)
    recovery.queues_made([ActivityQueue(TaskQueue("others")), WorkflowQueue(TaskQueue("others"))])
    await engine.settle()
    await engine.pass_time(0)
    assert (engine.activities, engine.wakeups) == ([], [])


@pytest.mark.parametrize("waits", [False, True])
async def test_new_queues_are_news_only_if_something_waited_for_them(
    engine: Engine, recovery: Recovery, caplog: pytest.LogCaptureFixture, waits: bool
) -> None:
    caplog.set_level(logging.INFO, logger="orchestrator")
    if waits:
        await engine.start()
    recovery.queues_made([WorkflowQueue(QUEUE), ActivityQueue(QUEUE)])
    await engine.settle()
    told = [record.msg for record in caplog.records]
    assert told == (["lost_wakeups_repeated"] if waits else [])
