"""What an activation costs, counted in calls and not in time: linear in its commands, and the same
however long the history is."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import pytest

from orchestrator import workflow
from orchestrator.replay.facts import Activation
from orchestrator.replay.source import caller, describe
from tests.replay.driver import Driven, workflow_of

CLOSE = timedelta(seconds=5)


def calls_of(act: Callable[[], object]) -> int:
    """Calls of functions of Python and of C while `act` runs."""
    count = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # what other tests left behind is not what this act costs
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@workflow_of
async def steps_for_ever(self) -> None:
    while True:
        await workflow.execute_activity("step", start_to_close_timeout=CLOSE)


def test_a_step_costs_the_same_however_long_the_history_is() -> None:
    driven = Driven(steps_for_ever)
    driven.step()
    costs = []
    for _ in range(200):
        news = driven.completed("step")
        costs.append(calls_of(lambda news=news: driven.step(news)))
    assert costs[10] == costs[100] == costs[199]
    assert len(driven.history) > 1000
    assert driven.run.evict()


@workflow_of
async def fans_out(self, count: int, how: str) -> None:
    if how == "activities":
        await asyncio.gather(
            *(workflow.execute_activity("a", start_to_close_timeout=CLOSE) for _ in range(count))
        )
    tasks = [asyncio.create_task(asyncio.sleep(9)) for _ in range(count)]
    await asyncio.sleep(0)
    if how == "dropped timers":
        for task in tasks:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("how", ["activities", "timers", "dropped timers"])
def test_an_activation_is_linear_in_its_commands(how: str) -> None:
    def cost(count: int) -> int:
        driven = Driven(fans_out, count, how)
        news = tuple(driven.history)
        found = calls_of(
            lambda: driven.run.activate(Activation(time_ms=driven.now_ms, events=news))
        )
        assert driven.run.evict()
        return found

    base = cost(0)
    assert cost(800) - base <= (cost(400) - base) * 2.05


def test_binding_thousands_of_commands_is_linear() -> None:
    def cost(count: int) -> int:
        driven = Driven(fans_out, count, "timers")
        found = calls_of(driven.step)
        assert driven.run.evict()
        return found

    assert cost(2000) <= cost(1000) * 2.1


def test_a_source_line_is_found_in_few_steps_and_written_out_only_when_read() -> None:
    assert calls_of(caller) < 12
    here = describe(caller())
    assert here.endswith(f"test_costs.py:{sys._getframe().f_lineno - 1}")
