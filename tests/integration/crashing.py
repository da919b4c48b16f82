"""Workflows that take their process down, and some that only look like it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from datetime import timedelta

from orchestrator import workflow
from orchestrator.worker import ExecuteWorkflowInput, WorkflowInboundInterceptor


@workflow.defn
class Leaves:
    """Ends its process."""

    @workflow.run
    async def run(self) -> None:
        os._exit(3)


@workflow.defn
class LeavesLater:
    """Ends its process at a signal, when it has done some work."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("pay", start_to_close_timeout=timedelta(seconds=1))
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def add(self, item: str) -> None:
        os._exit(0)


@workflow.defn
class Crashes:
    """Reads where it must not, in native code."""

    @workflow.run
    async def run(self) -> None:
        with workflow.unsafe.sandbox_unrestricted():
            ctypes.string_at(0)


@workflow.defn
class Eats:
    """Takes all the memory there is."""

    @workflow.run
    async def run(self) -> None:
        eaten = []
        while True:
            eaten.append(bytearray(16 * 1024 * 1024))


@workflow.defn
class Spins:
    """Never ends; and writes more than anybody reads."""

    @workflow.run
    async def run(self) -> None:
        sys.stdout.write("x" * 1_000_000)
        while True:
            pass


@workflow.defn
class Interrupts:
    """Raises what is meant for the process."""

    @workflow.run
    async def run(self) -> None:
        async def interrupt() -> None:
            raise KeyboardInterrupt

        await asyncio.create_task(interrupt())


@workflow.defn
class Survives:
    """Prints, pays and waits; its end tries to reach out and is refused."""

    @workflow.run
    async def run(self) -> None:
        print('{"verdict": "not a word of the child"}')
        await workflow.execute_activity("pay", start_to_close_timeout=timedelta(seconds=1))
        try:
            await workflow.sleep(60)
        finally:
            os.kill(os.getpid(), 9)


@workflow.defn
class HasABug:
    """Fails its task."""

    @workflow.run
    async def run(self) -> None:
        raise KeyError("a bug")


class LeavesBefore(WorkflowInboundInterceptor):
    """Ends the process before the workflow's own code is entered."""

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> object:
        os._exit(4)
