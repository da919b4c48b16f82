"""What the engine's duties look for and move, in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from orchestrator.adapters.redis import answers, indexes
from orchestrator.adapters.redis.keys import member, read_row, row_of
from orchestrator.adapters.redis.keys import row as _row
from orchestrator.adapters.redis.runs import RedisRuns
from orchestrator.adapters.redis.scripts import Answer
from orchestrator.ids import ProcessName, RunId, ShardId, TaskQueue, WorkflowId
from orchestrator.limits import LIST_PAGE, MEMBERSHIP_TTL_MS, WAKEUP_REPEATS_MS
from orchestrator.ports.store import (
    Appended,
    Due,
    DueKind,
    DueRow,
    DueWakeup,
    NotOpen,
    Repeat,
)
from orchestrator.wire.events import ActivityTaskScheduled, TimerStarted
from orchestrator.wire.inbox import TimerDue
from orchestrator.wire.options import RunStatus
from orchestrator.wire.relation_events import StartChildWorkflowExecutionInitiated


class RedisDuties(RedisRuns):
    """The right to take up what is due."""

    async def due(self, shards: Sequence[ShardId], *, limit: int) -> Sequence[Due]:
        """See `DutyStore.due`."""
        found = await asyncio.gather(
            *(
                self._scripts.read_due(self._keys.for_shard_script(shard), {"limit": limit})
                for shard in shards
            )
        )
        return tuple(_due(answer, limit) for answer in found)

    async def repeat_wakeup(self, workflow_id: WorkflowId) -> Repeat | None:
        """See `DutyStore.repeat_wakeup`."""
        fields = self._fields(workflow_id) | {"repeats": WAKEUP_REPEATS_MS}
        keys = self._keys.for_script(workflow_id, RunId(""))
        answer = await self._scripts.repeat_wakeup(keys, fields)
        if answer.kind == "none":
            return None
        return Repeat(
            task_queue=TaskQueue(answer.task_queue),
            first=answer.woken,
            waiting_ms=answer.number,
            now_ms=answer.now_ms,
        )

    async def wake_now(self, shards: Sequence[ShardId], task_queues: Sequence[TaskQueue]) -> int:
        """See `DutyStore.wake_now`."""
        moved = 0
        for shard in shards:
            key = self._keys.of_shard(shard, "wakeups")
            found: list[bytes] = await self._connection.read("ZRANGE", key, 0, -1)
            for position in range(0, len(found), LIST_PAGE):
                page = found[position : position + LIST_PAGE]
                moved += sum(await asyncio.gather(*(self._wake(one, task_queues) for one in page)))
        return moved

    async def _wake(self, member: bytes, task_queues: Sequence[TaskQueue]) -> int:
        workflow_id = WorkflowId(member.decode())
        fields = self._fields(workflow_id) | {"task_queues": list(task_queues)}
        keys = self._keys.for_script(workflow_id, RunId(""))
        return (await self._scripts.wake_now(keys, fields)).number

    async def fire_timer(self, row: DueRow) -> Appended | NotOpen | None:
        """See `DutyStore.fire_timer`. The row of a run that is not open goes."""
        if row.kind is not DueKind.TIMER:
            return None
        body = TimerDue(run_id=row.run_id, started_event_id=row.event_id)
        fields = self._row_fields(row)
        fields["entry"] = answers.entry_fields(body)
        answer = await self._scripts.fire_timer(self._script_keys_of(row), fields)
        if answer.kind == "none":
            return None
        if answer.kind == "not_open":
            return answers.not_open(answer)
        return Appended(
            run_id=row.run_id,
            number=answer.number,
            now_ms=answer.now_ms,
            wake=answers.wake(answer, body, fields["mark"]),
        )

    async def after_close_done(self, row: DueRow, *, retention_ms: int) -> None:
        """See `DutyStore.after_close_done`. What the run armed is found in its history."""
        if row.kind is not DueKind.AFTER_CLOSE:
            return
        identity = (row.workflow_id, row.run_id)
        fields = self._row_fields(row) | {
            "rows": await self._armed(row),
            "retention_ms": retention_ms,
            "retention_row": _row(DueKind.RETENTION, *identity),
        }
        await self._scripts.after_close_done(self._script_keys_of(row), fields)

    async def delete_run(self, row: DueRow) -> bool:
        """See `DutyStore.delete_run`."""
        if row.kind is not DueKind.RETENTION:
            return False
        record = self._keys.of_run("run", row.workflow_id, row.run_id)
        found: list[bytes | None] = await self._connection.read(
            "HMGET", record, "status", "search_attributes"
        )
        stored, attributes = found
        status = RunStatus.COMPLETED if stored is None else RunStatus(stored.decode())
        keys = self._keys.for_script(row.workflow_id, row.run_id, closed_as=status)
        keys.append(self._keys.updates(row.workflow_id, row.run_id))
        fields = self._row_fields(row)
        fields["indexes"] = indexes.leave(keys, self._keys, row.workflow_id, attributes)
        answer = await self._scripts.delete_run(keys, fields)
        return answer.kind == "done"

    async def join(self, process: ProcessName) -> Sequence[ProcessName]:
        """See `DutyStore.join`. Members are timed by Redis's clock."""
        fields = {"process": process, "ttl_ms": MEMBERSHIP_TTL_MS}
        answer = await self._scripts.join_members([self._keys.members()], fields)
        return tuple(sorted(ProcessName(name) for name in answer.members))

    async def leave(self, process: ProcessName) -> None:
        """See `DutyStore.leave`."""
        await self._connection.command("ZREM", self._keys.members(), process)

    def _script_keys_of(self, row: DueRow) -> list[str]:
        return self._keys.for_script(row.workflow_id, row.run_id)

    def _row_fields(self, row: DueRow) -> dict[str, Any]:  # Any: what msgpack carries
        return self._fields(row.workflow_id) | {
            "row": row_of(row),
            "run_id": row.run_id,
            "member": member(row.workflow_id, row.run_id),
        }

    async def _armed(self, due: DueRow) -> list[str]:
        """The rows of all timers, activities and children that the run ever had."""
        identity = (due.workflow_id, due.run_id)
        rows: list[str] = []
        async for page in self.history(*identity):
            for event in page:
                match event.attributes:
                    case TimerStarted():
                        rows.append(_row(DueKind.TIMER, *identity, event.event_id))
                    case ActivityTaskScheduled():
                        rows.append(_row(DueKind.ACTIVITY, *identity, event.event_id))
                    case StartChildWorkflowExecutionInitiated():
                        rows.append(_row(DueKind.CHILD, *identity, event.event_id))
                        rows.append(_row(DueKind.CHILD_WATCH, *identity, event.event_id))
                    case _:
                        pass
        return rows


def _due(answer: Answer, limit: int) -> Due:
    timers = _scored(answer.timers)
    wakeups = _scored(answer.wakeups)
    due_timers = [found for found in timers[:limit] if found[1] <= answer.now_ms]
    due_wakeups = [found for found in wakeups[:limit] if found[1] <= answer.now_ms]
    later = timers[len(due_timers) :][:1] + wakeups[len(due_wakeups) :][:1]
    return Due(
        timers=tuple(read_row(text, due_at_ms) for text, due_at_ms in due_timers),
        wakeups=tuple(
            DueWakeup(workflow_id=WorkflowId(text), due_at_ms=due_at_ms)
            for text, due_at_ms in due_wakeups
        ),
        next_due_ms=min((due_at_ms for _, due_at_ms in later), default=None),
        now_ms=answer.now_ms,
    )


def _scored(flat: Sequence[str]) -> list[tuple[str, int]]:
    return [(flat[i], int(float(flat[i + 1]))) for i in range(0, len(flat), 2)]
