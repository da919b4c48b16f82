"""A decorator of one's own for activities: it heartbeats while the function runs.

The worker notices a dead process after the heartbeat time-out then, and the function need not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

from orchestrator import activity, workflow

P = ParamSpec("P")
R = TypeVar("R")


def heartbeating(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Heartbeat twice in each heartbeat time-out, as long as `function` runs."""

    @wraps(function)
    async def heartbeats(*args: P.args, **kwargs: P.kwargs) -> R:
        timeout = activity.info().heartbeat_timeout
        if timeout is None:
            return await function(*args, **kwargs)
        beating = asyncio.create_task(_beat(timeout / 2), name="heartbeats")
        try:
            return await function(*args, **kwargs)
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    return heartbeats


async def _beat(every: timedelta) -> None:
    while True:
        activity.heartbeat("alive")
        await asyncio.sleep(every.total_seconds())


@activity.defn
@heartbeating
async def translate(text: str) -> str:
    """Slow, with no place to heartbeat from."""
    await asyncio.sleep(0.05)
    return text[::-1]


@workflow.defn
class Translation:
    """One activity that may take long, and is known to be dead within two seconds."""

    @workflow.run
    async def run(self, text: str) -> str:
        return await workflow.execute_activity(
            translate,
            text,
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=timedelta(seconds=2),
        )


WORKFLOWS: list[type] = [Translation]
ACTIVITIES: list[Callable[..., object]] = [translate]
