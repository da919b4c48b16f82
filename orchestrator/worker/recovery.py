"""What a worker does of its own accord when a server has lost something.

Redis is found to be another server than before: the ends of attempts that it acknowledged last may
be gone, and are told again. RabbitMQ had to be given a task queue anew: the messages it held are
gone, and their rows are due now instead of at their next repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from orchestrator.exceptions import OrchestratorError
from orchestrator.ids import ShardId, TaskQueue
from orchestrator.limits import IDLE_POLL_MS
from orchestrator.ports.broker import ActivityQueue, Queue, WorkflowQueue
from orchestrator.telemetry.log import bind, get_logger
from orchestrator.wiring import Services


class Recovery:
    """Repeats what may be lost, for one task queue. Each act is tried until the store answers."""

    def __init__(
        self,
        services: Services,
        *,
        task_queue: TaskQueue,
        repeat_finishes: Callable[[], Awaitable[None]],
    ) -> None:
        self._services = services
        self._task_queue = task_queue
        self._repeat_finishes = repeat_finishes
        self._log = bind(get_logger(__name__), namespace=services.namespace)
        self._finishes_lost = self._wakeups_lost = self._tasks_lost = self._stopped = False
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Act on what is lost until `stop`."""
        services = self._services
        services.after_failover.append(self._store_changed)
        services.after_loss.append(self.queues_made)
        try:
            while not self._stopped:
                await self._news.wait()
                self._news.clear()
                await self._act()
        finally:
            services.after_failover.remove(self._store_changed)
            services.after_loss.remove(self.queues_made)

    def stop(self) -> None:
        """End `run`."""
        self._stopped = True
        self._news.set()

    def queues_made(self, queues: Sequence[Queue]) -> None:
        """These queues were not there: what they held is gone."""
        self._wakeups_lost |= WorkflowQueue(self._task_queue) in queues
        self._tasks_lost |= ActivityQueue(self._task_queue) in queues
        self._news.set()

    def _store_changed(self) -> None:
        self._finishes_lost = True
        self._news.set()

    async def _act(self) -> None:
        store = self._services.store
        shards = [ShardId(number) for number in range(store.shards)]
        try:
            if self._wakeups_lost:
                moved = await store.wake_now(shards, [self._task_queue])
                self._wakeups_lost = False
                self._tell("lost_wakeups_repeated", moved)
            if self._tasks_lost:
                # Rows do not tell their queue: what still waits in others is held back there.
                moved = await store.dispatch_now(shards)
                self._tasks_lost = False
                self._tell("lost_tasks_repeated", moved)
            if self._finishes_lost:
                await self._repeat_finishes()
                self._finishes_lost = False
        except OrchestratorError as error:
            self._log.warning("recovery_waits", error=str(error))
            await self._services.clock.wait(asyncio.Event(), timeout_ms=IDLE_POLL_MS)
            self._news.set()

    def _tell(self, event: str, rows: int) -> None:
        """New queues that held nothing, as at the first start of all, are no news."""
        if rows:
            self._log.info(event, rows=rows, task_queue=self._task_queue)
