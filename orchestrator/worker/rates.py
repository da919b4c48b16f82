"""The rates of one worker: its own pace, and its task queue's limits, which all workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from orchestrator.core.adjustments import AdjustAttempt, HoldBack
from orchestrator.core.rates import ActivityRates, RateLimit, next_turn_us
from orchestrator.core.transition import AttemptName
from orchestrator.ids import OperationId, TaskQueue
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Gone, Store
from orchestrator.relay.certainty import until_known
from orchestrator.wire.tasks import ActivityTask


class Rates:
    """Says when attempts may begin here."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        mint: Callable[[], str],
        shared: ActivityRates,
        own_per_second: float | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._mint = mint
        self._shared = shared
        self._own = None if own_per_second is None else RateLimit("worker", own_per_second)
        self._reserved_us = 0

    async def held_back_until_ms(self, task: ActivityTask, name: AttemptName) -> int | None:
        """None: the attempt may begin. Else its record waits for its turn at that time, and its
        message is of no further use.

        Raises:
            UnavailableError: the store does not answer; ask again.
        """
        for number, limit in enumerate(self._shared.of(task), start=1):
            if number <= task.turns:
                continue
            turn = await self._store.take_turn(TaskQueue(task.task_queue), limit)
            if turn.due_at_ms <= turn.now_ms:
                continue
            hold = AdjustAttempt(
                name=name,
                operation_id=OperationId(self._mint()),
                hold_back=HoldBack(limit=limit.name, turns=number),
                due_in_ms=turn.due_at_ms - turn.now_ms,
            )
            answer = await until_known(partial(self._store.adjust, hold), self._clock)
            # Somebody has begun it, or it has ended: whoever begins now finds out.
            return None if isinstance(answer, Gone) else turn.due_at_ms
        return None

    async def keep_pace(self, until: asyncio.Event) -> None:
        """Wait for this worker's own turn, or until `until` happens."""
        if self._own is None:
            return
        now_us = self._clock.now_ms() * 1000
        turn_us = next_turn_us(self._own, reserved_us=self._reserved_us, now_us=now_us)
        self._reserved_us = turn_us + self._own.interval_us
        if turn_us > now_us:
            await self._clock.wait(until, timeout_ms=-(-(turn_us - now_us) // 1000))
