"""What workflow code waits for until it is true.

Conditions are looked at when nothing is ready, in the order in which they were begun to be waited
for. A time-out that comes in the same activation as what makes its condition true does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from orchestrator.replay.loop import DurableLoop


class Condition:
    """One `wait_condition`. `expired` is set when its time is over."""

    __slots__ = ("expired", "future", "is_true")

    def __init__(self, is_true: Callable[[], bool], future: asyncio.Future[None]) -> None:
        self.is_true = is_true
        self.future = future
        self.expired = False

    def expire(self) -> None:
        """The time is over; the next look at the condition decides."""
        self.expired = True


class Conditions:
    """The conditions that a run waits for."""

    def __init__(self, evaluate: Callable[[Callable[[], bool]], bool]) -> None:
        """`evaluate` calls one condition, where it may change nothing."""
        self._evaluate = evaluate
        self._waiting: list[Condition] = []

    async def wait(
        self,
        loop: DurableLoop,
        is_true: Callable[[], bool],
        *,
        timeout: float | None,
        summary: str,
    ) -> None:
        """Look at `is_true` from now on, after those that were added before, until it is true.

        Raises:
            asyncio.TimeoutError: `timeout` seconds passed, and it is still false.
        """
        condition = Condition(is_true, loop.create_future())
        self._waiting.append(condition)
        timer = None
        if timeout is not None:
            timer = loop.call_later_with(timeout, condition.expire, summary=summary)
        try:
            await condition.future
        finally:
            if timer is not None:
                timer.cancel()

    def look(self) -> None:
        """Settle those that are true, and those whose time is over. An error of one belongs to the
        code that waits for it."""
        waiting, self._waiting = self._waiting, []
        for condition in waiting:
            if not condition.future.done() and not self._settle(condition):
                self._waiting.append(condition)

    def _settle(self, condition: Condition) -> bool:
        try:
            is_true = self._evaluate(condition.is_true)
        except Exception as error:  # the boundary of user code: it belongs to the waiter
            condition.future.set_exception(error)
            return True
        if is_true:
            condition.future.set_result(None)
        elif condition.expired:
            condition.future.set_exception(TimeoutError())
        return is_true or condition.expired
