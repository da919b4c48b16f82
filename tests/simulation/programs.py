"""A workflow that does a little of everything, so that any loss or doubling shows in its result."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.exceptions import ApplicationError

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


@workflow.defn
class Family:
    """Has children, one brood after another, and tells each of them when to end."""

    @workflow.init
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        self.is_over = False

    @workflow.run
    async def run(self, seen: list[str]) -> list[str]:
        born = 0
        while not self.is_over:
            brood: list[workflow.ChildWorkflowHandle[Child, int]] = []
            for _ in range(3):
                born += 1
                child = f"child {born} of {workflow.info().run_id}"
                brood.append(await workflow.start_child_workflow(Child.run, born, id=child))
            await asyncio.gather(*(child.signal(Child.leave) for child in brood))
            assert await asyncio.gather(*brood) == [born - 2, born - 1, born]
            await asyncio.sleep(0.5)
            if len(self.seen) % 4 == 3 and not self.is_over:
                workflow.continue_as_new(self.seen)
        return self.seen

    @workflow.signal
    def add(self, item: str) -> None:
        self.seen.append(item)

    @workflow.signal
    def finish(self) -> None:
        self.is_over = True


@workflow.defn
class Child:
    """Works, and waits until it may leave."""

    def __init__(self) -> None:
        self.may_leave = False

    @workflow.run
    async def run(self, number: int) -> int:
        await workflow.execute_activity("pay", number, start_to_close_timeout=CLOSE)
        await workflow.wait_condition(lambda: self.may_leave)
        return number

    @workflow.signal
    def leave(self) -> None:
        self.may_leave = True


@activity.defn
async def measure(number: int) -> int:
    return number


@workflow.defn
class Updated:
    """Is sent signals and updates; uses local activities, a patch and notes."""

    @workflow.init
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        self.most = len(seen) + ITEMS_PER_RUN
        self.is_over = False

    @workflow.run
    async def run(self, seen: list[str]) -> list[str]:
        while not self.is_over and len(self.seen) < self.most:
            assert await asyncio.gather(*(self._measure(number) for number in range(3))) == [
                0,
                1,
                2,
            ]
            if workflow.patched("notes"):
                workflow.upsert_memo({"seen": len(self.seen)})
            await workflow.execute_activity("pay", 1, start_to_close_timeout=CLOSE)
            await asyncio.sleep(0.4)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.is_over:
            workflow.continue_as_new(self.seen)
        return self.seen

    @workflow.signal
    def add(self, item: str) -> None:
        self.seen.append(item)

    @workflow.signal
    def finish(self) -> None:
        self.is_over = True

    @workflow.update
    async def put(self, item: str) -> int:
        self.seen.append(item)
        await workflow.execute_activity("pay", 2, start_to_close_timeout=CLOSE)
        return await self._measure(len(self.seen))

    @put.validator
    def check(self, item: str) -> None:
        if item.startswith("bad"):
            raise ApplicationError("not this one")

    async def _measure(self, number: int) -> int:
        return await workflow.execute_local_activity(measure, number, start_to_close_timeout=CLOSE)


ALL = [Busy, Family, Child, Updated]
