"""A workflow that does a little of everything, so that any loss or doubling shows in its result."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from orchestrator import workflow

CLOSE = timedelta(seconds=10)
ITEMS_PER_RUN = 5


@workflow.defn
class Busy:
    """Collects what it is sent, works on it, and continues as new after every few items."""

    @workflow.init
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        self.most = len(seen) + ITEMS_PER_RUN
        self.is_over = False

    @workflow.run
    async def run(self, seen: list[str]) -> list[str]:
        many = 250 if len(seen) == ITEMS_PER_RUN else 3
        await asyncio.gather(*(self._work(number) for number in range(many)))
        dropped = workflow.start_activity("pay", "dropped", start_to_close_timeout=CLOSE)
        await asyncio.sleep(1)
        dropped.cancel()
        await asyncio.gather(dropped, return_exceptions=True)
        try:
            await workflow.wait_condition(
                lambda: self.is_over or len(self.seen) >= self.most, timeout=30
            )
        except TimeoutError:
            await self._work(9)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.is_over:
            workflow.continue_as_new(self.seen)
        return self.seen

    @workflow.signal
    async def add(self, item: str) -> None:
        self.seen.append(item)
        await self._work(0)

    @workflow.signal
    def finish(self) -> None:
        self.is_over = True

    async def _work(self, number: int) -> None:
        paid = await workflow.execute_activity("pay", number, start_to_close_timeout=CLOSE)
        assert paid == "paid"
