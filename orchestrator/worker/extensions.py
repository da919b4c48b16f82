"""Rows of runs in work are moved on, so that nobody else takes up a task that is only long.

One loop for all runs of a process: it asks nothing of the store for tasks that are short.
"""

from __future__ import annotations

import asyncio

from orchestrator.exceptions import UnavailableError
from orchestrator.ids import WorkflowId
from orchestrator.limits import TASK_EXTENSION_MS, WORKFLOW_TASK_TIMEOUT_MS
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.telemetry.log import get_logger

_log = get_logger(__name__)


class Extensions:
    """Extends what is in work. Owns one task, which ends when there was nothing for a while."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._since_ms: dict[WorkflowId, int] = {}
        self._timeouts_ms: dict[WorkflowId, int] = {}
        self._loop: asyncio.Task[None] | None = None
        self._never = asyncio.Event()

    def begin(self, workflow_id: WorkflowId) -> None:
        """A run is in work from now on."""
        self._since_ms[workflow_id] = self._clock.now_ms()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.get_running_loop().create_task(self._extend(), name="extensions")

    def learn(self, workflow_id: WorkflowId, *, task_timeout_ms: int) -> None:
        """The run's own task time-out has become known."""
        self._timeouts_ms[workflow_id] = task_timeout_ms

    def timeout_ms(self, workflow_id: WorkflowId) -> int:
        """The task time-out of a run in work, as far as it is known."""
        return self._timeouts_ms.get(workflow_id, WORKFLOW_TASK_TIMEOUT_MS)

    def end(self, workflow_id: WorkflowId) -> None:
        """A run is no longer in work."""
        self._since_ms.pop(workflow_id, None)
        self._timeouts_ms.pop(workflow_id, None)

    def stop(self) -> None:
        """End the loop."""
        if self._loop is not None:
            self._loop.cancel()

    async def _extend(self) -> None:
        while self._since_ms:
            await self._clock.wait(self._never, timeout_ms=TASK_EXTENSION_MS)
            # Half an interval: whoever was begun later is met again well before its time-out.
            long_since_ms = self._clock.now_ms() - TASK_EXTENSION_MS // 2
            long = [one for one, since_ms in self._since_ms.items() if since_ms <= long_since_ms]
            await asyncio.gather(*(self._extend_one(workflow_id) for workflow_id in long))

    async def _extend_one(self, workflow_id: WorkflowId) -> None:
        # A time-out shorter than this loop's interval would be over between two extensions.
        until_ms = max(self.timeout_ms(workflow_id), 2 * TASK_EXTENSION_MS)
        try:
            await self._store.extend(workflow_id, task_timeout_ms=until_ms)
        except UnavailableError:
            pass  # While the store is away nobody can take the task up either.
        except Exception as error:  # the boundary of one row: the others' must not wait for it
            _log.error("extension_failed", workflow_id=workflow_id, exc_info=error)
