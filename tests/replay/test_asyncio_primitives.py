"""Every primitive of asyncio works durably, and any prefix of its history gives the same again."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.replay.facts import TaskFailure
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from tests.replay.driver import Driven, kinds, workflow_of

CLOSE = timedelta(seconds=5)
TOPIC: contextvars.ContextVar[str] = contextvars.ContextVar("topic", default="none")


@workflow_of
async def sleeps(self) -> str:
    await asyncio.sleep(0)
    await asyncio.sleep(-1)
    await asyncio.sleep(0.0015)
    return await asyncio.sleep(2.5, "slept")


def test_sleep_is_a_timer_rounded_to_milliseconds_and_none_when_it_only_yields() -> None:
    driven = Driven(sleeps)
    assert driven.step() == (c.StartTimer(timer_id="1", start_to_fire_ms=2),)
    assert driven.step(driven.fired(1)) == (c.StartTimer(timer_id="2", start_to_fire_ms=2500),)
    driven.step(driven.fired(2))
    assert driven.result() == "slept"
    driven.check_replays()


@workflow_of
async def sleeps_with_summary(self) -> None:
    await workflow.sleep(timedelta(days=365 * 30), summary="a pension")
    await workflow.sleep(0)


def test_a_sleep_of_any_length_carries_its_summary() -> None:
    driven = Driven(sleeps_with_summary)
    (timer,) = driven.step()
    assert isinstance(timer, c.StartTimer)
    assert (timer.start_to_fire_ms, timer.summary) == (946_080_000_000, "a pension")
    started = driven.history[-1].attributes
    assert isinstance(started, e.TimerStarted)
    assert started.summary == "a pension"
    driven.step(driven.fired(1))
    driven.check_replays()


@workflow_of
async def sleeps_wrongly(self, seconds: float) -> None:
    await workflow.sleep(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "≥ 0"), (1e12, "at most 36500 days"), (1e300, "at most")]
)
def test_a_sleep_without_sense_fails_the_task(seconds: float, text: str) -> None:
    failure = Driven(sleeps_wrongly, seconds).attempt()
    assert isinstance(failure, TaskFailure)
    assert text in failure.failure.message


@workflow_of
async def sleeps_and_is_cancelled(self) -> str:
    task = asyncio.create_task(workflow.sleep(60))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    return str(task.cancelled())


def test_a_cancelled_sleep_takes_its_timer_back() -> None:
    driven = Driven(sleeps_and_is_cancelled)
    # The task begins when the main coroutine first waits.
    assert kinds(driven.step()) == ["StartTimer 1", "StartTimer 2"]
    assert kinds(driven.step(driven.fired(1))) == ["CancelTimer 2", "CompleteWorkflowExecution"]
    assert driven.result() == "True"
    driven.check_replays()


@workflow_of
async def waits_for(self) -> list[str]:
    seen = [await asyncio.wait_for(asyncio.sleep(1, "in time"), 60)]
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 2)
    except TimeoutError:
        seen.append("late")
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0)
    except TimeoutError:
        seen.append("at once")
    seen.append(await asyncio.wait_for(asyncio.sleep(0, "no limit"), None))
    return seen


def test_wait_for_takes_its_timer_back_and_ends_when_it_fires() -> None:
    driven = Driven(waits_for)
    assert sorted(kinds(driven.step())) == ["StartTimer 1", "StartTimer 2"]
    (inner,) = [t for t in driven.state.timers.values() if t.started.start_to_fire_ms == 1000]
    commands = driven.step(driven.fired(inner.started.timer_id))
    assert kinds(commands)[-1] == "StartTimer 3"
    assert kinds(commands)[0].startswith("CancelTimer")
    driven.step(driven.fired(3))
    assert driven.result() == ["in time", "late", "at once", "no limit"]
    driven.check_replays()


@workflow_of
async def times_out(self) -> list[object]:
    seen: list[object] = []
    try:
        async with asyncio.timeout(1):
            await asyncio.Event().wait()
    except TimeoutError:
        seen.append("timeout")
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + 2) as scope:
            scope.reschedule(asyncio.get_running_loop().time() + 3)
            await asyncio.Event().wait()
    except TimeoutError:
        seen.append(scope.expired())
    async with asyncio.timeout(None):
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5), asyncio.timeout(60):
            await asyncio.sleep(30)
    except TimeoutError:
        seen.append("outer")
    return seen


def test_timeouts_are_timers_and_may_be_moved_and_nested() -> None:
    driven = Driven(times_out)
    driven.step()
    commands = driven.step(driven.fired(1))
    # A timer that is moved within the activation leaves no trace.
    assert commands == (c.StartTimer(timer_id="3", start_to_fire_ms=3000),)
    assert kinds(driven.step(driven.fired(3)))[:3] == [
        "StartTimer 4",
        "StartTimer 5",
        "StartTimer 6",
    ]
    commands = driven.step(driven.fired(4))
    assert sorted(kinds(commands)) == [
        "CancelTimer 5",
        "CancelTimer 6",
        "CompleteWorkflowExecution",
    ]
    assert driven.result() == ["timeout", True, "outer"]
    driven.check_replays()


@workflow_of
async def guards_a_result(self, how: str) -> str:
    async def work() -> str:
        return await workflow.execute_activity("work", start_to_close_timeout=CLOSE)

    if how == "wait_for":
        return await asyncio.wait_for(work(), 60)
    if how == "handle":
        return await asyncio.wait_for(
            workflow.start_activity("work", start_to_close_timeout=CLOSE), 60
        )
    if how == "wait":
        done, _ = await asyncio.wait([asyncio.create_task(work())], timeout=60)
        return done.pop().result() if done else "late"
    async with asyncio.timeout(60):
        return await work()


@pytest.mark.parametrize("how", ["wait_for", "handle", "wait", "timeout"])
@pytest.mark.parametrize("first", ["result", "time-out"])
def test_a_result_that_comes_with_its_time_out_counts(how: str, first: str) -> None:
    driven = Driven(guards_a_result, how)
    driven.step()
    news = [driven.completed("work", "done"), driven.fired(1)]
    commands = driven.step(*(news if first == "result" else reversed(news)))
    assert kinds(commands) == ["CompleteWorkflowExecution"]
    assert driven.result() == "done"
    driven.check_replays()


@workflow_of
async def two_due_timers(self) -> list[str]:
    seen: list[str] = []

    async def note(seconds: int) -> None:
        await asyncio.sleep(seconds)
        seen.append(f"slept {seconds}")
        await workflow.wait_condition(lambda: len(seen) > 1)
        seen.append(f"saw {len(seen)}")

    await asyncio.gather(note(2), note(1))
    return seen


def test_timers_of_one_task_fire_one_by_one_in_the_order_of_history() -> None:
    driven = Driven(two_due_timers)
    driven.step()
    driven.step(driven.fired(2), driven.fired(1))
    assert driven.result() == ["slept 1", "slept 2", "saw 2", "saw 3"]
    driven.check_replays()


@workflow_of
async def gathers(self) -> list[object]:
    async def failing() -> None:
        await asyncio.sleep(2)
        raise ValueError("one failed")

    found = await asyncio.gather(
        asyncio.sleep(3, "a"),
        failing(),
        workflow.execute_activity("b", start_to_close_timeout=CLOSE),
        return_exceptions=True,
    )
    return [str(one) for one in found]


def test_gather_keeps_the_order_of_its_arguments() -> None:
    driven = Driven(gathers)
    assert kinds(driven.step()) == ["StartTimer 1", "StartTimer 2", "ScheduleActivityTask b"]
    assert driven.run_to_end() == ["a", "one failed", "b"]
    driven.check_replays()


@workflow_of
async def group_fails(self, children: int) -> str:
    async def child(number: int) -> None:
        await asyncio.sleep(10 + number)
        raise ValueError(str(number))

    seen = "fine"
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(children):
                group.create_task(child(number))
    except* ValueError as errors:
        seen = str(errors.exceptions[0])
    return seen


@pytest.mark.parametrize("run_id", ["run-1", "run-2", "run-3"])
def test_a_failing_task_group_cancels_the_others_in_the_order_they_were_made(run_id: str) -> None:
    driven = Driven(group_fails, 50, run_id=run_id)
    driven.step()
    commands = driven.step(driven.fired(7))
    assert driven.result() == "6"
    others = [f"CancelTimer {number}" for number in range(1, 51) if number != 7]
    assert kinds(commands) == [*others, "CompleteWorkflowExecution"]
    driven.check_replays()


@workflow_of
async def group_of_activities(self) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(workflow.execute_activity(name, start_to_close_timeout=CLOSE))
            for name in ("a", "b", "c")
        ]
    return [task.result() for task in tasks]


def test_a_task_group_of_activities() -> None:
    driven = Driven(group_of_activities)
    assert driven.run_to_end() == ["a", "b", "c"]
    driven.check_replays()


@workflow_of
async def synchronises(self) -> list[str]:
    seen: list[str] = []
    event, lock, condition = asyncio.Event(), asyncio.Lock(), asyncio.Condition()
    gate, bounded = asyncio.Semaphore(2), asyncio.BoundedSemaphore(1)
    barrier = asyncio.Barrier(3)

    async def worker(number: int) -> None:
        await event.wait()
        async with gate:
            await asyncio.sleep(1)
        async with lock, bounded:
            seen.append(f"in {number}")
            await asyncio.sleep(1)
        async with condition:
            condition.notify_all()
        place = await barrier.wait()
        seen.append(f"out {number} {place}")

    tasks = [asyncio.create_task(worker(number)) for number in range(3)]
    await asyncio.sleep(5)
    event.set()
    async with condition:
        await condition.wait_for(lambda: len(seen) == 3)
    await asyncio.gather(*tasks)
    return seen


def test_events_locks_semaphores_conditions_and_barriers() -> None:
    driven = Driven(synchronises)
    result = driven.run_to_end()
    assert result[:3] == ["in 0", "in 1", "in 2"]
    assert sorted(result[3:]) == ["out 0 0", "out 1 1", "out 2 2"]
    driven.check_replays()


@workflow_of
async def queues(self) -> list[object]:
    plain: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
    sorted_: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
    last: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    got: list[object] = []

    async def consumer() -> None:
        while True:
            got.append(await plain.get())
            await asyncio.sleep(1)
            plain.task_done()

    task = asyncio.create_task(consumer())
    for number in range(3):
        await plain.put(number)
    await plain.join()
    task.cancel()
    for pair in ((2, "b"), (1, "a")):
        sorted_.put_nowait(pair)
        last.put_nowait(pair[0])
    got.append(await sorted_.get())
    got.append(await last.get())
    return got


def test_queues_of_all_kinds() -> None:
    driven = Driven(queues)
    assert driven.run_to_end() == [0, 1, 2, [1, "a"], 1]
    driven.check_replays()


@workflow_of
async def shields(self) -> list[str]:
    inner = asyncio.create_task(asyncio.sleep(10, "kept"))
    outer = asyncio.ensure_future(asyncio.shield(inner))
    await asyncio.sleep(1)
    outer.cancel()
    try:
        await outer
    except asyncio.CancelledError:
        return ["outer cancelled", await inner]
    return []


def test_shield_keeps_the_inner_task() -> None:
    driven = Driven(shields)
    driven.step()
    assert kinds(driven.step(driven.fired(1))) == []
    driven.step(driven.fired(2))
    assert driven.result() == ["outer cancelled", "kept"]
    driven.check_replays()


@workflow_of
async def waits_on_tasks(self) -> list[object]:
    def named(*seconds: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(asyncio.sleep(n, n), name=str(n)) for n in seconds]

    first, pending = await asyncio.wait(named(3, 1, 2), return_when=asyncio.FIRST_COMPLETED)
    cancelled = [task.get_name() for task in pending if task.cancel()]
    done, late = await asyncio.wait(named(5, 50), timeout=10)
    in_order = [await one for one in asyncio.as_completed([*late, *named(30, 20)])]
    return [[t.result() for t in first], cancelled, [t.result() for t in done], in_order]


def test_wait_and_as_completed_of_asyncio_on_tasks() -> None:
    driven = Driven(waits_on_tasks)
    assert driven.run_to_end() == [[1], ["3", "2"], [5], [20, 30, 50]]
    driven.check_replays()


@workflow_of
async def waits_on_lists(self) -> list[object]:
    async def failing() -> None:
        await asyncio.sleep(2)
        raise ValueError("second")

    gathered = [asyncio.gather(asyncio.sleep(n, n)) for n in (3, 1, 2)]
    done, pending = await workflow.wait(gathered, return_when=asyncio.FIRST_COMPLETED)
    order = [gathered.index(one) for one in (*done, *pending)]
    tasks = [asyncio.create_task(one) for one in (failing(), asyncio.sleep(40))]
    bad, rest = await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    none, both = await workflow.wait([*rest, *rest], timeout=1)
    ordered = [
        await one
        for one in workflow.as_completed(
            [asyncio.sleep(8, "c"), asyncio.sleep(6, "a"), asyncio.sleep(7, "b")], timeout=60
        )
    ]
    late: list[str] = []
    for one in workflow.as_completed([asyncio.sleep(1, "soon"), asyncio.sleep(99)], timeout=2):
        try:
            late.append(await one)
        except TimeoutError:
            late.append("late")
    return [order, str(bad[0].exception()), [len(none), len(both)], ordered, late]


def test_the_waits_of_workflow_keep_lists_in_order() -> None:
    driven = Driven(waits_on_lists)
    assert driven.run_to_end() == [[1, 0, 2], "second", [0, 1], ["a", "b", "c"], ["soon", "late"]]
    driven.check_replays()


@workflow_of
async def knows_its_tasks(self) -> list[object]:
    async def idle() -> str:
        await asyncio.sleep(1)
        mine = asyncio.current_task()
        return "" if mine is None else mine.get_name()

    tasks = [asyncio.create_task(idle()) for _ in range(2)]
    await asyncio.sleep(0)
    me = asyncio.current_task()
    everything = asyncio.all_tasks()
    same = everything == {me, *tasks}
    return [same, [await task for task in tasks], asyncio.get_running_loop().is_running()]


def test_current_task_and_all_tasks_know_the_run_only_and_names_are_stable() -> None:
    for _ in range(2):  # asyncio's own default names are counted over the whole process
        driven = Driven(knows_its_tasks)
        assert driven.run_to_end() == [True, ["Task-2", "Task-3"], True]
    driven.check_replays()


@workflow_of
async def has_contexts(self) -> list[str]:
    async def child(topic: str) -> str:
        before = TOPIC.get()
        TOPIC.set(topic)
        await asyncio.sleep(1)
        return f"{before}→{TOPIC.get()}"

    outer = TOPIC.get()
    TOPIC.set("run")
    return [outer, *await asyncio.gather(child("a"), child("b")), TOPIC.get()]


def test_context_variables_belong_to_tasks_and_nothing_leaks_in() -> None:
    token = TOPIC.set("the worker's own")
    try:
        driven = Driven(has_contexts)
        assert driven.run_to_end() == ["none", "run→a", "run→b", "run"]
        driven.check_replays()
        assert TOPIC.get() == "the worker's own"
    finally:
        TOPIC.reset(token)


@workflow_of
async def generates(self) -> list[int]:
    async def numbers():
        try:
            for number in range(9):
                await asyncio.sleep(1)
                yield number
        finally:
            await workflow.sleep(1)

    seen: list[int] = []
    async for number in numbers():
        seen.append(number)
        if number == 1:
            break
    await asyncio.sleep(1)
    return seen


def test_an_abandoned_generator_is_not_ended_by_the_garbage_collector() -> None:
    driven = Driven(generates)
    driven.step()
    driven.step(driven.fired(1))
    assert kinds(driven.step(driven.fired(2))) == ["StartTimer 3"]
    driven.step(driven.fired(3))
    assert driven.result() == [0, 1]
    driven.check_replays()


@workflow_of
async def refused(self, what: str) -> None:
    loop = asyncio.get_running_loop()
    if what == "thread":
        await asyncio.to_thread(print)
    elif what == "executor":
        await loop.run_in_executor(None, print)
    elif what == "socket":
        await asyncio.open_connection("127.0.0.1", 1)
    elif what == "process":
        await asyncio.create_subprocess_exec("true")
    elif what == "run":
        nothing = asyncio.sleep(0)
        try:
            asyncio.run(nothing)
        finally:
            nothing.close()
    elif what == "as_completed":
        coroutine = asyncio.sleep(1)
        next(iter(asyncio.as_completed([coroutine])))
    elif what == "wait":
        await asyncio.wait([asyncio.gather(asyncio.sleep(n)) for n in (1, 2)])
    elif what == "factory":
        loop.set_task_factory(lambda *_: None)
    elif what == "eager":
        await loop.create_task(asyncio.sleep(1), eager_start=True)
    elif what == "stop":
        loop.stop()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("thread", "belong in an activity"),
        ("executor", "belong in an activity"),
        ("socket", "belong in an activity"),
        ("process", "belong in an activity"),
        ("run", "cannot be called from a running event loop"),
        ("as_completed", "use workflow.as_completed"),
        ("wait", "use workflow.wait"),
        ("factory", "always begin in turn"),
        ("eager", "begin in turn"),
        ("stop", "run, and stopped, by the worker"),
    ],
)
def test_what_is_refused_fails_the_task_and_says_what_to_use(what: str, text: str) -> None:
    driven = Driven(refused, what)
    failure = driven.attempt()
    assert isinstance(failure, TaskFailure)
    assert text in failure.failure.message
    assert driven.run.evict()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_the_eager_task_factory_is_refused() -> None:
    failure = Driven(sets_eager_factory).attempt()
    assert isinstance(failure, TaskFailure)
    assert "set_task_factory does not exist" in failure.failure.message


@workflow_of
async def sets_eager_factory(self) -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
