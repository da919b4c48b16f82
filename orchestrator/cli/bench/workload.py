"""The loads of a bench: runs in flight, runs one after another, runs that need a core each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.cli.bench.app import Burning, OneActivity, task_queue
from orchestrator.client import Client

_TEXT = "0123456789" * 4


@dataclass(frozen=True)
class Latencies:
    """Milliseconds from a start to its result, in order of size."""

    sorted_ms: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """The value that `percent` of all do not exceed.

        Raises:
            ValueError: there are none.
        """
        if not self.sorted_ms:
            raise ValueError("no latencies were measured")
        index = round(percent / 100 * (len(self.sorted_ms) - 1))
        return self.sorted_ms[index]


async def in_flight(
    call: Callable[[int], Awaitable[object]], *, count: int, at_a_time: int
) -> Latencies:
    """Call `call(number)` for 0, 1, … `count - 1`, so many at a time."""
    numbers, took_ms = iter(range(count)), list[float]()

    async def work() -> None:
        for number in numbers:
            started_s = time.perf_counter()
            await call(number)
            took_ms.append((time.perf_counter() - started_s) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_a_time, count)):
            group.create_task(work())
    return Latencies(tuple(sorted(took_ms)))


def one_activity(client: Client, prefix: str) -> Callable[[int], Awaitable[object]]:
    """Runs of one activity, under ids that begin with `prefix`."""

    async def run(number: int) -> object:
        return await client.execute_workflow(
            OneActivity.run, _TEXT, id=f"{prefix}-{number}", task_queue=task_queue
        )

    return run


async def burning(client: Client, workflow_id: str, *, count: int, milliseconds: int) -> float:
    """Seconds until `count` activities that each need a core for so long have all returned."""
    started_s = time.perf_counter()
    await client.execute_workflow(
        Burning.run, args=[count, milliseconds], id=workflow_id, task_queue=task_queue
    )
    return time.perf_counter() - started_s
