"""One workflow for each feature of the event loop, and the life it was recorded with.

The histories in `histories/` were made by `record`. Neither they nor this code are ever changed: a
change of the loop that breaks one of them breaks runs that users have. A new feature is a new class
and a new file; a new order of the loop is a new `LOOP_VERSION`, and these keep the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrator import workflow
from orchestrator.common import RawValue, SearchAttributeKey
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from orchestrator.wire import inbox
from orchestrator.wire.inbox import InboxBody
from orchestrator.workflow import ActivityCancellationType, ChildWorkflowCancellationType
from tests.replay.driver import Driven

CLOSE = timedelta(seconds=5)
Step = Callable[[Driven], Sequence[InboxBody]]


@dataclass(frozen=True)
class Feature:
    """A workflow with its arguments, and the news of its first tasks; then everything that is
    pending completes, and the earliest timer fires, until it ends."""

    cls: type
    args: tuple[Any, ...] = ()
    steps: tuple[Step, ...] = ()
    goes_on: bool = True


FEATURES: dict[str, Feature] = {}


def feature(*args: Any, steps: Sequence[Step] = (), goes_on: bool = True) -> Callable[[type], type]:
    """Register a workflow class under its name."""

    def register(cls: type) -> type:
        found = workflow.defn(cls)
        FEATURES[cls.__name__] = Feature(found, args, tuple(steps), goes_on)
        return found

    return register


def call(name: str, **options: Any) -> workflow.ActivityHandle[Any]:
    return workflow.start_activity(name, start_to_close_timeout=CLOSE, **options)


def by_time(driven: Driven) -> list[Any]:
    return sorted(driven.state.timers.values(), key=lambda timer: timer.fire_at_ms)


@feature("pizza")
class ActivitiesInARow:
    @workflow.run
    async def run(self, item: str) -> list[str]:
        return [await call("first", arg=item), await call("second"), await call("third")]


@feature(steps=[lambda d: (), lambda d: [d.failed("pay", "no money")]])
class ActivityThatFails:
    @workflow.run
    async def run(self) -> str:
        try:
            return await call("pay")
        except ActivityError:
            return await call("refund")


@feature()
class Timers:
    @workflow.run
    async def run(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(1.5)
        await workflow.sleep(timedelta(days=1), summary="a day")
        late = asyncio.get_running_loop().call_later(60, print)
        await workflow.sleep(1)
        late.cancel()


@feature()
class Gather:
    @workflow.run
    async def run(self) -> list[Any]:
        return await asyncio.gather(asyncio.sleep(2, "a"), call("b"), asyncio.sleep(1, "c"))


@feature(steps=[lambda d: (), lambda d: [d.fired(3)]])
class TaskGroupThatFails:
    @workflow.run
    async def run(self) -> str:
        async def child(number: int) -> None:
            await asyncio.sleep(number)
            if number == 3:
                raise TimeoutError

        seen = ""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, 9):
                    group.create_task(child(number))
                group.create_task(asyncio.Event().wait())
        except* TimeoutError:
            seen = "timed out"
        return seen


@feature()
class WaitFor:
    @workflow.run
    async def run(self) -> list[str]:
        seen = [await asyncio.wait_for(call("quick"), 60)]
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        except TimeoutError:
            seen.append("late")
        return seen


@feature(
    steps=[
        lambda d: (),
        lambda d: [d.fired(1), d.completed("quick", "in time")],
        lambda d: [d.fired(timer.started.timer_id) for timer in by_time(d)],
    ]
)
class TimeOutWithTheResult:
    @workflow.run
    async def run(self) -> list[str]:
        first = await asyncio.wait_for(self.work(), 60)
        return [first, await asyncio.wait_for(asyncio.sleep(5, "slept"), 7)]

    async def work(self) -> str:
        return await call("quick")


@feature()
class TimeoutScopes:
    @workflow.run
    async def run(self) -> list[str]:
        seen: list[str] = []
        try:
            async with asyncio.timeout(60) as outer:
                outer.reschedule(asyncio.get_running_loop().time() + 5)
                async with asyncio.timeout(90):
                    await asyncio.Event().wait()
        except TimeoutError:
            seen.append("outer")
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + 30):
            seen.append(await call("inside"))
        return seen


@feature(
    steps=[
        lambda d: [d.signaled("add", "a"), d.signaled("unknown"), d.signaled("add", "b")],
        lambda d: [d.signaled("add", "c"), d.fired(1)],
    ]
)
class SignalsAndConditions:
    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self.items) >= 2)
        try:
            await workflow.wait_condition(lambda: len(self.items) >= 3, timeout=5)
            await call("counted")
            await workflow.wait_condition(lambda: len(self.items) >= 9, timeout=5)
        except TimeoutError:
            await call("late")
        return self.items

    @workflow.signal
    async def add(self, item: str) -> None:
        await asyncio.sleep(0)
        self.items.append(item)


@feature(steps=[lambda d: [d.signaled("x", 1), d.signaled("y")], lambda d: [d.signaled("x", 2)]])
class HandlersSetAtRunTime:
    @workflow.run
    async def run(self) -> list[str]:
        seen: list[str] = []

        async def rest(name: str, args: Sequence[RawValue]) -> None:
            await call(f"rest_{name}_{len(args)}")
            seen.append(name)

        await workflow.sleep(1)
        workflow.set_signal_handler("x", lambda number: seen.append(str(number)))
        await call("between")
        workflow.set_dynamic_signal_handler(rest)
        await workflow.wait_condition(lambda: len(seen) == 3)
        return seen


@feature(steps=[lambda d: (), lambda d: [d.fired(1)], lambda d: [d.canceled("wait")]])
class CancellationTypes:
    @workflow.run
    async def run(self) -> list[str]:
        handles = [call(kind.name.lower()[:4], cancellation_type=kind) for kind in TYPES]
        handles.append(call("dropped"))
        handles[-1].cancel()
        await workflow.sleep(1)
        for handle in handles:
            handle.cancel()
        found = await asyncio.gather(*handles, return_exceptions=True)
        return [type(one).__name__ for one in found]


TYPES = (
    ActivityCancellationType.TRY_CANCEL,
    ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    ActivityCancellationType.ABANDON,
)


@feature(steps=[lambda d: (), lambda d: [d.cancel_asked("enough")]])
class CancelledRun:
    @workflow.run
    async def run(self) -> None:
        try:
            await asyncio.gather(call("a"), asyncio.sleep(60), call("b"))
        finally:
            await call("clean_up")


@feature(steps=[lambda d: (), lambda d: [d.cancel_asked()]])
class CancelledTaskGroup:
    @workflow.run
    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.work("a"))
            group.create_task(asyncio.sleep(60))
            group.create_task(self.work("b"))

    async def work(self, name: str) -> None:
        await call(name)


@feature(steps=[lambda d: (), lambda d: [d.completed("pay"), d.cancel_asked()]])
class CancelWithTheResult:
    @workflow.run
    async def run(self) -> str:
        return await call("pay")


@feature(steps=[lambda d: (), lambda d: [d.fired(2)]])
class Races:
    @workflow.run
    async def run(self) -> list[Any]:
        tasks = [asyncio.create_task(asyncio.sleep(n, n)) for n in (3, 1, 2)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        ordered = [asyncio.gather(call(name)) for name in ("a", "b")]
        first, _ = await workflow.wait(ordered, timeout=60)
        finished = [await one for one in workflow.as_completed([call("c"), asyncio.sleep(5, "d")])]
        return [[task.result() for task in done], len(first), finished]


@feature()
class QueuesAndLocks:
    @workflow.run
    async def run(self) -> list[Any]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        lock, gate, barrier = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Barrier(3)
        condition, started, seen = asyncio.Condition(), asyncio.Event(), []

        async def worker(number: int) -> None:
            await started.wait()
            async with gate:
                await asyncio.sleep(1)
            async with lock:
                await call(f"worker{number}")
            await queue.put(number)
            async with condition:
                condition.notify_all()
            seen.append(await barrier.wait())

        workers = [asyncio.create_task(worker(number)) for number in range(3)]
        started.set()
        got = [await queue.get() for _ in range(3)]
        async with condition:
            await condition.wait_for(lambda: len(seen) == 3 or barrier.n_waiting < 3)
        await asyncio.gather(*workers)
        return [got, sorted(seen)]


@feature()
class Shield:
    @workflow.run
    async def run(self) -> str:
        inner = asyncio.create_task(self.work())
        try:
            await asyncio.wait_for(asyncio.shield(inner), 2)
        except TimeoutError:
            await call("told")
        return await inner

    async def work(self) -> str:
        await asyncio.sleep(5)
        return await call("kept")


@feature()
class RandomBranches:
    @workflow.run
    async def run(self) -> None:
        for _ in range(6):
            if workflow.random().random() < 0.5:
                await call("heads")
            else:
                await workflow.sleep(workflow.new_random().randint(1, 9))
        await call(workflow.uuid4().hex[:6], activity_id=str(workflow.uuid7()))


@feature(steps=[lambda d: (), lambda d: [d.signaled("again")]], goes_on=False)
class ContinuesAsNew:
    @workflow.run
    async def run(self) -> None:
        call("left_behind")
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    async def again(self) -> None:
        await asyncio.sleep(0)
        workflow.continue_as_new()


@feature(steps=[lambda d: (), lambda d: [d.completed("7")]], goes_on=False)
class ManyActivities:
    @workflow.run
    async def run(self) -> None:
        handles = [call("many") for _ in range(205)]
        await handles[6]
        for handle in handles[:3]:
            handle.cancel()
        await asyncio.gather(*handles, return_exceptions=True)


@feature()
class Generators:
    @workflow.run
    async def run(self) -> int:
        async def steps():
            for number in range(3):
                yield await call(f"step{number}")
                await asyncio.sleep(1)

        count = 0
        async for _ in steps():
            count += 1
            if count == 2:
                break
        await call("after")
        return count


@feature(
    steps=[
        lambda d: [d.updated("early", 1), d.updated("add", "a", id="1")],
        lambda d: [
            d.signaled("put", "s"),
            d.updated("add", "b", id="2"),
            d.updated("add", "", id="3"),
            d.signaled("put", "t"),
            d.updated("fetch", "c", id="4"),
        ],
        lambda d: [d.updated("add", "", id="5")],
        lambda d: [d.updated("other", "x", id="6"), d.updated("who", id="7")],
    ]
)
class Updates:
    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        workflow.set_update_handler("early", lambda number: number)
        await workflow.wait_condition(lambda: len(self.items) >= 4)
        workflow.set_dynamic_update_handler(self.rest)
        await call("between")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.items

    @workflow.update
    def add(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)

    @add.validator
    def check(self, item: str) -> None:
        if not item:
            raise ApplicationError("empty")

    @workflow.update
    async def fetch(self, item: str) -> str:
        await asyncio.sleep(0)
        got = await call("fetch")
        self.items.append(item)
        return got

    @workflow.update
    async def who(self) -> str:
        info = workflow.current_update_info()
        return "nobody" if info is None else info.id

    @workflow.signal
    def put(self, item: str) -> None:
        self.items.append(item)

    def rest(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name} {len(args)}"


@feature()
class PatchesAndProperties:
    @workflow.run
    async def run(self) -> list[Any]:
        workflow.upsert_search_attributes(
            [SearchAttributeKey.for_keyword("City").value_set("Rome")]
        )
        way = "new" if workflow.patched("first") else "old"
        await call(way)
        workflow.deprecate_patch("second")
        workflow.upsert_memo({"way": way})
        await asyncio.sleep(1)
        return [way, workflow.patched("first"), workflow.memo_value("way")]


def first_child(driven: Driven) -> int:
    return next(iter(driven.state.children))


def end_as(*kinds: type[Any]) -> Step:
    """The oldest children end in these ways."""
    return lambda d: [
        d.child_ended(event_id, kind)
        for event_id, kind in zip(d.state.children, kinds, strict=False)
    ]


@feature(
    steps=[
        lambda d: (),
        lambda d: [d.child(event_id, inbox.ChildStarted) for event_id in d.state.children],
        end_as(inbox.ChildCompleted, inbox.ChildFailed, inbox.ChildTimedOut, inbox.ChildTerminated),
        lambda d: [d.child(first_child(d), inbox.ChildStartFailed)],
        end_as(inbox.ChildCanceled),
    ]
)
class Children:
    @workflow.run
    async def run(self) -> list[str]:
        ends = await asyncio.gather(
            *(self.child(f"child-{number}") for number in range(4)), return_exceptions=True
        )
        seen = [repr(end) for end in ends]
        for name in ("taken", "cancelled"):
            try:
                seen.append(await self.child(name))
            except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
                seen.append(type(error).__name__)
        return seen

    async def child(self, name: str) -> str:
        return await workflow.execute_child_workflow("Child", name, id=name, result_type=str)


@feature(
    steps=[
        lambda d: (),
        lambda d: [d.child(event_id, inbox.ChildStarted) for event_id in d.state.children],
        lambda d: [d.cancel_asked("enough")],
        lambda d: [d.answered(event_id) for event_id in d.state.externals],
        lambda d: [d.child_ended(event_id, inbox.ChildCanceled) for event_id in d.state.children],
    ]
)
class CancelledChildren:
    @workflow.run
    async def run(self) -> list[str]:
        ends = await asyncio.gather(
            *(self.child(kind) for kind in ChildWorkflowCancellationType), return_exceptions=True
        )
        return [repr(end) for end in ends]

    async def child(self, kind: ChildWorkflowCancellationType) -> str:
        try:
            return await workflow.execute_child_workflow(
                "Child", id=kind.name, result_type=str, cancellation_type=kind
            )
        except ChildWorkflowError as error:
            return f"{kind.name} {type(error.cause).__name__}"


@feature(
    steps=[
        lambda d: (),
        lambda d: [
            d.answered(event_id, found=number < 2)
            for number, event_id in enumerate(d.state.externals)
        ],
        lambda d: [d.answered(event_id) for event_id in d.state.externals],
    ]
)
class OtherWorkflows:
    @workflow.run
    async def run(self) -> list[str]:
        other = workflow.get_external_workflow_handle("other")
        never = asyncio.create_task(other.signal("never"))
        await asyncio.sleep(0)
        never.cancel()
        ends = await asyncio.gather(
            other.signal("first"), other.signal("second"), other.cancel(), return_exceptions=True
        )
        await other.signal("last", len(ends))
        return [type(end).__name__ for end in ends]
