"""Rows of acts on other workflows, and the answers to them, in Redis."""

from __future__ import annotations

from orchestrator.adapters.redis import answers
from orchestrator.adapters.redis.answers import Part
from orchestrator.adapters.redis.keys import row as _row
from orchestrator.adapters.redis.keys import row_of
from orchestrator.core.transition import Answer
from orchestrator.ids import EventId, RunId, WorkflowId
from orchestrator.ports.store import Appended, DueKind, DueRow, NotOpen


class RedisRelations(Part):
    """The right to do what is due between workflows."""

    async def move_row(self, row: DueRow, *, due_in_ms: int) -> DueRow | None:
        """See `DutyStore.move_row`."""
        fields = {"row": row_of(row), "due_at_ms": row.due_at_ms, "due_in_ms": due_in_ms}
        keys = self._keys.for_script(row.workflow_id, row.run_id)
        answer = await self._scripts.lease_row(keys, fields)
        if answer.kind == "none":
            return None
        return DueRow(
            kind=row.kind,
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            event_id=row.event_id,
            due_at_ms=answer.due_at_ms,
        )

    async def row(
        self, kind: DueKind, workflow_id: WorkflowId, run_id: RunId, event_id: EventId
    ) -> DueRow | None:
        """See `DutyStore.row`."""
        timers = self._keys.of_shard(self._keys.shard(workflow_id), "timers")
        name = _row(kind, workflow_id, run_id, event_id)
        found: bytes | None = await self._connection.read("ZSCORE", timers, name)
        if found is None:
            return None
        return DueRow(
            kind=kind,
            workflow_id=workflow_id,
            run_id=run_id,
            event_id=event_id,
            due_at_ms=int(float(found)),
        )

    async def answer(self, answer: Answer) -> Appended | NotOpen | None:
        """See `DutyStore.answer`."""
        identity = (answer.workflow_id, answer.run_id, answer.event_id)
        fields = self._fields(answer.workflow_id)
        fields |= {
            "run_id": answer.run_id,
            "rows": [_row(kind, *identity) for kind in answer.kinds],
            "entry": answers.entry_fields(answer.body),
            "due_at_ms": answer.due_at_ms,
        }
        if answer.watch_in_ms is not None:
            fields["watch_row"] = _row(DueKind.CHILD_WATCH, *identity)
            fields["watch_in_ms"] = answer.watch_in_ms
        keys = self._keys.for_script(answer.workflow_id, answer.run_id)
        found = await self._scripts.answer_row(keys, fields)
        if found.kind == "none":
            return None
        if found.kind == "not_open":
            return answers.not_open(found)
        return Appended(
            run_id=answer.run_id,
            number=found.number,
            now_ms=found.now_ms,
            wake=answers.wake(found, answer.body, fields["mark"]),
        )
