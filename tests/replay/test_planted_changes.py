"""A change of code that does not fit its history is found: both sides, the event, the line."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from orchestrator import workflow
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.replay.facts import Commands, TaskFailure
from orchestrator.replay.partition import partition
from orchestrator.wire import commands as c
from orchestrator.wire.events import WorkflowTaskFailureCause
from tests.replay.driver import Driven, kinds, workflow_of

CLOSE = timedelta(seconds=5)
SOURCE = Path(__file__).read_text(encoding="utf-8").splitlines()


async def call(name: str) -> str:
    return await workflow.execute_activity(name, start_to_close_timeout=CLOSE)


@workflow_of
async def as_recorded(self) -> str:
    handle = workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await workflow.execute_activity("pay", start_to_close_timeout=CLOSE)
    await asyncio.sleep(60)
    handle.cancel()
    await workflow.execute_activity("ship", start_to_close_timeout=CLOSE)
    return "done"


@workflow_of
async def renamed(self) -> str:
    handle = workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await workflow.execute_activity("charge", start_to_close_timeout=CLOSE)  # renamed
    await asyncio.sleep(60)
    handle.cancel()
    return await call("ship")


@workflow_of
async def swapped(self) -> str:
    await workflow.execute_activity("pay", start_to_close_timeout=CLOSE)  # swapped
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    return await call("ship")


@workflow_of
async def without_timer(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await call("pay")
    await workflow.execute_activity("ship", start_to_close_timeout=CLOSE)  # without_timer
    return "done"


@workflow_of
async def waits_instead(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await call("pay")
    await workflow.wait_condition(lambda: False)  # waits_instead
    return "done"


@workflow_of
async def adds_a_timer(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    asyncio.get_running_loop().call_later(5, print)  # adds_a_timer
    await call("pay")
    return "done"


@workflow_of
async def adds_at_the_end_of_a_task(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    extra = asyncio.create_task(asyncio.sleep(5))
    await workflow.execute_activity("pay", start_to_close_timeout=CLOSE)
    await extra
    return "done"


@workflow_of  # ends_early
async def ends_early(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await call("pay")
    return "done"


@workflow_of
async def fails_early(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await call("pay")
    raise TimeoutError("no")  # fails_early


@workflow_of
async def cancels_another(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    other = workflow.start_activity("pay", start_to_close_timeout=CLOSE)
    await asyncio.sleep(60)
    other.cancel()  # cancels_another
    return await call("ship")


@workflow_of
async def does_not_cancel(self) -> str:
    workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    await call("pay")
    await asyncio.sleep(60)
    await workflow.execute_activity("ship", start_to_close_timeout=CLOSE)  # does_not_cancel
    return "done"


@workflow_of
async def takes_an_id(self) -> str:
    workflow.start_activity(  # takes_an_id
        "watch", activity_id="mine", start_to_close_timeout=CLOSE
    )
    return await call("pay")


def recorded() -> Driven:
    driven = Driven(as_recorded)
    driven.step()
    driven.step(driven.completed("pay"))
    driven.step(driven.fired(1))
    driven.step(driven.completed("ship"))
    assert driven.result() == "done"
    driven.check_replays()
    return driven


@pytest.mark.parametrize(
    ("cls", "history", "code"),
    [
        (renamed, "event 6 ActivityTaskScheduled 'pay'", "ScheduleActivityTask 'charge'"),
        (swapped, "event 5 ActivityTaskScheduled 'watch'", "ScheduleActivityTask 'pay'"),
        (without_timer, "event 12 TimerStarted '1'", "ScheduleActivityTask 'ship'"),
        (waits_instead, "event 12 TimerStarted '1'", "nothing more in this task; it waits at"),
        (adds_a_timer, "event 6 ActivityTaskScheduled 'pay'", "StartTimer '1'"),
        (adds_at_the_end_of_a_task, "ends with event 6", "StartTimer '1'"),
        (ends_early, "event 12 TimerStarted '1'", "CompleteWorkflowExecution"),
        (fails_early, "event 12 TimerStarted '1'", "FailWorkflowExecution"),
        (does_not_cancel, "event 18 ActivityTaskCancelRequested of event 5", "nothing more after"),
        (takes_an_id, "event 5 ActivityTaskScheduled 'watch' (id '1')", "'watch' (id 'mine')"),
    ],
)
def test_each_change_is_reported_with_both_sides(cls: type, history: str, code: str) -> None:
    failure = recorded().replay(cls)
    assert isinstance(failure, TaskFailure)
    assert failure.cause is WorkflowTaskFailureCause.NONDETERMINISM
    text = failure.failure.message
    assert history in text
    assert code in text
    marked = [n for n, line in enumerate(SOURCE, 1) if line.endswith(f"# {cls.__name__}")]
    if marked:
        assert f"{Path(__file__).name}:{marked[0]}" in text


def test_another_activity_that_is_cancelled_is_told_apart() -> None:
    driven = Driven(cancels_another)
    driven.step()
    driven.step(driven.fired(1))
    original = driven.replay(cancels_another)
    assert original == Commands()

    failure = driven.replay(cancels_watch)
    assert isinstance(failure, TaskFailure)
    assert "ActivityTaskCancelRequested of event 6" in failure.failure.message
    assert "RequestCancelActivityTask '1'" in failure.failure.message


@workflow_of
async def cancels_watch(self) -> str:
    watch = workflow.start_activity("watch", start_to_close_timeout=CLOSE)
    workflow.start_activity("pay", start_to_close_timeout=CLOSE)
    await asyncio.sleep(60)
    watch.cancel()
    return await call("ship")


@workflow_of
async def with_other_values(self) -> str:
    """What is not an order of commands may change: durations, arguments, queues, results."""
    handle = workflow.start_activity("watch", 7, task_queue="q", start_to_close_timeout=2 * CLOSE)
    await call("pay")
    await asyncio.sleep(3600)
    handle.cancel()
    await call("ship")
    return "another result"


def test_values_may_change_and_code_may_be_put_back() -> None:
    driven = recorded()
    assert driven.replay(with_other_values) == Commands()
    assert isinstance(driven.replay(renamed), TaskFailure)
    assert driven.replay(as_recorded) == Commands()


def test_a_change_behind_the_end_of_history_is_none() -> None:
    driven = Driven(as_recorded)
    driven.step()
    assert driven.replay(without_timer) == Commands()
    driven.run.evict()


def test_an_end_of_an_activity_that_the_code_does_not_know_is_found() -> None:
    driven = Driven(as_recorded)
    driven.step()
    run = driven.fresh(waits_instead)
    started = driven.completed("pay")
    driven.step(started)
    cut = partition(driven.history).activations
    # As if the first task had been lost: its events were never bound to commands.
    second = run.activate(cut[1])
    assert isinstance(second, TaskFailure)
    assert "ends the activity of event 6, which this code did not schedule" in (
        second.failure.message
    )
    driven.run.evict()


def test_configured_as_a_failure_it_fails_the_run_with_the_next_task() -> None:
    driven = Driven(as_recorded, failure_exception_types=[workflow.NondeterminismError])
    driven.step()
    driven.step(driven.completed("pay"))
    driven.run.evict()
    # The worker that replays has other code; what is recorded stands, the run fails after it.
    driven.definition = WorkflowDefinition.of(renamed)
    driven.run = driven.fresh()
    for activation in partition(driven.history).activations:
        assert driven.run.activate(activation) == Commands()
    (command,) = driven.step(driven.fired(1))
    assert isinstance(command, c.FailWorkflowExecution)
    assert "'charge'" in command.failure.message
    assert kinds([command]) == ["FailWorkflowExecution"]
    run = driven.fresh()
    for activation in partition(driven.history).activations:
        assert run.activate(activation) == Commands()
    assert run.evict()
    assert driven.run.evict()


def test_a_task_of_another_python_is_named_as_what_may_be_the_reason() -> None:
    driven = recorded()
    run = driven.fresh(renamed)
    old = msgspec.structs.replace(partition(driven.history).activations[0], python="3.0")
    failure = run.activate(old)
    assert isinstance(failure, TaskFailure)
    assert "recorded by Python 3.0 and this is 3." in failure.failure.message
    assert failure.cause is WorkflowTaskFailureCause.NONDETERMINISM
    run.evict()
