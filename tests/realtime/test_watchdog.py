"""The watchdog ends code that blocks, touches nothing that ended in time, and leaves no trace."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from random import Random
from types import FrameType
from typing import Any

import pytest

from orchestrator.worker.watchdog import (
    Watchdog,
    WorkflowBlockedError,
    WorkflowInterrupted,
    _Act,
)

_BUDGET_MS = 50


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that swallows interrupts is spared for 63 ms instead of 630."""
    monkeypatch.setattr("orchestrator.worker.watchdog.INTERRUPT_REPEAT_MS", 1)


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog(_BUDGET_MS)
    yield made
    made.close()


def spin() -> None:
    while True:
        pass


def sleep_long() -> None:
    time.sleep(3600)


def read_from_nobody() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


def wait_for_nobody() -> None:
    threading.Event().wait()


def swallow_everything() -> None:
    while True:
        try:
            time.sleep(5)
        except BaseException:
            pass


def swallow_in_a_circle() -> None:
    while True:
        try:
            for _ in range(1000):
                pass
        except BaseException:
            continue


def swallow_twice() -> None:
    while True:
        with contextlib.suppress(BaseException):
            swallow_in_a_circle()


def on_a_thread(act: Callable[[], Any]) -> Any:
    """What `act` returns or raises on a thread that is not the main one."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(act())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_what_ends_in_time_is_not_touched(watchdog: Watchdog) -> None:
    assert watchdog.guarded(lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        watchdog.guarded(lambda: 1 / 0)


@pytest.mark.parametrize(
    "act",
    [
        spin,
        sleep_long,
        read_from_nobody,
        wait_for_nobody,
        swallow_everything,
        swallow_in_a_circle,
        swallow_twice,
    ],
)
def test_what_blocks_the_main_thread_is_ended(watchdog: Watchdog, act: Callable[[], None]) -> None:
    with pytest.raises(WorkflowBlockedError) as caught:
        watchdog.guarded(act)
    assert caught.value.budget_ms == _BUDGET_MS
    assert f"in {act.__name__}" in caught.value.stack
    assert __file__ in caught.value.stack
    assert "neither awaited nor returned for 50 ms" in str(caught.value)
    assert watchdog.guarded(lambda: "next") == "next"


def test_code_that_swallows_interrupts_is_logged_with_its_stack(
    watchdog: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(swallow_everything)
    for thread in threading.enumerate():
        if thread.name == "orchestrator-watchdog-log":
            thread.join()
    stacks = [
        each.__dict__["fields"]["stack"]
        for each in caplog.records
        if each.msg == "workflow_code_still_runs"
    ]
    assert any("in swallow_everything" in stack for stack in stacks)


def test_what_blocks_another_thread_is_ended(watchdog: Watchdog) -> None:
    error = on_a_thread(lambda: watchdog.guarded(spin))
    assert isinstance(error, WorkflowBlockedError)
    assert "in spin" in error.stack


def test_two_threads_are_watched_at_once(watchdog: Watchdog) -> None:
    other: list[Any] = []
    thread = threading.Thread(
        target=lambda: other.append(on_a_thread(lambda: watchdog.guarded(spin)))
    )
    thread.start()
    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(sleep_long)
    thread.join()
    assert isinstance(other[0], WorkflowBlockedError)


def test_clean_up_runs_and_its_error_does_not_hide_the_reason(watchdog: Watchdog) -> None:
    cleaned: list[str] = []

    def act() -> None:
        try:
            spin()
        finally:
            cleaned.append("yes")
            raise KeyError("clean-up")

    with pytest.raises(WorkflowBlockedError) as caught:
        watchdog.guarded(act)
    assert cleaned == ["yes"]
    assert caught.value.__cause__ is None


def test_a_late_answer_does_not_count(watchdog: Watchdog) -> None:
    def act() -> str:
        try:
            spin()
        except WorkflowInterrupted:
            pass
        return "late"

    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(act)


def test_a_guarded_act_inside_of_another_belongs_to_it(watchdog: Watchdog) -> None:
    inner: list[BaseException] = []

    def act() -> None:
        assert watchdog.guarded(lambda: "inner") == "inner"
        try:
            watchdog.guarded(spin)
        except BaseException as error:
            inner.append(error)
            raise

    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(act)
    assert [type(error) for error in inner] == [WorkflowInterrupted]


def _end_around(moment_s: float, random: Random) -> Callable[[], str]:
    """An act that ends as near to its budget as can be, on either side."""

    def act() -> str:
        until = time.perf_counter() + moment_s + random.uniform(-0.0001, 0.0003)
        while time.perf_counter() < until:
            pass
        return "done"

    return act


def _race(times: int) -> set[str]:
    """Outcomes of acts that end when their time does, with work after each that must be spared."""
    watchdog = Watchdog(1)
    random = Random(7)
    outcomes: set[str] = set()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(times):
            try:
                outcomes.add(watchdog.guarded(_end_around(0.001, random)))
            except WorkflowBlockedError:
                outcomes.add("blocked")
            sum(number * number for number in range(50))
    finally:
        sys.setswitchinterval(interval)
        watchdog.close()
    return outcomes


def test_an_interrupt_never_leaves_the_main_threads_act() -> None:
    assert _race(300) <= {"done", "blocked"}


def test_an_interrupt_never_leaves_the_act_of_another_thread() -> None:
    assert on_a_thread(lambda: _race(300)) <= {"done", "blocked"}


@pytest.mark.parametrize("late", [1, 2])
def test_an_exception_that_comes_after_the_act_is_stopped(late: int) -> None:
    """As many late ones as there can be, each between two lines of `guarded` itself."""
    watchdog = Watchdog(_BUDGET_MS)
    raised: list[int] = []

    class Late:
        """The call in which a pending exception comes up."""

        def get(self) -> None:
            if len(raised) < late:
                raised.append(1)
                raise WorkflowInterrupted

    def act() -> str:
        watched = watchdog._acts[threading.get_ident()]
        assert next(watched.token)
        watched.taken = True
        watched.acknowledged = Late()  # type: ignore[assignment]  # what the watchdog would set
        return "done"

    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(act)
    assert len(raised) == late
    watchdog.close()


async def test_the_event_loop_goes_on(watchdog: Watchdog) -> None:
    turns: list[int] = []

    async def other() -> None:
        for number in range(3):
            turns.append(number)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(sleep_long)
    await task
    assert turns == [0, 1, 2]


async def test_the_outer_loop_and_hooks_are_put_back() -> None:
    watchdog = Watchdog(_BUDGET_MS)
    loop, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()

    def act() -> None:
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        spin()

    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(act)
    assert asyncio.get_running_loop() is loop
    assert sys.get_asyncgen_hooks() == hooks
    watchdog.close()


def test_a_trace_function_is_put_back_after_code_that_swallows(watchdog: Watchdog) -> None:
    def trace(frame: FrameType, event: str, argument: object) -> None:
        return None

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(WorkflowBlockedError):
            watchdog.guarded(swallow_everything)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(former)


def test_it_guards_again_after_a_rest(watchdog: Watchdog) -> None:
    watchdog.guarded(lambda: None)
    deadline = time.monotonic() + 10
    while not watchdog._resting and time.monotonic() < deadline:
        time.sleep(0.005)
    assert watchdog._resting
    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(sleep_long)


def test_close_stops_the_thread_and_puts_the_former_handler_back() -> None:
    seen: list[int] = []

    def former(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGURG, former)
    try:
        watchdog = Watchdog(_BUDGET_MS)
        watchdog.guarded(lambda: None)
        signal.raise_signal(signal.SIGURG)
        assert seen == [signal.SIGURG], "a signal that is not ours is passed on"
        thread = watchdog._thread
        assert thread is not None
        watchdog.close()
        assert not thread.is_alive()
        assert signal.getsignal(signal.SIGURG) is former
    finally:
        signal.signal(signal.SIGURG, before)


def test_close_leaves_a_handler_that_came_later() -> None:
    watchdog = Watchdog(_BUDGET_MS)
    before = signal.getsignal(signal.SIGURG)
    watchdog.guarded(lambda: None)
    signal.signal(signal.SIGURG, signal.SIG_IGN)
    try:
        watchdog.close()
        assert signal.getsignal(signal.SIGURG) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGURG, before)


def test_code_is_ended_although_somebody_took_the_signal(watchdog: Watchdog) -> None:
    watchdog.guarded(lambda: None)
    ours = signal.signal(signal.SIGURG, signal.SIG_IGN)
    try:
        with pytest.raises(WorkflowBlockedError):
            watchdog.guarded(spin)
    finally:
        signal.signal(signal.SIGURG, ours)


def test_a_closed_watchdog_opens_again(watchdog: Watchdog) -> None:
    watchdog.guarded(lambda: None)
    watchdog.close()
    with pytest.raises(WorkflowBlockedError):
        watchdog.guarded(sleep_long)


def test_debug_mode_ends_nothing() -> None:
    watchdog = Watchdog(1, debug=True)
    watchdog.guarded(lambda: time.sleep(0.02))
    assert watchdog._thread is None


def test_an_act_that_has_ended_gets_its_word_although_nothing_else_is_watched() -> None:
    watchdog = Watchdog(_BUDGET_MS)
    ended = _Act(thread_id=1, due=0.0)
    ended.ended, ended.acknowledged = True, SimpleQueue()
    watchdog._acts[1] = ended
    watchdog._news.put(ended)
    watching = threading.Thread(target=watchdog._watch, daemon=True)
    watching.start()
    try:
        assert ended.acknowledged.get(timeout=10) is None
    finally:
        watchdog._acts.clear()
        watchdog._closed = True
        watchdog._news.put(None)
        watching.join()
