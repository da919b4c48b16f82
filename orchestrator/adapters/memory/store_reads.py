"""Reads of runs and histories, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.ids import OperationId, RunId, TaskQueue, UpdateId, WorkflowId
from orchestrator.limits import HISTORY_PAGE_EVENTS
from orchestrator.ports.store import Ending, RunView, UpdateView
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
            memo=record.memo,
            search_attributes=record.search_attributes,
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

    async def update(
        self,
        workflow_id: WorkflowId,
        run_id: RunId | None,
        update_id: UpdateId,
        *,
        operation_id: OperationId | None = None,
    ) -> UpdateView | None:
        """See `RunStore.update`."""
        state = self._state
        workflow = state.workflows.get(workflow_id)
        if workflow is None:
            return None
        record = state.runs.get((workflow_id, run_id or workflow.head.run_id))
        if record is None:
            return None
        reply = None
        if operation_id is not None:
            reply = state.reply(workflow_id, operation_id, now_ms=state.now_ms())
        view = UpdateView(run_id=record.run_id, status=record.status, reply=reply)
        stage = record.updates.get(update_id)
        if stage is None:
            return view
        completed_id = stage.completed_event_id
        return replace(
            view,
            accepted_event_id=stage.accepted_event_id,
            completed=None if completed_id is None else record.history[completed_id - 1],
        )

    async def event(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: int
    ) -> HistoryEvent | None:
        """See `RunStore.event`."""
        record = self._state.runs.get((workflow_id, run_id))
        if record is None or not 1 <= event_id <= len(record.history):
            return None
        return record.history[event_id - 1]
