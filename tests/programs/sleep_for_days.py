"""A subscription writes to its customer every thirty days until it is cancelled.

Nothing holds memory or a thread in between: the run is a row in Redis with a date.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from orchestrator import activity, workflow

PERIOD = timedelta(days=30)


@activity.defn
async def write(customer: str, month: int) -> str:
    """The letter that was written."""
    return f"month {month}: dear {customer}"


@workflow.defn
class Subscription:
    """Goes on until `cancel`."""

    def __init__(self) -> None:
        self._cancelled = False

    @workflow.run
    async def run(self, customer: str) -> list[str]:
        """All letters that were written."""
        letters: list[str] = []
        while not self._cancelled:
            letters.append(
                await workflow.execute_activity(
                    write,
                    args=[customer, len(letters) + 1],
                    start_to_close_timeout=timedelta(seconds=10),
                )
            )
            try:
                await workflow.wait_condition(lambda: self._cancelled, timeout=PERIOD)
            except TimeoutError:
                continue  # A month has passed.
        return letters

    @workflow.signal
    def cancel(self) -> None:
        """Write no more."""
        self._cancelled = True


WORKFLOWS: list[type] = [Subscription]
ACTIVITIES: list[Callable[..., object]] = [write]
