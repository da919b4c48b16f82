"""Reads of runs and histories, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.ids import RunId, TaskQueue, WorkflowId
from orchestrator.limits import HISTORY_PAGE_EVENTS
from orchestrator.ports.store import Ending, RunView
from orchestrator.wire.events import CLOSING_TYPES, HistoryEvent
from orchestrator.wire.options import RunStatus


class MemoryReads:
    """What is read of a run."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> RunView | None:
        """See `RunStore.run`."""
        workflow = self._state.workflows.get(workflow_id)
        if workflow is None:
            return None
        head = workflow.head
        record = self._state.runs.get((workflow_id, run_id or head.run_id))
        if record is None:
            return None
        closed = record.status is not RunStatus.RUNNING
        return RunView(
            workflow_id=workflow_id,
            run_id=record.run_id,
            first_run_id=record.first_run_id,
            workflow_type=record.started.workflow_type,
            task_queue=TaskQueue(record.started.task_queue),
            status=record.status,
            started_at_ms=record.started_at_ms,
            closed_at_ms=record.closed_at_ms,
            history_length=len(record.history),
            newest_run_id=head.run_id,
            sticky=head.sticky if record.run_id == head.run_id else None,
            closing=record.history[-1] if closed else None,
            problem=None if closed else head.problem,
        )

    async def ending(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Ending | None:
        """See `RunStore.ending`."""
        workflow = self._state.workflows.get(workflow_id)
        newest = None if workflow is None else workflow.head.run_id
        record = self._state.runs.get((workflow_id, run_id or newest or RunId("")))
        if record is None:
            return None
        last = record.history[-1]
        return Ending(run_id=record.run_id, closing=last if last.type in CLOSING_TYPES else None)

    async def history(
        self, workflow_id: WorkflowId, run_id: RunId, *, after: int = 0
    ) -> AsyncIterator[Sequence[HistoryEvent]]:
        """See `RunStore.history`."""
        position = after
        while record := self._state.runs.get((workflow_id, run_id)):
            page = record.history[position : position + HISTORY_PAGE_EVENTS]
            if not page:
                return
            yield tuple(page)
            position += len(page)

    async def event(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: int
    ) -> HistoryEvent | None:
        """See `RunStore.event`."""
        record = self._state.runs.get((workflow_id, run_id))
        if record is None or not 1 <= event_id <= len(record.history):
            return None
        return record.history[event_id - 1]
