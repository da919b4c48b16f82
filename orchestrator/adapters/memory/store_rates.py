"""Turns in memory: until when those of each limit are given away."""

from __future__ import annotations

from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.core.rates import RateLimit, next_turn_us
from orchestrator.ids import TaskQueue
from orchestrator.ports.rates import Turn


class MemoryRates:
    """The right to take turns."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def take_turn(self, task_queue: TaskQueue, limit: RateLimit) -> Turn:
        """See `RateStore.take_turn`."""
        now_ms, reserved = self._state.now_ms(), self._state.reserved_us
        name = (task_queue, limit.name)
        turn_us = next_turn_us(limit, reserved_us=reserved.get(name, 0), now_us=now_ms * 1000)
        reserved[name] = turn_us + limit.interval_us
        return Turn(due_at_ms=turn_us // 1000, now_ms=now_ms)
