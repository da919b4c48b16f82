"""The duties on the memory adapters: what nobody did is done, once, at its time."""

from __future__ import annotations

import asyncio

from orchestrator.core.attempts import name_of
from orchestrator.core.shard import shard_of
from orchestrator.core.transition import Append, AttemptName, BeginAttempt
from orchestrator.ids import AttemptToken, EventId, ProcessName
from orchestrator.ports.store import Begun
from orchestrator.wire.commands import (
    CompleteWorkflowExecution,
    ScheduleActivityTask,
    StartTimer,
)
from orchestrator.wire.inbox import SignalReceived
from orchestrator.wire.options import RetryOptions, RunStatus
from tests.unit.memory_engine import NAMESPACE, RUN, WORKFLOW, Engine


def activity(**fields: object) -> ScheduleActivityTask:
    return ScheduleActivityTask(
        **{  # type: ignore[arg-type]  # fields of the Struct
            "activity_id": "1",
            "activity_type": "pay",
            "task_queue": "orders",
            "start_to_close_timeout_ms": 10_000,
            **fields,
        }
    )


async def begin(engine: Engine, *, holder: str, attempt: int = 1, due_in_ms: int = 10_000) -> None:
    name = AttemptName(
        workflow_id=WORKFLOW,
        run_id=RUN,
        event_id=EventId(5),
        key=await engine.key(),
        attempt=attempt,
    )
    answer = await engine.store.begin(
        BeginAttempt(
            name=name,
            token=AttemptToken(f"a{attempt}"),
            holder=ProcessName(holder),
            due_in_ms=due_in_ms,
        )
    )
    assert isinstance(answer, Begun)


async def test_a_lost_wake_up_is_repeated_until_somebody_follows_it(engine: Engine) -> None:
    await engine.start()
    for wait_ms in (2_000, 5_000, 10_000, 20_000, 30_000, 30_000):
        await engine.pass_time(wait_ms - 1)
        assert engine.wakeups == []
        await engine.pass_time(1)
        (task,) = engine.wakeups
        assert task.repeat
        assert task.workflow_id == WORKFLOW
        engine.wakeups.clear()


async def test_a_started_run_that_was_looked_at_is_left_alone(engine: Engine) -> None:
    await engine.start()
    await engine.commit()
    await engine.pass_time(100_000)
    assert engine.wakeups == []


async def test_a_start_delay_holds_the_first_task_back(engine: Engine) -> None:
    await engine.start(start_delay_ms=7_000)
    await engine.pass_time(6_999)
    assert engine.wakeups == []
    await engine.pass_time(1)
    assert len(engine.wakeups) == 1


async def test_a_due_timer_wakes_its_run_with_the_entry_inline(engine: Engine) -> None:
    await engine.start()
    await engine.commit(StartTimer(timer_id="1", start_to_fire_ms=3_600_000))
    await engine.pass_time(3_599_999)
    assert engine.wakeups == []
    await engine.pass_time(1)
    (task,) = engine.wakeups
    assert task.entry is not None
    assert task.entry.type == "TimerDue"
    await engine.pass_time(0)
    assert len(engine.wakeups) == 1


async def test_a_lost_activity_task_is_made_again_from_its_event(engine: Engine) -> None:
    await engine.start()
    await engine.commit(activity())
    await engine.pass_time(2_000)
    (task,) = engine.activities
    assert task.attempt == 1
    assert task.activity_type == "pay"
    assert task.workflow_type == "Order"
    assert name_of(task).key == await engine.key()


async def test_an_attempt_over_its_time_is_tried_again_after_the_back_off(engine: Engine) -> None:
    await engine.start()
    await engine.commit(activity())
    await engine.store.announce(ProcessName("p2"))
    await begin(engine, holder="p2")
    await engine.pass_time(10_000)
    assert engine.activities == []
    await engine.pass_time(1_000)
    (task,) = engine.activities
    assert task.attempt == 2
    assert task.last_failure is not None
    assert "start-to-close" in task.last_failure.message


async def test_the_last_attempt_over_its_time_ends_the_activity(engine: Engine) -> None:
    await engine.start()
    await engine.commit(activity(retry_policy=RetryOptions(maximum_attempts=1)))
    await begin(engine, holder="p2")
    await engine.pass_time(10_000)
    assert await engine.inbox() == ["ActivityTimedOut"]
    assert len(engine.wakeups) == 1


async def test_the_holder_of_a_long_activity_that_is_gone_is_replaced(engine: Engine) -> None:
    await engine.start()
    await engine.commit(activity(start_to_close_timeout_ms=3_600_000))
    await begin(engine, holder="nobody", due_in_ms=10_000)
    await engine.pass_time(10_000)
    (task,) = engine.activities
    assert task.attempt == 2


async def test_a_run_over_its_time_is_closed_without_its_code(engine: Engine) -> None:
    await engine.start(run_timeout_ms=5_000)
    await engine.pass_time(5_000)
    run = await engine.store.run(WORKFLOW)
    assert run is not None
    assert run.status is RunStatus.TIMED_OUT
    assert (await engine.types())[-1] == "WorkflowExecutionTimedOut"


async def test_a_closed_run_goes_when_its_retention_is_over(engine: Engine) -> None:
    await engine.start()
    await engine.commit(StartTimer(timer_id="1", start_to_fire_ms=10_000))
    signal = SignalReceived(signal_name="go")
    await engine.store.append(Append(workflow_id=WORKFLOW, body=signal, message=True))
    await engine.commit(CompleteWorkflowExecution())
    await engine.pass_time(0)
    await engine.pass_time(59_999)
    assert await engine.store.run(WORKFLOW) is not None
    await engine.pass_time(1)
    assert await engine.store.run(WORKFLOW) is None
    assert await engine.types() == []
    assert engine.wakeups == []


async def test_who_looks_too_early_at_what_it_armed_looks_again_in_time(engine: Engine) -> None:
    """The store's clock decides, and this process's may be ahead of it."""
    await engine.start()
    await engine.commit(StartTimer(timer_id="1", start_to_fire_ms=500))
    shard = shard_of(NAMESPACE, WORKFLOW, shards=4)
    engine.duties._share = frozenset()  # the shard is somebody else's
    engine.duties.expect(shard, engine.clock.ms)
    await engine.duties._look({shard})
    assert engine.duties._due() == set()
    engine.clock.ms += 500
    assert engine.duties._due() == {shard}
    await engine.duties._look({shard})
    assert await engine.inbox() == ["TimerDue"]
    assert engine.duties._due_at_ms == {}


async def test_what_is_expected_now_is_done_in_the_same_moment(engine: Engine) -> None:
    running = asyncio.create_task(engine.duties.run())
    await engine.settle()
    await engine.start()
    await engine.commit(activity())
    await begin(engine, holder="nobody")
    name = AttemptName(
        workflow_id=WORKFLOW,
        run_id=RUN,
        event_id=EventId(5),
        key=await engine.key(),
        attempt=1,
    )
    await engine.store.postpone(name, due_in_ms=0)
    engine.duties.expect(shard_of(NAMESPACE, WORKFLOW, shards=4), engine.clock.ms)
    await engine.settle()
    assert [task.attempt for task in engine.activities] == [2]
    engine.duties.stop()
    await engine.settle()
    assert running.done()
