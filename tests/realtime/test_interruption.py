"""An exception in another thread: once, where it belongs, and never too late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.exceptions import CancelledError
from orchestrator.worker.interruption import Interruption


def spin(until: Callable[[], bool]) -> None:
    for _ in range(5_000):
        if until():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it did not happen")


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(call)


def test_what_was_asked_before_it_runs_is_raised_when_it_runs() -> None:
    interruption = Interruption()
    interruption.ask()
    with pytest.raises(CancelledError):
        in_thread(lambda: interruption.run(lambda: spin(lambda: False))).result()


def test_it_is_raised_once() -> None:
    interruption = Interruption()
    started, caught = threading.Event(), threading.Event()

    def work() -> str:
        try:
            started.set()
            spin(lambda: False)
        except CancelledError:
            caught.set()
        interruption.ask()
        for _ in range(1_000):
            pass
        return "the end"

    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(interruption.run, work)
        assert started.wait(5)
        interruption.ask()
        assert running.result() == "the end"
    assert caught.is_set()


def test_what_was_asked_after_the_end_hits_nobody() -> None:
    interruption = Interruption()

    def work() -> int:
        interruption.run(lambda: None)
        interruption.ask()
        return sum(number for number in range(10_000))

    assert in_thread(work).result() == 49_995_000


def test_nested_shields_hold_it_back_until_the_last_one_ends() -> None:
    interruption, reached = Interruption(), []

    def work() -> None:
        with interruption.shield():
            with interruption.shield():
                interruption.ask()
            reached.append("inside")
        spin(lambda: False)

    with pytest.raises(CancelledError):
        in_thread(lambda: interruption.run(work)).result()
    assert reached == ["inside"]


def test_asked_at_any_moment_it_never_leaks_into_the_next_work_of_the_thread() -> None:
    """The asker and the end of the work race; whatever wins, what follows is left alone."""
    outcomes: set[str] = set()
    with ThreadPoolExecutor(1) as executor:
        for round_number in range(300):
            interruption = Interruption()

            def work(spins: int = round_number % 50) -> str:
                for _ in range(spins):
                    pass
                return "returned"

            running = executor.submit(interruption.run, work)
            interruption.ask()
            try:
                outcomes.add(running.result())
            except CancelledError:
                outcomes.add("interrupted")
            assert executor.submit(sum, range(1_000)).result() == 499_500
    assert outcomes <= {"returned", "interrupted"}
    assert outcomes
