"""What a queue still holds: of the work that is due, so much needs no second message.

A due row says that nobody has begun its work. Its message may be lost, or wait behind others; which
of both cannot be known of a single one. So as many rows as messages are ready count as waiting, and
only what exceeds them is published again: a long queue is not doubled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from orchestrator.exceptions import OrchestratorError
from orchestrator.limits import IDLE_POLL_MS, QUEUES_REMEMBERED_MAX
from orchestrator.ports.broker import Broker, Queue


async def ready_in(broker: Broker, queue: Queue) -> int:
    """How many messages wait in `queue`; 0 when nobody can say. A repeat too many does no harm."""
    try:
        return await broker.ready(queue) or 0
    except OrchestratorError:
        return 0


@dataclass(slots=True)
class _Asked:
    at_ms: int
    left: int
    """Ready messages that no due row has been held back for."""


class Backlog:
    """Asks once a second for each queue, however many rows are due."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._asked: dict[Queue, _Asked] = {}
        self._one_at_a_time = asyncio.Lock()

    async def covers(self, queue: Queue, *, now_ms: int) -> bool:
        """Whether one more due row may have its message among those that wait in `queue`."""
        async with self._one_at_a_time:
            asked = self._asked.get(queue)
            if asked is None or now_ms - asked.at_ms >= IDLE_POLL_MS:
                asked = _Asked(now_ms, await ready_in(self._broker, queue))
                self._remember(queue, asked)
            if not asked.left:
                return False
            asked.left -= 1
            return True

    def _remember(self, queue: Queue, asked: _Asked) -> None:
        self._asked.pop(queue, None)
        self._asked[queue] = asked
        if len(self._asked) > QUEUES_REMEMBERED_MAX:
            del self._asked[next(iter(self._asked))]
