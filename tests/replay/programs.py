"""Random workflows: a program is data, and one workflow class interprets any of it.

A program is a list of steps, each a list `[name, …]`. Steps hold programs themselves where asyncio
holds coroutines, so anything can wait for, bound, cancel and shield anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from orchestrator import workflow
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from orchestrator.workflow import ActivityCancellationType, ChildWorkflowCancellationType

Program = list[Any]
CLOSE = timedelta(seconds=5)
NAMES = ("a", "b", "c")
OTHERS = ("x", "y")

_seconds = st.sampled_from([0, 1, 5, 0.25])
_kinds = st.sampled_from([0, 1, 2])
_simple = st.one_of(
    st.tuples(st.just("activity"), st.sampled_from(NAMES), _kinds),
    st.tuples(st.just("start_and_cancel"), st.sampled_from(NAMES), _kinds, st.booleans()),
    st.tuples(st.just("child"), st.sampled_from(OTHERS), st.integers(0, 3)),
    st.tuples(st.just("start_and_leave"), st.sampled_from(OTHERS), st.integers(0, 3)),
    st.tuples(st.sampled_from(["tell", "stop"]), st.sampled_from(OTHERS)),
    st.tuples(st.just("sleep"), _seconds),
    st.tuples(st.just("wait"), st.integers(0, 3), st.sampled_from([None, 3, 0])),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("join")),
    st.tuples(st.just("put")),
    st.tuples(st.just("get"), st.sampled_from([1, 4])),
    st.tuples(st.just("draw")),
    st.tuples(st.just("fail")),
).map(list)


def _nested(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    program = st.lists(steps, max_size=3)
    programs = st.lists(program, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(st.sampled_from(["gather", "group", "race", "ordered"]), programs),
        st.tuples(st.sampled_from(["spawn", "shield", "locked", "guarded"]), program),
        st.tuples(st.sampled_from(["limit", "timeout"]), _seconds, program),
        st.tuples(st.just("branch"), program, program),
    ).map(list)


programs: st.SearchStrategy[Program] = st.lists(
    st.recursive(_simple, _nested, max_leaves=8), min_size=1, max_size=5
)


@workflow.defn
class Interpreter:
    """Runs a program and returns what it saw."""

    @workflow.init
    def __init__(self, program: Program, again: int) -> None:
        self.seen: list[Any] = []
        self.signals = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.lock = asyncio.Lock()
        self.queue: asyncio.Queue[int] = asyncio.Queue()

    @workflow.run
    async def run(self, program: Program, again: int) -> list[Any]:
        await self.do(program)
        if again:
            workflow.continue_as_new(args=[program, again - 1])
        return self.seen

    @workflow.signal
    async def add(self) -> None:
        self.signals += 1
        self.queue.put_nowait(self.signals)

    @workflow.signal
    async def also(self, program: Program) -> None:
        await self.do(program)

    @workflow.update
    async def change(self, program: Program) -> int:
        self.signals += 1
        await self.do(program)
        return len(self.seen)

    @change.validator
    def may_change(self, program: Program) -> None:
        if len(self.seen) % 3 == 1:
            raise ApplicationError("not now")

    @workflow.query
    def look(self) -> list[Any]:
        return self.seen

    async def do(self, program: Program) -> None:
        for name, *args in program:
            self.seen.append(name)
            await getattr(self, f"do_{name}")(*args)

    async def do_activity(self, name: str, kind: int) -> None:
        try:
            self.seen.append(await self.start(name, kind))
        except ActivityError as error:
            self.seen.append(f"{name}: {error.cause!r}")

    async def do_start_and_cancel(self, name: str, kind: int, begin: bool) -> None:
        handle = self.start(name, kind)
        if begin:
            await asyncio.sleep(0)
        handle.cancel()
        await workflow.wait([handle])

    def start(self, name: str, kind: int) -> workflow.ActivityHandle[Any]:
        return workflow.start_activity(
            name, start_to_close_timeout=CLOSE, cancellation_type=ActivityCancellationType(kind)
        )

    async def do_child(self, name: str, kind: int) -> None:
        try:
            child = await self.start_child(name, kind)
            await child.signal("hear", name)
            self.seen.append(await child)
        except (ChildWorkflowError, WorkflowAlreadyStartedError, ApplicationError) as error:
            self.seen.append(f"{name}: {error!r} {error.__cause__!r}")

    async def do_start_and_leave(self, name: str, kind: int) -> None:
        self.tasks.append(asyncio.create_task(self.do_child(name, kind)))
        await asyncio.sleep(0)
        await self.do_cancel(len(self.seen))

    async def start_child(self, name: str, kind: int) -> workflow.ChildWorkflowHandle[Any, Any]:
        return await workflow.start_child_workflow(
            name, cancellation_type=ChildWorkflowCancellationType(kind)
        )

    async def do_tell(self, name: str) -> None:
        try:
            await workflow.get_external_workflow_handle(name).signal("hear", len(self.seen))
        except ApplicationError as error:
            self.seen.append(f"{name}: {error!r}")

    async def do_stop(self, name: str) -> None:
        try:
            await workflow.get_external_workflow_handle(name).cancel()
        except ApplicationError as error:
            self.seen.append(f"{name}: {error!r}")

    async def do_sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def do_wait(self, count: int, timeout: float | None) -> None:
        try:
            await workflow.wait_condition(lambda: self.signals >= count, timeout=timeout)
        except TimeoutError:
            self.seen.append("late")

    async def do_cancel(self, index: int) -> None:
        if self.tasks:
            self.tasks[index % len(self.tasks)].cancel()

    async def do_join(self) -> None:
        me = asyncio.current_task()
        if me is None or not me.get_name().startswith("run "):
            return  # a task that waits for one that waits for it would never end
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    async def do_put(self) -> None:
        await self.queue.put(0)

    async def do_get(self, seconds: float) -> None:
        try:
            self.seen.append(await asyncio.wait_for(self.queue.get(), seconds))
        except TimeoutError:
            self.seen.append("nothing")

    async def do_draw(self) -> None:
        self.seen.append([workflow.random().random(), str(workflow.uuid7()), workflow.time()])

    async def do_fail(self) -> None:
        raise ApplicationError("as the program says")

    async def do_gather(self, programs: list[Program]) -> None:
        await asyncio.gather(*map(self.do, programs))

    async def do_group(self, programs: list[Program]) -> None:
        async with asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(self.do(program))

    async def do_race(self, programs: list[Program]) -> None:
        tasks = [asyncio.create_task(self.do(program)) for program in programs]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    async def do_ordered(self, programs: list[Program]) -> None:
        for one in workflow.as_completed(list(map(self.do, programs)), timeout=30):
            try:
                await one
            except (ApplicationError, TimeoutError) as error:
                self.seen.append(type(error).__name__)

    async def do_spawn(self, program: Program) -> None:
        self.tasks.append(asyncio.create_task(self.do(program)))

    async def do_shield(self, program: Program) -> None:
        await asyncio.shield(self.do(program))

    async def do_locked(self, program: Program) -> None:
        # Free at this moment, or else it may be ours: a lock of asyncio is not reentrant.
        async with contextlib.nullcontext() if self.lock.locked() else self.lock:
            await self.do(program)

    async def do_guarded(self, program: Program) -> None:
        try:
            await self.do(program)
        except (ApplicationError, TimeoutError, ExceptionGroup) as error:
            self.seen.append(type(error).__name__)
        finally:
            self.seen.append("left")

    async def do_limit(self, seconds: float, program: Program) -> None:
        await asyncio.wait_for(self.do(program), seconds)

    async def do_timeout(self, seconds: float, program: Program) -> None:
        async with asyncio.timeout(seconds):
            await self.do(program)

    async def do_branch(self, left: Program, right: Program) -> None:
        await self.do(left if workflow.random().random() < 0.5 else right)


def renamed(program: Any, old: str, new: str) -> Any:
    """The program with another activity in place of one."""
    if isinstance(program, list | tuple):
        return [renamed(part, old, new) for part in program]
    return new if program == old else program
