"""Rows of acts on other workflows, and the answers to them, in memory."""

from __future__ import annotations

import msgspec

from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.core.transition import Answer
from orchestrator.ids import EventId, RunId, WorkflowId
from orchestrator.ports.store import Appended, DueKind, DueRow, NotOpen


class MemoryRelations:
    """The right to do what is due between workflows."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def move_row(self, row: DueRow, *, due_in_ms: int) -> DueRow | None:
        """See `DutyStore.move_row`."""
        key = (row.kind, row.workflow_id, row.run_id, row.event_id)
        if self._state.timers.get(key) != row.due_at_ms:
            return None
        due_at_ms = self._state.timers[key] = self._state.now_ms() + due_in_ms
        return msgspec.structs.replace(row, due_at_ms=due_at_ms)

    async def row(
        self, kind: DueKind, workflow_id: WorkflowId, run_id: RunId, event_id: EventId
    ) -> DueRow | None:
        """See `DutyStore.row`."""
        due_at_ms = self._state.timers.get((kind, workflow_id, run_id, event_id))
        if due_at_ms is None:
            return None
        return DueRow(
            kind=kind,
            workflow_id=workflow_id,
            run_id=run_id,
            event_id=event_id,
            due_at_ms=due_at_ms,
        )

    async def answer(self, answer: Answer) -> Appended | NotOpen | None:
        """See `DutyStore.answer`."""
        state, now_ms = self._state, self._state.now_ms()
        identity = (answer.workflow_id, answer.run_id, answer.event_id)
        found = {kind: state.timers.get((kind, *identity)) for kind in answer.kinds}
        if not any(
            due_at_ms is not None and answer.due_at_ms in (None, due_at_ms)
            for due_at_ms in found.values()
        ):
            return None
        for kind in answer.kinds:
            state.timers.pop((kind, *identity), None)
        workflow = state.open_workflow(answer.workflow_id, answer.run_id)
        if workflow is None:
            record = state.runs.get((answer.workflow_id, answer.run_id))
            status = None if record is None else record.status
            return NotOpen(run_id=answer.run_id, status=status, now_ms=now_ms)
        if answer.watch_in_ms is not None:
            state.timers[DueKind.CHILD_WATCH, *identity] = now_ms + answer.watch_in_ms
        entry = state.add_entry(workflow, answer.body, now_ms=now_ms, mark=state.mint())
        wake = state.wake_once(workflow, entry, now_ms=now_ms)
        return Appended(run_id=answer.run_id, number=entry.number, now_ms=now_ms, wake=wake)
