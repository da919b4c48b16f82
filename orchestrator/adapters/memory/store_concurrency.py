"""Concurrency limits in memory: the same acts as the two scripts in Redis."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.adapters.memory.limit_state import Limit
from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.core.concurrency import BAND, ConcurrencyLimit
from orchestrator.ids import TaskQueue
from orchestrator.ports.concurrency import (
    ActivityRef,
    Doubtful,
    Entered,
    EnterLimits,
    LeaveLimits,
    MustWait,
)


class MemoryConcurrency:
    """The right to count who runs."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def enter_limits(self, enter: EnterLimits) -> Entered | MustWait:
        """See `ConcurrencyStore.enter_limits`."""
        now_ms = self._state.now_ms()
        found = [(limit, self._limit(enter.task_queue, limit.name)) for limit in enter.limits]
        for limit, kept in found:
            kept.most = limit.most
        if not enter.as_is:
            for limit, kept in found:
                ahead = kept.ahead(kept.place(enter))
                if enter.activity not in kept.holders and limit.most - len(kept.holders) <= ahead:
                    return self._wait(enter, limit, ahead, now_ms)
        fresh = any(enter.activity not in kept.holders for _, kept in found)
        numbers = [kept.let_in(enter, now_ms=now_ms) for _, kept in found]
        return Entered(attempt=max([enter.attempt, *numbers]), fresh=fresh)

    async def leave_limits(self, leave: LeaveLimits) -> Sequence[ActivityRef]:
        """See `ConcurrencyStore.leave_limits`."""
        following: list[ActivityRef] = []
        for name in leave.names:
            kept = self._limit(leave.task_queue, name)
            if leave.activity is not None and leave.attempt is None:
                kept.waiters.pop(leave.activity, None)
            elif leave.activity is not None:
                holder = kept.holders.get(leave.activity)
                if (
                    holder is not None
                    and holder.attempt == leave.attempt
                    and leave.until_ms in (None, holder.until_ms)
                ):
                    del kept.holders[leave.activity]
            following.extend(kept.following())
        return tuple(following)

    def _wait(
        self, enter: EnterLimits, blocked: ConcurrencyLimit, ahead: int, now_ms: int
    ) -> MustWait:
        doubtful: tuple[Doubtful, ...] = ()
        following: list[ActivityRef] = []
        for limit in enter.limits:
            kept = self._limit(enter.task_queue, limit.name)
            if limit is not blocked:
                kept.waiters.pop(enter.activity, None)
            else:
                place = kept.place(enter)
                if enter.activity not in kept.waiters:
                    kept.waiters[enter.activity] = place
                    kept.shares[enter.urgency.key] = place % BAND
                doubtful = kept.doubt(enter, now_ms=now_ms)
            following.extend(kept.following())
        return MustWait(limit=blocked, ahead=ahead, doubtful=doubtful, following=tuple(following))

    def _limit(self, task_queue: TaskQueue, name: str) -> Limit:
        return self._state.concurrency.setdefault((task_queue, name), Limit())
