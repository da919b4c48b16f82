"""Turns in Redis: until when those of each limit are given away."""

from __future__ import annotations

from orchestrator.adapters.redis.answers import Part
from orchestrator.core.rates import RateLimit
from orchestrator.ids import TaskQueue
from orchestrator.ports.rates import Turn


class RedisRates(Part):
    """The right to take turns."""

    async def take_turn(self, task_queue: TaskQueue, limit: RateLimit) -> Turn:
        """See `RateStore.take_turn`."""
        fields = {"interval_us": limit.interval_us, "saved_us": limit.saved_us}
        answer = await self._scripts.take_turn([self._keys.rate(task_queue, limit.name)], fields)
        return Turn(due_at_ms=answer.due_at_ms, now_ms=answer.now_ms)
