"""What leaves user code ends the run, fails it, or fails its task; the worker lives in any case."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.exceptions import ApplicationError, CancelledError
from orchestrator.replay.facts import Commands, TaskFailure
from orchestrator.wire import commands as c
from orchestrator.wire.events import WorkflowTaskFailureCause
from tests.replay.driver import CONVERTER, Driven, kinds, workflow_of

CLOSE = timedelta(seconds=5)
CODE = WorkflowTaskFailureCause.WORKFLOW_CODE


class OutOfStock(Exception):
    """An error of the user's own."""


ERRORS = {
    "application": lambda: ApplicationError("no"),
    "timeout": lambda: TimeoutError("late"),
    "bug": lambda: KeyError("bug"),
    "own": lambda: OutOfStock("none left"),
    "exit": lambda: SystemExit(3),
    "interrupt": lambda: KeyboardInterrupt(),
    "generator": lambda: GeneratorExit(),
    "group": lambda: ExceptionGroup("two", [ApplicationError("a"), TimeoutError("b")]),
    "mixed": lambda: ExceptionGroup("two", [ApplicationError("a"), KeyError("b")]),
}
ENDS = [
    ("application", True),
    ("timeout", True),
    ("group", True),
    ("bug", False),
    ("own", False),
    ("mixed", False),
    ("exit", False),
    ("interrupt", False),
    ("generator", False),
]


@workflow_of
async def raises(self, which: str) -> None:
    raise ERRORS[which]()


@workflow_of
async def raises_in_a_child(self, which: str) -> None:
    async def child() -> None:
        raise ERRORS[which]()

    task = asyncio.create_task(child())
    await asyncio.sleep(0)
    await task


@workflow.defn
class RaisesInInit:
    @workflow.init
    def __init__(self, which: str) -> None:
        raise ERRORS[which]()

    @workflow.run
    async def run(self, which: str) -> None: ...


@workflow.defn
class RaisesInHandlers:
    @workflow.run
    async def run(self, which: str) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def now(self, which: str) -> None:
        raise ERRORS[which]()

    @workflow.signal
    async def later(self, which: str) -> None:
        await asyncio.sleep(0)
        raise ERRORS[which]()


@workflow_of
async def raises_in_a_condition(self, which: str) -> None:
    def condition() -> bool:
        raise ERRORS[which]()

    await workflow.wait_condition(condition)


@pytest.mark.parametrize(("which", "fails_the_run"), ENDS)
@pytest.mark.parametrize("place", ["run", "child", "init", "now", "later", "condition"])
def test_failures_fail_the_run_and_anything_else_its_task(
    place: str, which: str, fails_the_run: bool
) -> None:
    classes = {
        "run": raises,
        "child": raises_in_a_child,
        "init": RaisesInInit,
        "condition": raises_in_a_condition,
    }
    driven = Driven(classes.get(place, RaisesInHandlers), which)
    news = [driven.signaled(place, which)] if place in ("now", "later") else []
    completion = driven.attempt(*news)
    if fails_the_run:
        assert isinstance(completion, Commands)
        assert kinds(completion.commands) == ["FailWorkflowExecution"]
        driven.check_replays()
    else:
        assert isinstance(completion, TaskFailure)
        assert completion.cause is CODE
        assert driven.run.evict()


@workflow.defn(failure_exception_types=[OutOfStock])
class FailsOnOwn:
    @workflow.run
    async def run(self, which: str) -> bool:
        assert workflow.is_failure_exception(OutOfStock()) == (which == "own")
        raise ERRORS[which]()


def test_the_definition_may_name_more_failures() -> None:
    driven = Driven(FailsOnOwn, "own")
    assert kinds(driven.step()) == ["FailWorkflowExecution"]
    assert isinstance(Driven(FailsOnOwn, "bug").attempt(), TaskFailure)


def test_the_worker_may_name_more_failures() -> None:
    driven = Driven(raises, "bug", failure_exception_types=[LookupError])
    assert kinds(driven.step()) == ["FailWorkflowExecution"]
    driven.check_replays()


@workflow_of
async def asks_what_fails(self) -> list[bool]:
    return [
        workflow.is_failure_exception(error)
        for error in (
            ApplicationError("a"),
            TimeoutError(),
            CancelledError(),
            ERRORS["group"](),
            ERRORS["mixed"](),
            asyncio.CancelledError(),
            KeyError(),
        )
    ]


def test_code_may_ask_what_would_fail_the_run() -> None:
    driven = Driven(asks_what_fails)
    driven.step()
    assert driven.result() == [True, True, True, True, False, False, False]


@workflow_of
async def returns_nonsense(self) -> object:
    return object()


@workflow_of
async def recurses(self) -> None:
    def deeper() -> None:
        deeper()

    deeper()


def test_a_result_that_cannot_travel_fails_the_task() -> None:
    failure = Driven(returns_nonsense).attempt()
    assert isinstance(failure, TaskFailure)
    assert failure.cause is WorkflowTaskFailureCause.PAYLOAD
    assert "type object has no JSON form" in failure.failure.message


@workflow_of
async def returns_too_much(self) -> str:
    return "a" * 3_000_000


@workflow_of
async def passes_too_much(self) -> None:
    await workflow.execute_activity("a", "a" * 3_000_000, start_to_close_timeout=CLOSE)


