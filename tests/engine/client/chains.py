"""Workflows whose runs follow one another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from orchestrator import workflow
from orchestrator.exceptions import ApplicationError

QUEUE = "chains"


@workflow.defn
class Stubborn:
    """Fails until its third attempt."""

    @workflow.run
    async def run(self, message: str) -> list[Any]:
        info, before = workflow.info(), workflow.get_last_failure()
        if info.attempt < 3:
            raise ApplicationError(f"{message} {info.attempt}")
        return [info.attempt, str(before), info.continued_run_id != info.first_execution_run_id]


@workflow.defn
class Sleepless:
    """Takes longer than its run may, until its third attempt."""

    @workflow.run
    async def run(self) -> int:
        if workflow.info().attempt < 3:
            await asyncio.sleep(3600)
        return workflow.info().attempt


@workflow.defn
class Counting:
    """Counts on from the run before; every third time it fails. Signals end it for good."""

    def __init__(self) -> None:
        self.signals = 0

    @workflow.run
    async def run(self) -> int:
        count = (workflow.get_last_completion_result(int) or 0) + 1
        if count == 3 and workflow.get_last_failure() is None:
            raise ApplicationError("not three")
        if count == 5:
            await workflow.wait_condition(lambda: self.signals > 0)
            await asyncio.sleep(3600)
        return count

    @workflow.signal
    def stop(self) -> None:
        self.signals += 1


@workflow.defn
class Waiting:
    """Tells when it was begun, and what had come by then."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @workflow.run
    async def run(self) -> list[Any]:
        info = workflow.info()
        waited = info.start_time - info.workflow_start_time
        return [round(waited / timedelta(seconds=1)), self.seen]

    @workflow.signal
    def poke(self, name: str) -> None:
        self.seen.append(name)


@workflow.defn
class Continuing:
    """Continues as new once, with a pause."""

    @workflow.run
    async def run(self, round: int) -> list[Any]:
        if round == 0:
            workflow.continue_as_new(
                1, backoff_start_interval=timedelta(hours=2), run_timeout=timedelta(minutes=1)
            )
        info = workflow.info()
        return [info.attempt, info.run_timeout == timedelta(minutes=1)]


WORKFLOWS = [Stubborn, Sleepless, Counting, Waiting, Continuing]
