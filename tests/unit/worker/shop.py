"""Workflows for the tests of workflow tasks."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from orchestrator import workflow
from orchestrator.common import RetryPolicy


@workflow.defn
class Order:
    """Pays, waits for a signal or an hour, and says what happened."""

    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self, item: str) -> str:
        paid = await workflow.execute_activity(
            "pay", item, start_to_close_timeout=timedelta(seconds=10)
        )
        try:
            await workflow.wait_condition(lambda: bool(self.items), timeout=timedelta(hours=1))
        except TimeoutError:
            return f"{paid}, nothing added"
        return f"{paid}, added {self.items}"

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)

    @workflow.query
    def added(self) -> list[str]:
        return self.items

    @workflow.query
    def has(self, item: str) -> bool:
        return item in self.items

    @workflow.query
    def pay_again(self) -> None:
        workflow.start_activity("pay", start_to_close_timeout=timedelta(seconds=10))

    @workflow.query
    def add_by_query(self) -> None:
        self.items.append("by query")

    @workflow.query
    def fails(self) -> None:
        raise ValueError("no such thing")


@workflow.defn
class Hurried:
    """Pays at once or not at all."""

    @workflow.run
    async def run(self, item: str) -> str:
        return str(
            await workflow.execute_activity(
                "pay",
                item,
                schedule_to_start_timeout=timedelta(milliseconds=500),
                start_to_close_timeout=timedelta(seconds=10),
            )
        )


@workflow.defn(name="Order")
class ChangedOrder:
    """What `Order` must not become while runs of it are open: it sleeps before it pays."""

    @workflow.run
    async def run(self, item: str) -> None:
        await workflow.sleep(60)

    @workflow.query
    def added(self) -> list[str]:
        return []


@workflow.defn
class Broken:
    """Has a bug."""

    @workflow.run
    async def run(self) -> None:
        raise KeyError("a bug")

    @workflow.query
    def state(self) -> str:
        return "never"


@workflow.defn
class Many:
    """Asks for 450 activities at once."""

    @workflow.run
    async def run(self) -> int:
        paid = await asyncio.gather(
            *(
                workflow.execute_activity("pay", n, start_to_close_timeout=timedelta(seconds=10))
                for n in range(450)
            )
        )
        return len(paid)

    @workflow.query
    def asked(self) -> str:
        return "all of them"


@workflow.defn(name="Many")
class Fewer:
    """What `Many` must not become between two parts of its task: it asks for 300 only."""

    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(
            *(
                workflow.execute_activity("pay", n, start_to_close_timeout=timedelta(seconds=10))
                for n in range(300)
            )
        )


@workflow.defn(name="Many", failure_exception_types=[workflow.NondeterminismError])
class StrictlyFewer:
    """As `Fewer`, and it fails its run for it."""

    @workflow.run
    async def run(self) -> None:
        await Fewer().run()


@workflow.defn(name="Many", failure_exception_types=[workflow.NondeterminismError])
class StrictlyOther:
    """What `Many` must not become either: other calls. It fails its run for it."""

    @workflow.run
    async def run(self) -> None:
        await asyncio.sleep(1)


@workflow.defn
class Garbled:
    """Names an error type that no message can carry."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            "pay",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(non_retryable_error_types=["\ud83c"]),
        )


@workflow.defn
class Hasty:
    """Ends as soon as it has begun, with what it has seen."""

    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        return self.items

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)


@workflow.defn
class Parting:
    """Starts 250 timers and ends without waiting for them."""

    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self) -> int:
        self.sleeps = [asyncio.create_task(asyncio.sleep(60 + n)) for n in range(250)]
        await asyncio.sleep(0)
        return len(self.sleeps)

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)


@workflow.defn
class Stubborn:
    """Swallows its cancellation for ever."""

    @workflow.run
    async def run(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    @workflow.signal
    def add(self, item: str) -> None:
        pass


@workflow.defn
class Looping:
    """Loops for ever: at once, or at the first signal; and once more when it is cancelled."""

    @workflow.run
    async def run(self, when: str = "at once") -> None:
        try:
            while when == "at once":
                pass
            await asyncio.Event().wait()
        finally:
            while True:
                pass

    @workflow.signal
    async def add(self, item: str) -> None:
        while True:
            pass

    @workflow.query
    def loops(self) -> None:
        while True:
            pass

    @workflow.query
    def answers(self) -> str:
        return "yes"


@workflow.defn
class Chain:
    """Continues as new at each signal `next`, with what it has counted."""

    def __init__(self) -> None:
        self.steps = 0
        self.count = 0

    @workflow.run
    async def run(self, count: str) -> None:
        self.count = int(count)
        await workflow.wait_condition(lambda: self.steps > 0)
        workflow.continue_as_new(str(self.count + 1))

    @workflow.signal(name="next")
    def go_on(self, item: str) -> None:
        self.steps += 1

    @workflow.query
    def counted(self) -> int:
        return self.count


@workflow.defn
class Diary:
    """Notes the size of its history at each signal."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, bool]] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def add(self, item: str) -> None:
        info = workflow.info()
        self.sizes.append((info.get_current_history_size(), info.is_continue_as_new_suggested()))

    @workflow.query
    def noted(self) -> list[tuple[int, bool]]:
        return self.sizes


@workflow.defn
class Exits:
    """Ends its process from a task of its own."""

    @workflow.run
    async def run(self) -> None:
        async def leave() -> None:
            sys.exit(3)

        await asyncio.create_task(leave())


ALL = (Order, Hurried, Broken, Many, Hasty, Parting, Stubborn, Looping, Chain, Diary, Exits)
