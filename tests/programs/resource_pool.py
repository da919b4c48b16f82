"""Workflows that share a few of something: a pool lends it, and those who wait are served in turn.

The pool is a workflow of its own. Who wants a resource signals it and is signalled back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.exceptions import ApplicationError

POOL_ID = "pool"


@dataclass
class Pool:
    """What is there to be had, and who waits."""

    free: list[str]
    waiting: list[str] = field(default_factory=list)
    lent: dict[str, str] = field(default_factory=dict)


@workflow.defn
class ResourcePool:
    """Lends resources to workflows, one to each, first come first served."""

    @workflow.init
    def __init__(self, pool: Pool) -> None:
        self._free = deque(pool.free)
        self._waiting = deque(pool.waiting)
        self._lent = dict(pool.lent)
        self._closed = False

    @workflow.run
    async def run(self, pool: Pool) -> int:
        """How many are free at the end: all of them."""
        while not self._ends():
            await workflow.wait_condition(
                lambda: bool(self._free and self._waiting) or self._ends() or _is_old()
            )
            while self._free and self._waiting:
                await self._lend(self._waiting.popleft(), self._free.popleft())
            if _is_old():
                workflow.continue_as_new(Pool(list(self._free), list(self._waiting), self._lent))
        return len(self._free)

    @workflow.signal
    def acquire(self, borrower: str) -> None:
        if borrower not in self._lent:
            self._waiting.append(borrower)

    @workflow.signal
    def release(self, borrower: str) -> None:
        """Also for one who gave up waiting."""
        if (resource := self._lent.pop(borrower, None)) is not None:
            self._free.append(resource)
        elif borrower in self._waiting:
            self._waiting.remove(borrower)

    @workflow.signal
    def close(self) -> None:
        """End once nobody has or wants anything."""
        self._closed = True

    def _ends(self) -> bool:
        return self._closed and not self._lent and not self._waiting

    async def _lend(self, borrower: str, resource: str) -> None:
        self._lent[borrower] = resource
        handle = workflow.get_external_workflow_handle_for(Borrower.run, borrower)
        try:
            await handle.signal(Borrower.lend, resource)
        except ApplicationError:  # It has ended meanwhile.
            self.release(borrower)


def _is_old() -> bool:
    return workflow.info().is_continue_as_new_suggested()


@activity.defn
async def use(resource: str) -> str:
    return resource


@workflow.defn
class Borrower:
    """Needs a resource for one step."""

    def __init__(self) -> None:
        self._resource: str | None = None

    @workflow.run
    async def run(self) -> str:
        """What it used."""
        async with self._borrowed() as resource:
            return await workflow.execute_activity(
                use, resource, start_to_close_timeout=timedelta(seconds=10)
            )

    @workflow.signal
    def lend(self, resource: str) -> None:
        self._resource = resource

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[str]:
        pool = workflow.get_external_workflow_handle_for(ResourcePool.run, POOL_ID)
        me = workflow.info().workflow_id
        try:  # From here on: the cancel of a signal on its way may come too late.
            await pool.signal(ResourcePool.acquire, me)
            await workflow.wait_condition(lambda: self._resource is not None)
            yield str(self._resource)
        finally:
            await pool.signal(ResourcePool.release, me)


WORKFLOWS: list[type] = [ResourcePool, Borrower]
ACTIVITIES: list[Callable[..., object]] = [use]
