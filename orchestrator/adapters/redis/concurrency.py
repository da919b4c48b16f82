"""Concurrency limits in Redis: who holds a place under each, and who waits for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.adapters.redis.answers import Part
from orchestrator.adapters.redis.keys import read_row, row
from orchestrator.core.concurrency import BAND
from orchestrator.ids import TaskQueue
from orchestrator.limits import DOUBTED_AT_ONCE_MAX
from orchestrator.ports.concurrency import (
    ActivityRef,
    Doubtful,
    Entered,
    EnterLimits,
    LeaveLimits,
    MustWait,
)
from orchestrator.ports.store import DueKind


class RedisConcurrency(Part):
    """The right to count who runs."""

    async def enter_limits(self, enter: EnterLimits) -> Entered | MustWait:
        """See `ConcurrencyStore.enter_limits`."""
        keys = self._limit_keys(enter.task_queue, (limit.name for limit in enter.limits))
        fields = {
            "activity": _holder(enter.activity),
            "attempt": enter.attempt,
            "mosts": [limit.most for limit in enter.limits],
            "priority": enter.urgency.priority,
            "key": enter.urgency.key,
            "stride": enter.urgency.stride,
            "band": BAND,
            "doubt_in_ms": enter.doubt_in_ms,
            "lasts_ms": enter.lasts_ms,
            "at_once": DOUBTED_AT_ONCE_MAX,
            "as_is": enter.as_is or None,
        }
        answer = await self._scripts.enter_limits(keys, fields)
        if answer.kind == "entered":
            return Entered(attempt=answer.number, fresh=answer.fresh)
        told = iter(answer.doubtful)
        return MustWait(
            limit=enter.limits[answer.number - 1],
            ahead=answer.ahead,
            doubtful=tuple(
                Doubtful(activity=_activity(holder), attempt=int(attempt), until_ms=int(until_ms))
                for holder, attempt, until_ms in zip(told, told, told, strict=True)
            ),
            following=tuple(_activity(waiter) for waiter in answer.following),
        )

    async def leave_limits(self, leave: LeaveLimits) -> Sequence[ActivityRef]:
        """See `ConcurrencyStore.leave_limits`."""
        fields = {
            "activity": None if leave.activity is None else _holder(leave.activity),
            "attempt": leave.attempt,
            "until_ms": leave.until_ms,
            "at_once": DOUBTED_AT_ONCE_MAX,
        }
        keys = self._limit_keys(leave.task_queue, leave.names)
        answer = await self._scripts.leave_limits(keys, fields)
        return tuple(_activity(waiter) for waiter in answer.following)

    def _limit_keys(self, task_queue: TaskQueue, names: Iterable[str]) -> list[str]:
        return [key for name in names for key in self._keys.concurrency(task_queue, name)]


def _holder(activity: ActivityRef) -> str:
    """An activity among holders and waiters: named as its row in `timers`."""
    return row(DueKind.ACTIVITY, activity.workflow_id, activity.run_id, activity.event_id)


def _activity(holder: str) -> ActivityRef:
    found = read_row(holder, 0)
    return ActivityRef(found.workflow_id, found.run_id, found.event_id)
