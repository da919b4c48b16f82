"""What the workers of a bench run: workflows as small as they can be, so that the engine is what is
measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from orchestrator import activity, workflow

task_queue: str = "bench"


@activity.defn
async def echo(text: str) -> str:
    """Give back what came."""
    return text


@activity.defn
def burn(milliseconds: int) -> int:
    """Keep a core busy for so long, in a thread of the worker, by that thread's own clock."""
    until = time.thread_time_ns() + milliseconds * 1_000_000
    count = 0
    while time.thread_time_ns() < until:
        count += 1
    return count


@workflow.defn
class OneActivity:
    """One step: the smallest workflow that does something."""

    @workflow.run
    async def run(self, text: str) -> str:
        return await workflow.execute_activity(
            echo, text, start_to_close_timeout=timedelta(seconds=60)
        )


@workflow.defn
class Burning:
    """So many activities at once that each need a core."""

    @workflow.run
    async def run(self, count: int, milliseconds: int) -> int:
        each = (
            workflow.execute_activity(
                burn, milliseconds, start_to_close_timeout=timedelta(seconds=600)
            )
            for _ in range(count)
        )
        return sum(await asyncio.gather(*each))


workflows: list[type] = [OneActivity, Burning]
activities: list[Callable[..., Any]] = [echo, burn]  # Any: activities take what they like
