"""The port to what hands out turns: rates of activities that all workers of a queue share."""

from __future__ import annotations

from typing import Protocol

import msgspec

from orchestrator.core.rates import RateLimit
from orchestrator.ids import TaskQueue


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """It is somebody's turn at `due_at_ms`, which may be over, by the store's time."""

    due_at_ms: int
    now_ms: int


class RateStore(Protocol):
    """Hands out turns. A turn whose answer was lost is wasted: rates are kept, never exceeded."""

    async def take_turn(self, task_queue: TaskQueue, limit: RateLimit) -> Turn:
        """The next turn of this limit of the queue; whoever asks later has a later one. The asker
        says the rate, so that the newest workers' word counts."""
        ...
