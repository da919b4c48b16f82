"""Workflows with local activities, whose recorded histories are kept: see `features`.

The engine itself records them, on its memory adapters: a local activity is run by the worker, not
by the loop that `driver` plays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import ActivityError, ApplicationError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Worker

CLOSE = timedelta(minutes=1)
_QUEUE = "local"


@activity.defn
async def chop(what: str) -> str:
    return f"chopped {what}"


@activity.defn
async def burn(what: str) -> str:
    if activity.info().attempt < 3:
        raise ApplicationError(f"burnt {what}", type="Burnt")
    return f"fried {what}"


@workflow.defn
class LocalBesideOthers:
    @workflow.run
    async def run(self) -> list[Any]:
        seen: list[Any] = list(await asyncio.gather(self.chop("a"), self.far("b"), self.chop("c")))
        await workflow.sleep(60)
        seen.append(await self.chop("d"))
        never = workflow.start_local_activity(chop, "never", start_to_close_timeout=CLOSE)
        await asyncio.sleep(0)
        never.cancel()
        return [*seen, await self.far("e")]

    async def chop(self, what: str) -> str:
        return await workflow.execute_local_activity(chop, what, start_to_close_timeout=CLOSE)

    async def far(self, what: str) -> str:
        return await workflow.execute_activity(chop, what, start_to_close_timeout=CLOSE)


@workflow.defn
class LocalRetries:
    """One attempt after the other, at once, by durable timers, or never."""

    @workflow.run
    async def run(self) -> list[str]:
        seen: list[str] = []
        for seconds, attempts in ((0.001, 3), (120, 3), (0.001, 2)):
            policy = RetryPolicy(
                initial_interval=timedelta(seconds=seconds), maximum_attempts=attempts
            )
            try:
                fried = await workflow.execute_local_activity(
                    burn, "egg", start_to_close_timeout=CLOSE, retry_policy=policy
                )
                seen.append(fried)
            except ActivityError as error:
                seen.append(type(error.cause).__name__)
        return seen


LIVES: dict[str, type] = {one.__name__: one for one in (LocalBesideOthers, LocalRetries)}
_ACTIVITIES: list[Callable[..., Any]] = [chop, burn]


async def live(name: str) -> WorkflowHistory:
    """A new run of one of them, to its end."""
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(
            env.client, task_queue=_QUEUE, workflows=list(LIVES.values()), activities=_ACTIVITIES
        ),
    ):
        handle = await env.client.start_workflow(name, id="local-1", task_queue=_QUEUE)
        await handle.result()
        return await handle.fetch_history()
