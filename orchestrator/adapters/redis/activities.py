"""Activity attempts in Redis: begin, heartbeat, finish, redispatch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from orchestrator.adapters.redis import answers
from orchestrator.adapters.redis.answers import Part
from orchestrator.adapters.redis.keys import read_row, row
from orchestrator.core.adjustments import AdjustAttempt
from orchestrator.core.standalone import end_of
from orchestrator.core.standalone_records import (
    SCHEDULED_EVENT_ID,
    CancelStandalone,
    StandaloneEnd,
)
from orchestrator.core.transition import (
    AttemptName,
    BeginAttempt,
    FinishAttempt,
    Heartbeat,
    Redispatch,
)
from orchestrator.ids import (
    AttemptToken,
    EventId,
    ProcessName,
    RunId,
    RunKind,
    ShardId,
    TaskQueue,
    WorkflowId,
    kind_of,
)
from orchestrator.ports.store import (
    Adjusted,
    AlreadyDone,
    AlreadyRunning,
    AttemptRecord,
    AttemptState,
    Beaten,
    BeginAnswer,
    Begun,
    CancelAsked,
    DueKind,
    FinishAnswer,
    Finished,
    Gone,
    NotOpen,
    Redispatched,
    RetryAt,
    Wake,
)
from orchestrator.wire.codec import encode


class RedisActivities(Part):
    """The right to move attempts."""

    async def begin(self, begin: BeginAttempt) -> BeginAnswer:
        """See `ActivityStore.begin`."""
        fields = self._attempt(begin.name, begin.token, begin.due_in_ms)
        fields["holder"] = begin.holder
        if begin.take_over is not None:
            fields["take_over"] = begin.take_over
        if begin.limits:
            fields["limits"] = encode(begin.limits).decode()
        answer = await self._scripts.begin_attempt(self._script_keys(begin.name), fields)
        if answer.kind == "gone":
            return Gone(now_ms=answer.now_ms)
        if answer.kind == "done":
            wake = Wake(task_queue=TaskQueue(answer.task_queue), sticky=answer.sticky)
            return AlreadyDone(wake=wake, now_ms=answer.now_ms)
        record = answers.record(begin.name.event_id, answer.record)
        if answer.kind == "running":
            return AlreadyRunning(
                token=record.token or AttemptToken(""),
                holder=record.holder or ProcessName(""),
                losses=record.losses,
                now_ms=answer.now_ms,
            )
        return Begun(
            attempt=record.attempt,
            now_ms=answer.now_ms,
            scheduled_at_ms=record.scheduled_at_ms,
            attempt_scheduled_at_ms=record.attempt_scheduled_at_ms,
            details=record.details,
            last_failure=record.last_failure,
        )

    async def heartbeat(self, beat: Heartbeat) -> Beaten | Gone:
        """See `ActivityStore.heartbeat`."""
        fields = self._attempt(beat.name, beat.token, beat.due_in_ms)
        if beat.detach:
            fields["detach"] = True
        if beat.details is not None:
            fields["details"] = encode(beat.details).decode()
        answer = await self._scripts.heartbeat_attempt(self._script_keys(beat.name), fields)
        if answer.kind == "gone":
            return Gone(now_ms=answer.now_ms)
        return Beaten(
            cancel_requested=answer.woken,
            now_ms=answer.now_ms,
            paused=answer.paused,
            reset=answer.reset,
        )

    async def finish(self, finish: FinishAttempt) -> FinishAnswer:
        """See `ActivityStore.finish`."""
        fields = self._attempt(finish.name, finish.token, None)
        fields |= {"entry": answers.entry_fields(finish.entry), "due_only": finish.due_only}
        if finish.waiting_too:
            fields["waiting_too"] = True
        if finish.retry is not None:
            fields["retry_ms"] = finish.retry.delay_ms
        if finish.after_reset is not None:
            fields["reset_ms"] = finish.after_reset.delay_ms
        again = finish.retry or finish.after_reset
        if again is not None:
            fields["failure"] = encode(again.failure).decode()
        keys = self._script_keys(finish.name)
        if kind_of(finish.name.workflow_id) is RunKind.ACTIVITY:
            keys, fields["close"] = self._closing(
                finish.name.workflow_id, finish.name.run_id, end_of(finish.entry)
            )
        answer = await self._scripts.finish_attempt(keys, fields)
        if answer.kind == "gone":
            return Gone(now_ms=answer.now_ms)
        if answer.kind == "retry":
            return RetryAt(
                attempt=finish.name.attempt + 1, at_ms=answer.due_at_ms, now_ms=answer.now_ms
            )
        wake = answers.wake(answer, finish.entry, fields["mark"])
        return Finished(now_ms=answer.now_ms, wake=wake)

    async def cancel_standalone(self, cancel: CancelStandalone) -> CancelAsked | NotOpen:
        """See `ActivityStore.cancel_standalone`."""
        identity = (cancel.workflow_id, cancel.run_id)
        keys, close = self._closing(*identity, cancel.end)
        requested = cancel.requested
        fields = self._fields(cancel.workflow_id) | {
            "run_id": cancel.run_id,
            "id": str(SCHEDULED_EVENT_ID),
            "row": row(DueKind.ACTIVITY, *identity, SCHEDULED_EVENT_ID),
            "requested": {
                "type": type(requested).__name__,
                "data": encode(requested).decode(),
            },
            "close": close,
            "process_channel": self._keys.process_channel(),
        }
        answer = await self._scripts.cancel_standalone(keys, fields)
        if answer.kind == "not_open":
            return answers.not_open(answer)
        return CancelAsked(closed=answer.kind == "closed", now_ms=answer.now_ms)

    async def redispatch(self, redispatch: Redispatch) -> Redispatched | Gone:
        """See `ActivityStore.redispatch`."""
        name = redispatch.name
        fields = self._attempt(name, redispatch.token, redispatch.due_in_ms)
        fields |= {"next_attempt": redispatch.attempt, "lost": redispatch.lost}
        answer = await self._scripts.redispatch_attempt(self._script_keys(name), fields)
        if answer.kind == "gone":
            return Gone(now_ms=answer.now_ms)
        record = answers.record(name.event_id, answer.record)
        return Redispatched(now_ms=answer.now_ms, record=record)

    async def adjust(self, adjust: AdjustAttempt) -> Adjusted | Gone:
        """See `ActivityStore.adjust`."""
        fields = self._attempt(adjust.name, None, adjust.due_in_ms)
        fields |= {
            "pause": adjust.pause or None,
            "unpause": adjust.pause is False or None,
            "reset": adjust.reset or None,
            "drop_details": adjust.drop_details or None,
            "new_key": adjust.new_key,
            "operation": adjust.operation_id,
            "limited_by": None if adjust.hold_back is None else adjust.hold_back.limit,
            "turns": None if adjust.hold_back is None else adjust.hold_back.turns,
        }
        if adjust.options is not None:
            fields["options"] = encode(adjust.options).decode()
            fields["deadline_ms"] = adjust.deadline_ms
        answer = await self._scripts.adjust_attempt(self._script_keys(adjust.name), fields)
        if answer.kind == "gone":
            return Gone(now_ms=answer.now_ms)
        record = answers.record(adjust.name.event_id, answer.record)
        return Adjusted(now_ms=answer.now_ms, record=record)

    async def postpone(self, name: AttemptName, *, due_in_ms: int) -> None:
        """See `ActivityStore.postpone`."""
        fields = self._attempt(name, None, due_in_ms) | {"postpone": True}
        await self._scripts.redispatch_attempt(self._script_keys(name), fields)

    async def dispatch_now(self, shards: Sequence[ShardId]) -> int:
        """See `ActivityStore.dispatch_now`. One that is begun meanwhile is looked at, no more."""
        moved = 0
        for shard in shards:
            for workflow_id, run_id in await self._runs_with_activities(shard):
                names = [
                    AttemptName(
                        workflow_id=workflow_id,
                        run_id=run_id,
                        event_id=record.event_id,
                        key=record.key,
                        attempt=record.attempt,
                    )
                    for record in await self.records(workflow_id, run_id)
                    if record.state is AttemptState.SCHEDULED
                ]
                await asyncio.gather(*(self.postpone(name, due_in_ms=0) for name in names))
                moved += len(names)
        return moved

    async def record(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: EventId
    ) -> AttemptRecord | None:
        """See `ActivityStore.record`."""
        key = self._keys.of_run("activities", workflow_id, run_id)
        names = answers.RECORD_FIELDS
        found: list[bytes | None] = await self._connection.read(
            "HMGET", key, *(f"{event_id}.{name}" for name in names)
        )
        fields = {
            name: value.decode()
            for name, value in zip(names, found, strict=True)
            if value is not None
        }
        return answers.record(event_id, fields) if fields else None

    async def records(self, workflow_id: WorkflowId, run_id: RunId) -> Sequence[AttemptRecord]:
        """See `ActivityStore.records`."""
        by_event: dict[int, dict[str, str]] = {}
        stored = await self._hash(self._keys.of_run("activities", workflow_id, run_id))
        for name, value in stored.items():
            event_id, _, field = name.partition(".")
            by_event.setdefault(int(event_id), {})[field] = value
        return tuple(answers.record(event_id, by_event[event_id]) for event_id in sorted(by_event))

    async def _runs_with_activities(self, shard: ShardId) -> Sequence[tuple[WorkflowId, RunId]]:
        timers = self._keys.of_shard(shard, "timers")
        found: list[bytes] = await self._connection.read("ZRANGE", timers, 0, -1)
        rows = (read_row(text.decode(), 0) for text in found)
        activities = (one for one in rows if one.kind is DueKind.ACTIVITY)
        return tuple(dict.fromkeys((one.workflow_id, one.run_id) for one in activities))

    def _closing(
        self, workflow_id: WorkflowId, run_id: RunId, end: StandaloneEnd
    ) -> tuple[list[str], dict[str, Any]]:  # Any: what msgpack carries
        """The keys and the close of a script that may end a standalone activity."""
        keys = self._keys.for_script(workflow_id, run_id, closed_as=end.status)
        close = self._close_fields(workflow_id, run_id, end.status)
        return keys, close | answers.end_fields(end)

    def _script_keys(self, name: AttemptName) -> list[str]:
        return self._keys.for_script(name.workflow_id, name.run_id)

    def _attempt(
        self, name: AttemptName, token: AttemptToken | None, due_in_ms: int | None
    ) -> dict[str, Any]:  # Any: what msgpack carries
        """What every script of an attempt takes; what is None stays out."""
        fields = self._fields(name.workflow_id)
        fields |= {
            "run_id": name.run_id,
            "id": str(name.event_id),
            "key": name.key,
            "attempt": name.attempt,
            "row": row(DueKind.ACTIVITY, name.workflow_id, name.run_id, name.event_id),
            "token": token,
            "due_in_ms": due_in_ms,
        }
        return {field: value for field, value in fields.items() if value is not None}
