"""What the engine's duties look for and move, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.adapters.memory.store_state import MemoryState, TimerKey, called_row
from orchestrator.ids import ProcessName, ShardId, TaskQueue, WorkflowId
from orchestrator.limits import MEMBERSHIP_TTL_MS, WAKEUP_REPEATS_MS
from orchestrator.ports.store import (
    Appended,
    Due,
    DueKind,
    DueRow,
    DueWakeup,
    NotOpen,
    Repeat,
)
from orchestrator.wire.inbox import TimerDue
from orchestrator.wire.options import RunStatus


class MemoryDuties:
    """The right to take up what is due."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def due(self, shards: Sequence[ShardId], *, limit: int) -> Sequence[Due]:
        """See `DutyStore.due`."""
        now_ms = self._state.now_ms()
        return tuple(self._due(shard, limit, now_ms) for shard in shards)

    async def repeat_wakeup(self, workflow_id: WorkflowId) -> Repeat | None:
        """See `DutyStore.repeat_wakeup`."""
        now_ms = self._state.now_ms()
        workflow = self._state.workflows.get(workflow_id)
        row = None if workflow is None else workflow.row
        if workflow is None or row is None or row.due_at_ms > now_ms:
            return None
        first = not row.published
        if first:
            workflow.row = called_row(now_ms)
        else:
            row.repeats = min(row.repeats + 1, len(WAKEUP_REPEATS_MS) - 1)
            row.due_at_ms = now_ms + WAKEUP_REPEATS_MS[row.repeats]
        workflow.set_head(sticky=None)
        return Repeat(
            task_queue=workflow.head.task_queue,
            first=first,
            waiting_ms=0 if first else now_ms - row.since_ms,
            now_ms=now_ms,
        )

    async def wake_now(self, shards: Sequence[ShardId], task_queues: Sequence[TaskQueue]) -> int:
        """See `DutyStore.wake_now`."""
        now_ms = self._state.now_ms()
        moved = 0
        for workflow_id, workflow in self._state.workflows.items():
            row = workflow.row
            if (
                row is not None
                and row.published
                and workflow.head.task_queue in task_queues
                and self._state.shard(workflow_id) in shards
            ):
                row.due_at_ms = now_ms
                moved += 1
        return moved

    async def fire_timer(self, row: DueRow) -> Appended | NotOpen | None:
        """See `DutyStore.fire_timer`. The row of a run that is not open goes."""
        state, now_ms = self._state, self._state.now_ms()
        if not self._is_due(row, DueKind.TIMER, now_ms):
            return None
        workflow = state.open_workflow(row.workflow_id, row.run_id)
        del state.timers[_key(row)]
        if workflow is None:
            record = state.runs.get((row.workflow_id, row.run_id))
            status = None if record is None else record.status
            return NotOpen(run_id=row.run_id, status=status, now_ms=now_ms)
        body = TimerDue(run_id=row.run_id, started_event_id=row.event_id)
        entry = state.add_entry(workflow, body, now_ms=now_ms, mark=state.mint())
        wake = state.wake_once(workflow, entry, now_ms=now_ms)
        return Appended(run_id=row.run_id, number=entry.number, now_ms=now_ms, wake=wake)

    async def after_close_done(self, row: DueRow, *, retention_ms: int) -> None:
        """See `DutyStore.after_close_done`."""
        state, now_ms = self._state, self._state.now_ms()
        if not self._is_due(row, DueKind.AFTER_CLOSE, now_ms):
            return
        record = state.runs.get((row.workflow_id, row.run_id))
        rows = state.timers.of(state.shard(row.workflow_id))
        for key in [key for key in rows if key[1:3] == (row.workflow_id, row.run_id)]:
            if key[0] is not DueKind.EXTERNAL:
                del state.timers[key]
        if record is None or record.status is RunStatus.RUNNING:
            return
        state.arm_retention(record, now_ms=now_ms, retention_ms=retention_ms)

    async def delete_run(self, row: DueRow) -> bool:
        """See `DutyStore.delete_run`."""
        state, now_ms = self._state, self._state.now_ms()
        if not self._is_due(row, DueKind.RETENTION, now_ms):
            return False
        del state.timers[_key(row)]
        if state.refusals.pop((row.workflow_id, row.run_id), None) is not None:
            return True
        record = state.runs.get((row.workflow_id, row.run_id))
        if record is None or record.status is RunStatus.RUNNING:
            return False
        del state.runs[row.workflow_id, row.run_id]
        if state.workflows[row.workflow_id].head.run_id == row.run_id:
            del state.workflows[row.workflow_id]
        return True

    async def join(self, process: ProcessName) -> Sequence[ProcessName]:
        """See `DutyStore.join`."""
        now_ms = self._state.now_ms()
        members = self._state.members
        members[process] = now_ms + MEMBERSHIP_TTL_MS
        for member in [member for member, until_ms in members.items() if until_ms <= now_ms]:
            del members[member]
        return tuple(sorted(members))

    async def leave(self, process: ProcessName) -> None:
        """See `DutyStore.leave`."""
        self._state.members.pop(process, None)

    def _is_due(self, row: DueRow, kind: DueKind, now_ms: int) -> bool:
        due_at_ms = self._state.timers.get(_key(row))
        return row.kind is kind and due_at_ms is not None and due_at_ms <= now_ms

    def _due(self, shard: ShardId, limit: int, now_ms: int) -> Due:
        state = self._state
        timers = sorted(
            (due_at_ms, index, key)
            for index, (key, due_at_ms) in enumerate(state.timers.of(shard).items())
        )
        wakeups = sorted(
            (workflow.row.due_at_ms, workflow_id)
            for workflow_id, workflow in state.workflows.of(shard).items()
            if workflow.row is not None
        )
        due_timers = [row for row in timers[:limit] if row[0] <= now_ms]
        due_wakeups = [row for row in wakeups[:limit] if row[0] <= now_ms]
        later = [row[0] for row in timers[len(due_timers) :][:1]]
        later += [row[0] for row in wakeups[len(due_wakeups) :][:1]]
        return Due(
            timers=tuple(
                DueRow(
                    kind=kind,
                    workflow_id=workflow_id,
                    run_id=run_id,
                    event_id=event_id,
                    due_at_ms=due_at_ms,
                )
                for due_at_ms, _, (kind, workflow_id, run_id, event_id) in due_timers
            ),
            wakeups=tuple(
                DueWakeup(workflow_id=workflow_id, due_at_ms=due_at_ms)
                for due_at_ms, workflow_id in due_wakeups
            ),
            next_due_ms=min(later, default=None),
            now_ms=now_ms,
        )


def _key(row: DueRow) -> TimerKey:
    return (row.kind, row.workflow_id, row.run_id, row.event_id)