@pytest.mark.parametrize("cls", [returns_too_much, passes_too_much])
def test_a_value_over_the_limit_fails_the_task(cls: type) -> None:
    failure = Driven(cls).attempt()
    assert isinstance(failure, TaskFailure)
    assert failure.cause is WorkflowTaskFailureCause.PAYLOAD
    assert "the limit is" in failure.failure.message


def test_endless_recursion_fails_the_task() -> None:
    failure = Driven(recurses).attempt()
    assert isinstance(failure, TaskFailure)
    assert failure.failure.detail.error_type == "RecursionError"


@workflow_of
async def wants_a_number(self, count: int, unit: str = "kg") -> None: ...


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("three",), "argument 1 'count' of workflow 'wants_a_number' does not fit"),
        ((1, 2), "argument 2 'unit' of workflow"),
        ((), "takes 1 to 2 argument(s) (count, unit), found 0"),
        ((1, "g", 3), "found 3"),
    ],
)
def test_arguments_that_do_not_fit_fail_the_task_and_are_named(
    args: tuple[object, ...], text: str
) -> None:
    failure = Driven(wants_a_number, *args).attempt()
    assert isinstance(failure, TaskFailure)
    assert failure.cause is WorkflowTaskFailureCause.PAYLOAD
    assert text in failure.failure.message


def test_a_missing_argument_falls_to_its_default() -> None:
    assert kinds(Driven(wants_a_number, 3).step()) == ["CompleteWorkflowExecution"]


@workflow.defn
class Continues:
    @workflow.run
    async def run(self, place: str) -> None:
        if place == "run":
            try:
                workflow.continue_as_new(args=[1, 2], workflow="other", task_queue="q")
            except Exception:
                return
        if place == "child":
            await asyncio.gather(self.child())
        await workflow.wait_condition(lambda: False)

    async def child(self) -> None:
        workflow.continue_as_new("next", memo={"k": 1}, run_timeout=timedelta(minutes=1))

    @workflow.signal
    async def again(self) -> None:
        await asyncio.sleep(0)
        workflow.continue_as_new("next", task_timeout=timedelta(seconds=3))


@pytest.mark.parametrize("place", ["run", "child", "handler"])
def test_continue_as_new_from_anywhere(place: str) -> None:
    driven = Driven(Continues, place)
    news = [driven.signaled("again")] if place == "handler" else []
    (command,) = driven.step(*news)
    assert isinstance(command, c.ContinueAsNewWorkflowExecution)
    assert driven.successor is not None
    driven.check_replays()


def test_continue_as_new_carries_its_options_and_inherits_the_rest() -> None:
    driven = Driven(
        Continues, "run", memo={"a": CONVERTER.to_payloads([1])[0]}, run_timeout_ms=9000
    )
    driven.step()
    assert driven.successor is not None
    started = driven.successor.started
    assert (started.workflow_type, started.task_queue) == ("other", "q")
    assert [payload.content() for payload in started.input] == [b"1", b"2"]
    assert (started.run_timeout_ms, list(started.memo)) == (9000, ["a"])
    assert started.first_run_id == "run-1"


@workflow_of
async def leaves_work(self) -> str:
    task = asyncio.create_task(asyncio.sleep(5))
    await asyncio.sleep(0)
    return "done" if not task.done() else ""


def test_what_is_wished_for_before_the_end_is_in_history_and_nothing_after_it() -> None:
    driven = Driven(leaves_work)
    assert kinds(driven.step()) == ["StartTimer 1", "CompleteWorkflowExecution"]
    driven.check_replays()


@workflow_of
async def cleans_up_for_ever(self, how: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        if how == "awaits":
            await workflow.execute_activity("a", start_to_close_timeout=CLOSE)
        if how == "starts":
            workflow.start_activity("a", start_to_close_timeout=CLOSE)
        if how == "exits":
            raise SystemExit
        if how == "yields":
            while True:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    pass


@pytest.mark.parametrize("how", ["plain", "awaits", "starts", "exits"])
def test_eviction_ends_code_that_cleans_up_and_takes_no_commands(how: str) -> None:
    driven = Driven(cleans_up_for_ever, how)
    driven.step()
    assert driven.run.evict()
    assert not driven.run.loop.tasks


@workflow_of
async def catches_everything(self) -> None:
    while True:
        try:
            await workflow.execute_activity("a", start_to_close_timeout=CLOSE)
        except BaseException:
            continue


@workflow_of
async def waits_in_a_circle(self) -> None:
    tasks: list[asyncio.Task[object]] = []

    async def join() -> None:
        await asyncio.gather(*tasks)

    tasks.extend(asyncio.create_task(join()) for _ in range(2))
    await tasks[0]


@pytest.mark.filterwarnings("ignore:.*ignored GeneratorExit", "ignore:.*was never awaited")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("cls", "args"),
    [(catches_everything, ()), (cleans_up_for_ever, ("yields",)), (waits_in_a_circle, ())],
)
def test_code_that_swallows_cancellation_is_told_apart_and_does_not_hang(
    cls: type, args: tuple[str, ...]
) -> None:
    driven = Driven(cls, *args)
    driven.step()
    assert not driven.run.evict()
    driven.run.abandon()
    del driven
    gc.collect()  # now, and not in the middle of another test


def test_a_cancel_of_tasks_that_wait_in_a_circle_fails_the_task_and_is_not_lost() -> None:
    driven = Driven(waits_in_a_circle)
    driven.step()
    failure = driven.attempt(driven.cancel_asked())
    assert isinstance(failure, TaskFailure)
    assert failure.failure.detail.error_type == "RecursionError"
    driven.run.evict()
    driven.run.abandon()
