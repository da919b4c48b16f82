"""The loop that does the duties of one process: joins the others, looks at its shards, acts,
sleeps.

It sleeps until the next row of its shards is due, at most a second. Who arms something that is due
soon calls `expect`, so that nobody waits for a poll. An error of one row is logged and the row
stays: it is taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.core.shard import owners
from orchestrator.engine.redrive import Redrive
from orchestrator.engine.timers import Timers
from orchestrator.ids import ProcessName, ShardId
from orchestrator.limits import DUE_ROWS_MAX, IDLE_POLL_MS
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Due, DueRow, Store

OnError = Callable[[str, Exception], None]
"""Told what was being done and what went wrong."""


class Duties:
    """Engine duties of one process."""

    def __init__(
        self,
        store: Store,
        timers: Timers,
        redrive: Redrive,
        clock: Clock,
        *,
        process: ProcessName,
        on_error: OnError,
    ) -> None:
        self._store = store
        self._timers = timers
        self._redrive = redrive
        self._clock = clock
        self._process = process
        self._on_error = on_error
        self._wake = asyncio.Event()
        self._stopped = False
        self._expected: dict[ShardId, int] = {}

    async def run(self) -> None:
        """Do the duties until `stop`. An unreachable store is asked again each second."""
        try:
            while not self._stopped:
                self._wake.clear()
                wait_ms = await self._round()
                if not self._stopped:
                    await self._clock.wait(self._wake, timeout_ms=wait_ms)
        finally:
            await self._leave()

    def stop(self) -> None:
        """End `run` after the round it is in."""
        self._stopped = True
        self._wake.set()

    def expect(self, shard: ShardId, due_at_ms: int) -> None:
        """Something was armed for `due_at_ms`: look at its shard then, whoever owns it."""
        known_ms = self._expected.get(shard)
        if known_ms is None or due_at_ms < known_ms:
            self._expected[shard] = due_at_ms
            self._wake.set()

    async def once(self) -> int:
        """One round over this process's shards; milliseconds until the next row is due."""
        members = tuple(await self._store.join(self._process))
        share = {*owners(self._store.shards, members, self._process), *self._expected}
        dues = await self._store.due(sorted(share), limit=DUE_ROWS_MAX)
        return await self._act(dues)

    async def _round(self) -> int:
        try:
            return await self.once()
        except Exception as error:  # the boundary of the loop: a server may be away for a while
            self._on_error("looking at the shards", error)
            return IDLE_POLL_MS

    async def _act(self, dues: Sequence[Due]) -> int:
        wait_ms = IDLE_POLL_MS
        for due in dues:
            for row in due.timers:
                await self._take(row, now_ms=due.now_ms)
            if due.wakeups:
                await self._redrive.take(due.wakeups)
            if len(due.timers) == DUE_ROWS_MAX or len(due.wakeups) == DUE_ROWS_MAX:
                wait_ms = 0
            if due.next_due_ms is not None:
                wait_ms = min(wait_ms, max(0, due.next_due_ms - due.now_ms))
        return min(wait_ms, self._until_expected(dues[0].now_ms if dues else 0))

    def _until_expected(self, now_ms: int) -> int:
        """Milliseconds until the next expected row; what was due in this round is forgotten."""
        for shard, due_at_ms in list(self._expected.items()):
            if due_at_ms <= now_ms:
                del self._expected[shard]
        return min((due_ms - now_ms for due_ms in self._expected.values()), default=IDLE_POLL_MS)

    async def _take(self, row: DueRow, *, now_ms: int) -> None:
        try:
            await self._timers.take(row, now_ms=now_ms)
        except Exception as error:  # the boundary of one row: the others must not wait for it
            self._on_error(f"acting on {row.kind.value} of {row.workflow_id}", error)

    async def _leave(self) -> None:
        try:
            await self._store.leave(self._process)
        except Exception as error:  # leaving is a courtesy: the membership runs out by itself
            self._on_error("leaving", error)
