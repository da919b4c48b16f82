"""When the time of something is over here: one task watches all deadlines of a worker.

The store's rows decide what becomes of an attempt whose time is over; this only lets its code see
it, so that it does not run on beside its successor.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from orchestrator.limits import DEAD_DEADLINES_MAX
from orchestrator.ports.clock import Clock
from orchestrator.telemetry.log import get_logger

_log = get_logger(__name__)
Expire = Callable[[], "int | None"]
"""Called when the time has come; answers when to call again (epoch milliseconds), or None."""


class Deadline:
    """One entry; `cancel` it when it does not matter any more."""

    def __init__(self, owner: Deadlines, expire: Expire) -> None:
        self._owner = owner
        self.expire: Expire | None = expire

    def cancel(self) -> None:
        """Forget it; again does nothing."""
        if self.expire is not None:
            self.expire = None
            self._owner.forget_one()


class Deadlines:
    """A queue of points in time by one clock. Its task starts with the first one and ends with
    `close`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Deadline]] = []
        self._numbers = count()
        self._dead = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, due_ms: int, expire: Expire) -> Deadline:
        """Call `expire` once it is `due_ms` by the clock."""
        deadline = Deadline(self, expire)
        self._push(due_ms, deadline)
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), name="deadlines of activities")
        return deadline

    def forget_one(self) -> None:
        """A deadline was cancelled; many of them are swept out."""
        self._dead += 1
        if self._dead > DEAD_DEADLINES_MAX and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].expire is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    async def close(self) -> None:
        """Call nothing any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _push(self, due_ms: int, deadline: Deadline) -> None:
        heapq.heappush(self._heap, (due_ms, next(self._numbers), deadline))
        if self._heap[0][2] is deadline:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            if not self._heap:
                await self._changed.wait()
                continue
            due_ms, _, deadline = self._heap[0]
            wait_ms = due_ms - self._clock.now_ms()
            if deadline.expire is not None and wait_ms > 0:
                await self._clock.wait(self._changed, timeout_ms=wait_ms)
                continue
            heapq.heappop(self._heap)
            if deadline.expire is None:
                self._dead -= 1
                continue
            again_ms = _expired(deadline.expire)
            if again_ms is None:
                deadline.expire = None
            else:
                self._push(again_ms, deadline)


def _expired(expire: Expire) -> int | None:
    try:
        return expire()
    except Exception:  # the boundary of one deadline: the others must be watched on
        _log.exception("deadline_failed")
        return None
