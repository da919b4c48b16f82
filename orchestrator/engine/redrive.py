"""What is due in `wakeups`: a wake-up that nobody followed is made again.

A queue that still holds messages gets only what exceeds them, so that a long queue is not doubled;
what has waited for a minute is repeated all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.engine.backlog import ready_in
from orchestrator.ids import TaskQueue, WorkflowId
from orchestrator.limits import DUE_ROWS_MAX, REPEAT_ANYWAY_MS
from orchestrator.ports.broker import Broker, WorkflowQueue
from orchestrator.ports.store import DueWakeup, Repeat, Store
from orchestrator.relay.dispatch import Dispatcher


def to_publish(
    due: Sequence[tuple[WorkflowId, Repeat]], *, ready: int
) -> list[tuple[WorkflowId, Repeat]]:
    """Which due wake-ups of one queue to publish while `ready` messages wait in it.

    First calls and those that waited a minute always; of the others as many as exceed `ready`.
    """
    certain: list[tuple[WorkflowId, Repeat]] = []
    others: list[tuple[WorkflowId, Repeat]] = []
    for one in due:
        at_once = one[1].first or one[1].waiting_ms >= REPEAT_ANYWAY_MS
        (certain if at_once else others).append(one)
    return certain + others[: max(0, len(due) - ready - len(certain))]


class Redrive:
    """Repeats wake-ups."""

    def __init__(self, store: Store, broker: Broker, dispatcher: Dispatcher) -> None:
        self._store = store
        self._broker = broker
        self._dispatcher = dispatcher

    async def take(self, rows: Sequence[DueWakeup]) -> None:
        """Score due rows to their next repeat, and publish what its queue can use."""
        by_queue: dict[TaskQueue, list[tuple[WorkflowId, Repeat]]] = {}
        for position in range(0, len(rows), DUE_ROWS_MAX):
            page = rows[position : position + DUE_ROWS_MAX]
            repeats = await asyncio.gather(
                *(self._store.repeat_wakeup(row.workflow_id) for row in page)
            )
            for row, repeat in zip(page, repeats, strict=True):
                if repeat is not None:
                    by_queue.setdefault(repeat.task_queue, []).append((row.workflow_id, repeat))
        for task_queue, due in by_queue.items():
            ready = await ready_in(self._broker, WorkflowQueue(task_queue))
            for workflow_id, _ in to_publish(due, ready=ready):
                self._dispatcher.repeat(workflow_id, task_queue)
