"""A cluster whose handlers wait while they change shared state: a lock keeps their steps apart.

The run lives long, so it hands over to a new run now and then; but never while a handler is on its
way, and what was asked of it before is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.exceptions import ApplicationError


@dataclass
class Cluster:
    """Which job each node works on; an empty text: none."""

    nodes: dict[str, str] = field(default_factory=dict)
    generation: int = 1


@activity.defn
async def assign(nodes: list[str], job: str) -> None:
    """Tell the nodes what to do."""
    await asyncio.sleep(0.001 * len(nodes) * len(job))


@workflow.defn
class ClusterManager:
    """Gives nodes to jobs until it is shut down."""

    @workflow.init
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = asyncio.Lock()
        self._down = False
        self._served = 0

    @workflow.run
    async def run(self, cluster: Cluster) -> Cluster:
        await workflow.wait_condition(lambda: self._down or self._is_old())
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self._down:
            workflow.continue_as_new(Cluster(self._cluster.nodes, self._cluster.generation + 1))
        return self._cluster

    @workflow.update
    async def allocate(self, job: str, count: int) -> list[str]:
        """Nodes for a job. Raises ApplicationError when there are too few."""
        self._served += 1
        async with self._lock:  # Else two jobs would see the same free nodes.
            free = [node for node, other in self._cluster.nodes.items() if not other]
            if len(free) < count:
                raise ApplicationError(f"{len(free)} nodes are free, {job} needs {count}")
            await workflow.execute_activity(
                assign, args=[free[:count], job], start_to_close_timeout=timedelta(seconds=10)
            )
            self._cluster.nodes.update(dict.fromkeys(free[:count], job))
            return free[:count]

    @allocate.validator
    def _check(self, job: str, count: int) -> None:
        if not job or count < 1:
            raise ValueError("a job needs a name and at least one node")

    @workflow.update
    async def release(self, job: str) -> int:
        """How many nodes are free again."""
        self._served += 1
        async with self._lock:
            nodes = [node for node, other in self._cluster.nodes.items() if other == job]
            self._cluster.nodes.update(dict.fromkeys(nodes, ""))
            return len(nodes)

    @workflow.signal
    def shut_down(self) -> None:
        self._down = True

    def _is_old(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() or self._served >= SERVED_BY_ONE_RUN


SERVED_BY_ONE_RUN = 5
WORKFLOWS: list[type] = [ClusterManager]
ACTIVITIES: list[Callable[..., object]] = [assign]
