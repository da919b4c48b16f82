"""The loop that does the duties of one process: joins the others, looks at its shards, acts,
sleeps.

Once a second it renews its membership and looks at all of its shards, in one write; in between it
sleeps, and looks only at a shard of which it knows that a row is due. Who arms something that is
due soon calls `expect`, so that nobody waits for a poll. An error of one row is logged and the row
stays: it is taken up again in the next full round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set

from orchestrator.core.shard import owners
from orchestrator.engine.redrive import Redrive
from orchestrator.engine.timers import Timers
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import ProcessName, ShardId
from orchestrator.limits import DUE_ROWS_MAX, IDLE_POLL_MS
from orchestrator.ports.broker import Broker
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Due, DueRow, DueWakeup, Store

OnError = Callable[[str, Exception], None]
"""Told what was being done and what went wrong."""


class Duties:
    """Engine duties of one process."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        timers: Timers,
        redrive: Redrive,
        clock: Clock,
        *,
        process: ProcessName,
        on_error: OnError,
    ) -> None:
        self._store = store
        self._broker = broker
        self._timers = timers
        self._redrive = redrive
        self._clock = clock
        self._process = process
        self._on_error = on_error
        self._wake = asyncio.Event()
        self._stopped = False
        self._due_at_ms: dict[ShardId, int] = {}
        """By this process's clock: when a shard is known to have something due."""
        self._members: Sequence[ProcessName] = ()
        self._share: frozenset[ShardId] = frozenset()
        self._full_round_at_ms = 0

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
        known_ms = self._due_at_ms.get(shard)
        if known_ms is None or due_at_ms < known_ms:
            self._due_at_ms[shard] = due_at_ms
            self._wake.set()

    async def once(self) -> int:
        """One round over all shards of this process; milliseconds until the next look."""
        if not self._broker.is_connected:
            return await self._stand_back()
        self._full_round_at_ms = self._clock.now_ms() + IDLE_POLL_MS
        known = {*self._share, *self._due()}
        # Issued together, they are one write: that is all an idle process sends in a second.
        members, dues = await asyncio.gather(self._store.join(self._process), self._read(known))
        if members != self._members:
            self._members = members
            self._share = frozenset(owners(self._store.shards, tuple(members), self._process))
        await self._act_on([*dues, *await self._read(self._share - known)])
        return self._wait_ms()

    async def _stand_back(self) -> int:
        """Without a broker nothing that is due can be told to anybody: the rows stay due, and the
        shards are left to processes that have one."""
        if self._members:
            self._on_error("the duties", UnavailableError("RabbitMQ is away: left to others"))
            self._members, self._share = (), frozenset()
            await self._store.leave(self._process)
        self._full_round_at_ms = 0
        return IDLE_POLL_MS

    async def _round(self) -> int:
        try:
            if self._clock.now_ms() >= self._full_round_at_ms or not self._broker.is_connected:
                return await self.once()
            await self._look(self._due())
            return self._wait_ms()
        except Exception as error:  # the boundary of the loop: a server may be away for a while
            self._on_error("looking at the shards", error)
            self._full_round_at_ms = 0
            return IDLE_POLL_MS

    def _due(self) -> set[ShardId]:
        now_ms = self._clock.now_ms()
        return {shard for shard, due_ms in self._due_at_ms.items() if due_ms <= now_ms}

    def _wait_ms(self) -> int:
        """Until the next look: at least a millisecond, because the store's clock decides what is
        due and ours may be ahead of it."""
        next_ms = min((self._full_round_at_ms, *self._due_at_ms.values()))
        return max(1, next_ms - self._clock.now_ms())

    async def _look(self, shards: Set[ShardId]) -> None:
        """Act on what is due in `shards`."""
        await self._act_on(await self._read(shards))

    async def _read(self, shards: Set[ShardId]) -> Sequence[tuple[ShardId, Due]]:
        if not shards:
            return ()
        for shard in shards:
            self._due_at_ms.pop(shard, None)
        in_order = sorted(shards)
        dues = await self._store.due(in_order, limit=DUE_ROWS_MAX)
        return tuple(zip(in_order, dues, strict=True))

    async def _act_on(self, dues: Sequence[tuple[ShardId, Due]]) -> None:
        """Rows of a shard travel together; the wake-ups of all shards are compared with their
        queues once."""
        for shard, due in dues:
            acts = (self._take(row, now_ms=due.now_ms) for row in due.timers)
            self._plan(shard, due, all_done=all(await asyncio.gather(*acts)))
        await self._repeat([row for _, due in dues for row in due.wakeups])

    def _plan(self, shard: ShardId, due: Due, *, all_done: bool) -> None:
        """Remember when to look at the shard again; after an error not before the next round."""
        if len(due.timers) == DUE_ROWS_MAX or len(due.wakeups) == DUE_ROWS_MAX:
            if all_done:
                self.expect(shard, self._clock.now_ms())
        elif due.next_due_ms is not None:
            # Beyond the next full round nobody needs to remember it. In a shard of others only what
            # was expected here is waited for: nothing was due, so this look came too early.
            left_ms = due.next_due_ms - due.now_ms
            came_early = not due.timers and not due.wakeups
            if left_ms <= IDLE_POLL_MS and (came_early or shard in self._share):
                self.expect(shard, self._clock.now_ms() + left_ms)

    async def _take(self, row: DueRow, *, now_ms: int) -> bool:
        try:
            for shard in await self._timers.take(row, now_ms=now_ms):
                self.expect(shard, self._clock.now_ms())
        except Exception as error:  # the boundary of one row: the others must not wait for it
            self._on_error(f"acting on {row.kind.value} of {row.workflow_id}", error)
            return False
        return True

    async def _repeat(self, rows: Sequence[DueWakeup]) -> None:
        try:
            await self._redrive.take(rows)
        except Exception as error:  # the boundary of wake-ups: timers go on without them
            self._on_error("repeating wake-ups", error)

    async def _leave(self) -> None:
        try:
            await self._store.leave(self._process)
        except Exception as error:  # leaving is a courtesy: the membership runs out by itself
            self._on_error("leaving", error)
