"""Signals and queries: which handler takes them, in which order, and what may not happen there."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator import workflow
from orchestrator.common import RawValue
from orchestrator.replay.facts import TaskFailure
from orchestrator.replay.partition import partition
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload
from tests.replay.driver import CONVERTER, Driven, kinds, workflow_of


@workflow.defn
class Inbox:
    @workflow.init
    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        self.seen.append("run")
        await workflow.wait_condition(lambda: len(self.seen) > self.wanted)
        return self.seen

    @workflow.signal
    def put(self, text: str, times: int = 1) -> None:
        self.seen.append(text * times)

    @workflow.signal(name="slow", description="takes its time")
    async def put_slowly(self, text: str) -> None:
        await asyncio.sleep(1)
        self.seen.append(text)

    @workflow.signal(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> None:
        convert = workflow.payload_converter()
        self.seen.append(f"{name}:{[convert.from_payload(raw.payload, str) for raw in args]}")

    @workflow.query
    def count(self) -> int:
        return len(self.seen)

    @workflow.query(dynamic=True)
    def ask(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name} {len(args)}"


def test_signals_of_the_first_task_find_an_initialised_object_before_run_begins() -> None:
    driven = Driven(Inbox, 2)
    driven.step(driven.signaled("put", "a"), driven.signaled("put", "b", 2))
    assert driven.result() == ["a", "bb", "run"]
    driven.check_replays()


def test_a_dynamic_handler_takes_what_has_no_handler_of_its_own() -> None:
    driven = Driven(Inbox, 2)
    driven.step(driven.signaled("other", "x", "y"), driven.signaled("put", "a"))
    assert driven.result() == ["other:['x', 'y']", "a", "run"]
    driven.check_replays()


@pytest.mark.parametrize("args", [(1,), (), ("a", 1, 2), ("a", "b")])
def test_a_signal_that_does_not_fit_is_dropped_with_a_warning_that_is_not_repeated_on_replay(
    args: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    driven = Driven(Inbox, 1)
    driven.step(driven.signaled("put", *args), driven.signaled("put", "good"))
    assert driven.result() == ["good", "run"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "signal_dropped name='put'" in caplog.text
    caplog.clear()
    run = driven.fresh()
    for activation in partition(driven.history).activations:
        run.activate(activation)
    assert not caplog.records


def test_queries_are_answered_by_name_and_by_the_dynamic_handler() -> None:
    driven = Driven(Inbox, 9)
    driven.step(driven.signaled("put", "a"))
    for name, args, expected in (("count", (), 2), ("else", (1, 2), "else 2")):
        answer = driven.run.query(name, CONVERTER.to_payloads(args))
        assert isinstance(answer, Payload)
        assert CONVERTER.from_payloads([answer]) == [expected]
    assert not driven.run.tainted
    driven.step()


@workflow_of
async def sets_handlers(self) -> list[object]:
    seen: list[object] = []
    found: list[object] = [workflow.get_signal_handler("late"), workflow.get_query_handler("q")]

    def late(text: str) -> None:
        seen.append(text)

    async def rest(name: str, args: Sequence[RawValue]) -> None:
        seen.append(name)

    await asyncio.sleep(1)
    workflow.set_signal_handler("late", late)
    workflow.set_query_handler("q", lambda: seen)
    found.append(workflow.get_signal_handler("late") is late)
    await asyncio.sleep(1)
    workflow.set_dynamic_signal_handler(rest)
    workflow.set_dynamic_query_handler(lambda name, args: name)
    found.append(workflow.get_dynamic_signal_handler() is rest)
    found.append(workflow.get_dynamic_query_handler() is not None)
    await asyncio.sleep(1)
    workflow.set_signal_handler("late", None)
    workflow.set_dynamic_signal_handler(None)
    await asyncio.sleep(1)
    return [*found, *seen]


def test_signals_wait_for_a_handler_that_is_set_later_and_keep_their_order() -> None:
    driven = Driven(sets_handlers)
    driven.step(driven.signaled("late", "a"), driven.signaled("x"), driven.signaled("late", "b"))
    assert isinstance(driven.run.query("q", ()), Failure)
    driven.step(driven.fired(1), driven.signaled("y"))
    assert isinstance(driven.run.query("q", ()), Payload)
    driven.step(driven.fired(2), driven.signaled("late", "c"))
    assert isinstance(driven.run.query("anything", ()), Payload)
    driven.step(driven.fired(3))
    driven.step(driven.fired(4), driven.signaled("late", "kept"))
    # Messages are taken before the code that goes on: "c" came before the dynamic handler was set.
    assert driven.result() == [None, None, True, True, True, "a", "b", "c", "x", "y"]
    driven.check_replays()


@workflow.defn
class SetsInInit:
    def __init__(self) -> None:
        self.seen: list[str] = []
        workflow.set_signal_handler("extra", self.seen.append)
        workflow.set_signal_handler("plain", None)

    @workflow.run
    async def run(self) -> list[str]:
        await asyncio.sleep(1)
        return self.seen

    @workflow.signal
    def plain(self, text: str) -> None:
        self.seen.append(text)


def test_what_init_sets_stands_against_the_decorated_handlers() -> None:
    driven = Driven(SetsInInit)
    driven.step(driven.signaled("plain", "dropped"), driven.signaled("extra", "taken"))
    driven.step(driven.fired(1))
    assert driven.result() == ["taken"]
    driven.check_replays()


@workflow.defn
class Leaves:
    @workflow.run
    async def run(self, how: str) -> bool:
        await workflow.sleep(1)
        if how == "again":
            workflow.continue_as_new("return")
        return workflow.all_handlers_finished()

    @workflow.signal
    async def slow(self) -> None:
        await asyncio.sleep(60)

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def unimportant(self) -> None:
        await asyncio.sleep(60)


@pytest.mark.parametrize("how", ["return", "again"])
def test_an_end_that_leaves_handlers_running_warns_once_and_not_on_replay(how: str) -> None:
    driven = Driven(Leaves, how)
    driven.step(driven.signaled("slow"), driven.signaled("slow"), driven.signaled("unimportant"))
    (timer,) = [t for t in driven.state.timers.values() if t.started.start_to_fire_ms == 1000]
    with pytest.warns(workflow.UnfinishedSignalHandlersWarning, match=r"'slow' × 2;") as caught:
        driven.step(driven.fired(timer.started.timer_id))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prefix is live at its end
        driven.check_replays()


def test_a_handler_that_may_be_abandoned_warns_of_nothing() -> None:
    driven = Driven(Leaves, "return")
    driven.step(driven.signaled("unimportant"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (timer,) = [t for t in driven.state.timers.values() if t.started.start_to_fire_ms == 1000]
        driven.step(driven.fired(timer.started.timer_id))
    assert driven.result() is False


@workflow.defn
class Touchy:
    def __init__(self) -> None:
        self.event: asyncio.Event | None = None

    @workflow.run
    async def run(self) -> str:
        self.event = asyncio.Event()
        await self.event.wait()
        return "woken"

    @workflow.query
    def wake(self) -> None:
        assert self.event is not None
        self.event.set()

    @workflow.query
    def exits(self) -> None:
        raise SystemExit

    @workflow.query
    def draws(self) -> float:
        return workflow.random().random()

    @workflow.query
    def state(self) -> list[bool]:
        unsafe = workflow.unsafe
        return [
            unsafe.is_read_only(),
            unsafe.is_replaying(),
            unsafe.is_replaying_history_events(),
            workflow.in_workflow(),
        ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("query", ["wake", "draws"])
def test_a_query_that_would_change_the_run_fails_and_makes_the_run_unusable(query: str) -> None:
    driven = Driven(Touchy)
    driven.step()
    answer = driven.run.query(query, ())
    assert isinstance(answer, Failure)
    assert "a query must not change the workflow" in answer.message
    assert driven.run.tainted
    assert isinstance(driven.attempt(driven.signaled("x")), TaskFailure)
    assert driven.run.evict()


def test_a_query_may_raise_anything_and_sees_that_it_is_one() -> None:
    driven = Driven(Touchy)
    driven.step()
    assert isinstance(driven.run.query("exits", ()), Failure)
    answer = driven.run.query("state", ())
    assert isinstance(answer, Payload)
    assert CONVERTER.from_payloads([answer]) == [[True, True, False, True]]
    assert not driven.run.tainted


def test_a_query_is_not_answered_before_the_code_was_entered() -> None:
    answer = Driven(Touchy).run.query("state", ())
    assert isinstance(answer, Failure)
    assert "has not run yet" in answer.message


@workflow_of
async def condition_acts(self, how: str) -> None:
    def condition() -> bool:
        if how == "task":
            asyncio.ensure_future(asyncio.sleep(1)).cancel()
        elif how == "timer":
            asyncio.get_running_loop().call_later(1, print)
        elif how == "hidden":
            try:
                workflow.uuid4()
            except workflow.ReadOnlyContextError:
                return True
        return True

    await workflow.wait_condition(condition)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", ["task", "timer", "hidden"])
def test_a_condition_that_would_change_the_run_fails_the_task(how: str) -> None:
    failure = Driven(condition_acts, how).attempt()
    assert isinstance(failure, TaskFailure)
    assert "a condition must not change the workflow" in failure.failure.message


@workflow.defn
class TimesOut:
    def __init__(self) -> None:
        self.paid = False

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.wait_condition(
                lambda: self.paid, timeout=5, timeout_summary="waits for money"
            )
        except TimeoutError:
            return "timed out"
        return "paid"

    @workflow.signal
    async def pay(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        self.paid = True


def test_what_makes_a_condition_true_in_the_same_task_counts_before_its_time_out() -> None:
    for first in ("signal", "timer"):
        driven = Driven(TimesOut)
        (timer,) = driven.step()
        assert timer.summary == "waits for money"
        news = [driven.signaled("pay"), driven.fired(1)]
        commands = driven.step(*(news if first == "signal" else reversed(news)))
        assert kinds(commands) == ["CompleteWorkflowExecution"]
        assert driven.result() == "paid"
        driven.check_replays()


def test_a_condition_that_stays_false_times_out_and_a_true_one_takes_its_timer_back() -> None:
    late = Driven(TimesOut)
    late.step()
    late.step(late.fired(1))
    assert late.result() == "timed out"
    late.check_replays()
    paid = Driven(TimesOut)
    paid.step()
    assert kinds(paid.step(paid.signaled("pay"))) == ["CancelTimer 1", "CompleteWorkflowExecution"]
    paid.check_replays()


@workflow.defn
class Deep:
    @workflow.run
    async def run(self) -> None:
        await self.outer()

    async def outer(self) -> None:
        await asyncio.gather(self.inner(), workflow.wait_condition(lambda: False))

    async def inner(self) -> None:
        await asyncio.sleep(60)  # here


def test_the_stack_query_tells_where_each_task_waits() -> None:
    driven = Driven(Deep)
    driven.step()
    answer = driven.run.query("__stack_trace", ())
    assert isinstance(answer, Payload)
    (text,) = CONVERTER.from_payloads([answer])
    blocks = text.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["run Deep:", "Task-2:", "Task-3:"]
    line = next(
        number
        for number, text in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines(), 1)
        if text.endswith("# here")
    )
    assert f'test_handlers.py", line {line}, in inner' in blocks[1]
    assert driven.run.evict()


def test_a_query_that_nobody_answers_names_those_that_are_known() -> None:
    driven = Driven(Touchy)
    driven.step()
    answer = driven.run.query("absent", ())
    assert isinstance(answer, Failure)
    assert "no query handler is named 'absent'; known: draws, exits, state, wake" in answer.message
