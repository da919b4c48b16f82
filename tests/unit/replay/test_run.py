"""One run in memory, driven by hand-made events."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ActivityError, ApplicationError
from orchestrator.replay.facts import Activation, Commands, TaskFailure
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload
from tests.unit.replay.runs import VALUES, History, completed, fired, result, signaled

CLOSE = timedelta(seconds=5)


@workflow.defn
class Activities:
    @workflow.run
    async def run(self, name: str) -> str:
        first = await workflow.execute_activity("a", name, start_to_close_timeout=CLOSE)
        await asyncio.sleep(2)
        return first + "!"


@workflow.defn
class OtherActivities:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity("b", name, start_to_close_timeout=CLOSE)


@workflow.defn
class Primitives:
    @workflow.run
    async def run(self) -> list[str]:
        seen: list[str] = []
        event, lock, queue = asyncio.Event(), asyncio.Lock(), asyncio.Queue()
        gate = asyncio.Semaphore(1)
        condition = asyncio.Condition()

        async def worker(n: int) -> None:
            await event.wait()
            async with lock, gate:
                await asyncio.sleep(0)
                queue.put_nowait(n)
            async with condition:
                condition.notify_all()

        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(worker(n))
            event.set()
            async with condition:
                await condition.wait_for(lambda: queue.qsize() == 3)
        seen.append(str([queue.get_nowait() for _ in range(3)]))
        try:
            async with asyncio.timeout(1):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 1)
        except TimeoutError:
            seen.append("wait_for")
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        await asyncio.wait_for(asyncio.sleep(0), 5)
        return seen


@workflow.defn
class Signals:
    def __init__(self) -> None:
        self.names: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        try:
            await workflow.wait_condition(lambda: len(self.names) >= 2, timeout=5)
        except TimeoutError:
            self.names.append("late")
        return self.names

    @workflow.signal
    async def add(self, name: str) -> None:
        self.names.append(name)

    @workflow.query
    def count(self) -> int:
        return len(self.names)

    @workflow.query
    def naughty(self) -> None:
        asyncio.create_task(asyncio.sleep(1))  # noqa: RUF006


@workflow.defn
class Cancels:
    @workflow.run
    async def run(self, kind: int) -> str:
        try:
            await workflow.execute_activity(
                "a",
                start_to_close_timeout=CLOSE,
                cancellation_type=workflow.ActivityCancellationType(kind),
            )
        except ActivityError as error:
            assert workflow.in_workflow()
            raise error
        return "done"


@workflow.defn
class Gathers:
    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(*(asyncio.sleep(n) for n in range(1, 5)))


@workflow.defn
class Ends:
    @workflow.run
    async def run(self, how: str) -> None:
        if how == "failure":
            raise ApplicationError("no")
        if how == "bug":
            raise KeyError("bug")
        if how == "thread":
            await asyncio.to_thread(print)
        if how == "drop":
            task = asyncio.create_task(asyncio.sleep(9))
            await asyncio.sleep(0)
            task.cancel()
            return
        workflow.continue_as_new("next")


def test_an_activity_and_a_timer_run_to_completion_and_replay_without_new_commands():
    history = History(Activities, "x")
    (schedule,) = history.step()
    assert isinstance(schedule, c.ScheduleActivityTask)
    (timer,) = history.step(completed(2, "hi"))
    assert timer.start_to_fire_ms == 2000
    assert result(history.step(fired(1))) == "hi!"
    assert history.replay() == [Commands()] * 3


def test_other_code_is_named_with_event_and_line():
    history = History(Activities, "x")
    history.step()
    (failure,) = history.replay(OtherActivities)
    assert isinstance(failure, TaskFailure)
    assert failure.cause is e.WorkflowTaskFailureCause.NONDETERMINISM
    assert "event 2" in failure.failure.message
    assert "'b'" in failure.failure.message
    assert "test_run.py:" in failure.failure.message


def test_primitives_of_asyncio_work_and_replay():
    history = History(Primitives)
    history.step()
    history.step(fired(1))
    history.step(fired(2))
    history.step(fired(3))
    assert result(history.step(fired(4))) == ["[0, 1, 2]", "timeout", "wait_for"]
    assert history.replay() == [Commands()] * 5


def test_signals_before_the_first_task_are_seen_and_drop_the_timer():
    commands = History(Signals).step(signaled("add", "a"), signaled("add", "b"))
    assert result(commands) == ["a", "b"]


def test_a_condition_times_out():
    history = History(Signals)
    history.step()
    assert result(history.step(fired(1))) == ["late"]


def test_queries_read_and_do_not_change():
    history = History(Signals)
    history.step(signaled("add", "a"))
    answer = history.run.query("count", ())
    assert isinstance(answer, Payload)
    assert bytes(answer.data) == b"1"
    assert isinstance(history.run.query("naughty", ()), Failure)
    assert isinstance(history.run.query("absent", ()), Failure)
    assert "run Signals" in history.run.stack()


@pytest.mark.parametrize("kind", [0, 2])
def test_cancelling_ends_the_wait_at_once(kind):
    history = History(Cancels, kind)
    history.step()
    commands = history.step(e.WorkflowExecutionCancelRequested())
    assert isinstance(commands[-1], c.CancelWorkflowExecution)
    assert isinstance(commands[0], c.RequestCancelActivityTask) == (kind == 0)
    assert history.replay() == [Commands()] * 2


def test_cancelling_may_wait_for_the_outcome():
    history = History(Cancels, 1)
    history.step()
    (request,) = history.step(e.WorkflowExecutionCancelRequested())
    assert isinstance(request, c.RequestCancelActivityTask)
    assert result(history.step(completed(2, 0))) == "done"


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("failure", c.FailWorkflowExecution),
        ("can", c.ContinueAsNewWorkflowExecution),
        ("drop", c.CompleteWorkflowExecution),
    ],
)
def test_each_end_has_its_command(how, kind):
    (command,) = History(Ends, how).step()
    assert isinstance(command, kind)


@pytest.mark.parametrize("how", ["bug", "thread"])
def test_a_bug_fails_the_task_only(how):
    answer = History(Ends, how).step()
    assert isinstance(answer, TaskFailure)
    assert answer.cause is e.WorkflowTaskFailureCause.WORKFLOW_CODE


def test_eviction_unwinds_everything():
    history = History(Cancels, 1)
    history.step()
    assert history.run.evict()
    assert not history.run.loop.tasks


def test_after_a_part_of_a_large_task_only_the_rest_is_new():
    history = History(Gathers)
    whole = history.step()
    now, events, recorded = history.tasks[0]
    for count in range(len(whole) + 1):
        run = WorkflowRun(WorkflowDefinition.of(Gathers), history.facts, VALUES)
        answer = run.activate(
            Activation(
                time_ms=now,
                events=events,
                replaying=True,
                recorded=recorded[:count],
                recorded_complete=False,
            )
        )
        assert answer == Commands(commands=whole[count:])


def test_each_prefix_of_a_history_gives_the_same_next_commands():
    history = History(Activities, "x")
    history.step()
    history.step(completed(2, "hi"))
    history.step(fired(1))
    for count in range(len(history.tasks)):
        run = WorkflowRun(WorkflowDefinition.of(Activities), history.facts, VALUES)
        for now, events, recorded in history.tasks[:count]:
            activation = Activation(time_ms=now, events=events, replaying=True, recorded=recorded)
            assert run.activate(activation) == Commands()
        now, events, _ = history.tasks[count]
        answer = run.activate(Activation(time_ms=now, events=events))
        assert answer == Commands(commands=history.answers[count].commands)
