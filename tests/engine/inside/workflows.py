"""Workflows that use what workflow code has, for workers that keep none of them in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from orchestrator import activity, workflow
from orchestrator.common import Priority
from orchestrator.exceptions import ApplicationError

QUEUE = "inside"
MOMENT = timedelta(milliseconds=1)
CLOSE = timedelta(minutes=5)


@activity.defn
async def echo(text: str) -> str:
    return text


@activity.defn
async def urgency() -> Any:
    priority = activity.info().priority
    return [priority.priority_key, priority.fairness_key]


@workflow.defn
class Basket:
    """Its handlers need what its constructor makes."""

    @workflow.init
    def __init__(self, items: list[str]) -> None:
        self.items = list(items)

    @workflow.run
    async def run(self, items: list[str]) -> list[str]:
        return self.items

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)


@workflow.defn
class Settled:
    """Sets its handlers late."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.ready = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.ready)
        workflow.set_signal_handler("note", self.noted.append)
        workflow.set_query_handler("notes", lambda: list(self.noted))
        workflow.set_update_handler("change", self.change)
        await workflow.wait_condition(lambda: "end" in self.noted)
        return self.noted

    async def change(self, text: str) -> int:
        self.noted.append(text)
        return len(self.noted)

    @workflow.signal
    def go(self) -> None:
        self.ready = True


@workflow.defn
class Drawing:
    """Draws before and after a timer."""

    def __init__(self) -> None:
        self.drawn: list[Any] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[Any]:
        for _ in range(3):
            began = workflow.now()
            self.drawn.append([workflow.random().random(), str(workflow.uuid4())])
            await asyncio.sleep(0)
            assert workflow.now() == began
            await workflow.sleep(MOMENT)
            self.drawn.append((workflow.now() - began) >= MOMENT)
        await workflow.wait_condition(lambda: self.done)
        return self.drawn

    @workflow.signal
    def end(self) -> None:
        self.done = True

    @workflow.query
    def draws(self) -> list[Any]:
        return self.drawn


@workflow.defn
class Concurrent:
    """What asyncio has, each around an activity or a timer."""

    @workflow.run
    async def run(self) -> list[Any]:
        seen: list[Any] = list(await asyncio.gather(self.ask("a"), self.ask("b")))
        queue, lock = asyncio.Queue[str](1), asyncio.Lock()

        async def put(text: str) -> None:
            async with lock:
                await queue.put(await self.ask(text))

        async with asyncio.TaskGroup() as group:
            for text in "cd":
                group.create_task(put(text))
            seen += [await queue.get(), await queue.get()]
        for wait in (self.too_late, self.no_condition):
            try:
                await wait()
            except TimeoutError:
                seen.append("late")
        inner = asyncio.create_task(self.ask("kept"))
        outer = asyncio.create_task(self.shielded(inner))
        await asyncio.sleep(0)
        outer.cancel()
        return [*seen, await inner, outer.cancelled()]

    async def ask(self, text: str) -> str:
        return await workflow.execute_activity(echo, text, start_to_close_timeout=CLOSE)

    async def too_late(self) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    async def no_condition(self) -> None:
        await workflow.wait_condition(lambda: False, timeout=MOMENT)

    async def shielded(self, inner: asyncio.Task[str]) -> None:
        await asyncio.shield(inner)


@workflow.defn
class Renewing:
    """Continues as new with some options, then without any."""

    @workflow.run
    async def run(self, left: int) -> list[Any]:
        if left == 2:
            workflow.continue_as_new(1, run_timeout=timedelta(hours=7), memo={"round": 1})
        if left == 1:
            workflow.upsert_memo({"last": True})
            workflow.continue_as_new(0)
        info = workflow.info()
        hours = (info.run_timeout or timedelta()) / timedelta(hours=1)
        first = info.first_execution_run_id
        return [hours, dict(workflow.memo()), first != info.run_id, info.continued_run_id != first]


@workflow.defn
class Leaving:
    """Ends while a handler runs, or waits for it."""

    def __init__(self) -> None:
        self.slept = False

    @workflow.run
    async def run(self, waits: bool) -> bool:
        if waits:
            await workflow.wait_condition(workflow.all_handlers_finished)
        return self.slept

    @workflow.signal
    async def doze(self) -> None:
        await workflow.sleep(timedelta(milliseconds=50))
        self.slept = True


@workflow.defn(name="Deployed")
class Before:
    """Old code: a timer, then what everybody does."""

    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(MOMENT)
        await workflow.wait_condition(lambda: self.done)
        return "the old way"

    @workflow.signal
    def end(self) -> None:
        self.done = True

    @workflow.query
    def there(self) -> bool:
        return True


@workflow.defn(name="Deployed")
class Patched(Before):
    """New code: an activity in place of the timer, for those who come new."""

    @workflow.run
    async def run(self) -> str:
        way = "the old way"
        if workflow.patched("no timer"):
            way = await workflow.execute_activity(echo, "the new way", start_to_close_timeout=CLOSE)
        else:
            await workflow.sleep(MOMENT)
        await workflow.wait_condition(lambda: self.done)
        return way


@workflow.defn(name="Deployed")
class Careless(Before):
    """New code without a patch."""

    @workflow.run
    async def run(self) -> str:
        way = await workflow.execute_activity(echo, "another way", start_to_close_timeout=CLOSE)
        await workflow.wait_condition(lambda: self.done)
        return way


@workflow.defn(name="Deployed")
class Broken(Before):
    """New code with a bug after the wait."""

    @workflow.run
    async def run(self) -> str:
        await super().run()
        raise KeyError("a bug")


@workflow.defn(failure_exception_types=[LookupError])
class Failing:
    """Fails by what is a failure, or by what its definition makes one."""

    @workflow.run
    async def run(self, kind: str) -> None:
        if kind == "lookup":
            raise KeyError("nothing there")
        try:
            raise ValueError("the reason")
        except ValueError as error:
            raise ApplicationError("it failed", "detail", type="Own") from error


@workflow.defn
class Noting:
    """Changes its notes and sees that at once."""

    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> list[Any]:
        workflow.upsert_memo({"old": None, "new": [1, 2]})
        seen = [dict(workflow.memo()), workflow.memo_value("old", "gone")]
        await workflow.wait_condition(lambda: self.done)
        return seen

    @workflow.signal
    def end(self) -> None:
        self.done = True


@workflow.defn
class Urgent:
    """What its activities inherit."""

    @workflow.run
    async def run(self) -> list[Any]:
        own = Priority(priority_key=5)
        return [
            await workflow.execute_activity(urgency, start_to_close_timeout=CLOSE),
            await workflow.execute_activity(urgency, start_to_close_timeout=CLOSE, priority=own),
        ]


WORKFLOWS = [Basket, Settled, Drawing, Concurrent, Renewing, Leaving, Failing, Noting, Urgent]
ACTIVITIES = [echo, urgency]
