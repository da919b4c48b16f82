"""Activity attempts in memory: begin, heartbeat, finish, redispatch.

An attempt that will be tried again keeps its number while it backs off; the redispatch counts up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.adapters.memory.store_standalone import close_standalone, was_closed_by
from orchestrator.adapters.memory.store_state import (
    Attempt,
    MemoryState,
    Workflow,
    wake_of,
)
from orchestrator.core.adjustments import AdjustAttempt
from orchestrator.core.standalone import end_of
from orchestrator.core.transition import (
    AttemptName,
    BeginAttempt,
    FinishAttempt,
    Heartbeat,
    Redispatch,
    Retry,
)
from orchestrator.ids import EventId, RunId, RunKind, ShardId, WorkflowId, kind_of
from orchestrator.ports.store import (
    Adjusted,
    AlreadyDone,
    AlreadyRunning,
    AttemptRecord,
    AttemptState,
    Beaten,
    BeginAnswer,
    Begun,
    DueKind,
    FinishAnswer,
    Finished,
    Gone,
    Redispatched,
    RetryAt,
)


class MemoryActivities:
    """The right to move attempts."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def begin(self, begin: BeginAttempt) -> BeginAnswer:
        """See `ActivityStore.begin`."""
        now_ms = self._state.now_ms()
        name = begin.name
        found = self._find(name)
        if found is None:
            return Gone(now_ms=now_ms)
        workflow, attempt = found
        record = attempt.record
        if record.state is AttemptState.RUNNING and record.token == begin.token:
            return _begun(record, now_ms)
        if record.attempt != name.attempt or record.state is AttemptState.BACKING_OFF:
            return Gone(now_ms=now_ms)
        if record.detached or (record.paused and record.state is not AttemptState.DONE):
            return Gone(now_ms=now_ms)
        if record.state is AttemptState.DONE:
            return AlreadyDone(wake=wake_of(workflow), now_ms=now_ms)
        if record.state is AttemptState.RUNNING:
            if record.token is None or record.holder is None:
                return Gone(now_ms=now_ms)
            if begin.take_over != record.token:
                return AlreadyRunning(
                    token=record.token, holder=record.holder, losses=record.losses, now_ms=now_ms
                )
            record = msgspec.structs.replace(
                record,
                attempt=record.attempt + 1,
                attempt_scheduled_at_ms=now_ms,
                dispatches=0,
                losses=record.losses + 1,
            )
        attempt.record = msgspec.structs.replace(
            record,
            state=AttemptState.RUNNING,
            token=begin.token,
            holder=begin.holder,
            started_at_ms=now_ms,
            heartbeat_at_ms=None,
            limited_by=None,
            limits=begin.limits,
            turns=0,
        )
        self._move_row(name, record, begin.due_in_ms, now_ms)
        return _begun(attempt.record, now_ms)

    async def heartbeat(self, beat: Heartbeat) -> Beaten | Gone:
        """See `ActivityStore.heartbeat`."""
        now_ms = self._state.now_ms()
        found = self._find(beat.name)
        if found is None:
            return Gone(now_ms=now_ms)
        attempt = found[1]
        record = attempt.record
        if (
            record.state is not AttemptState.RUNNING
            or record.attempt != beat.name.attempt
            or record.token != beat.token
        ):
            return Gone(now_ms=now_ms)
        details = record.details if beat.details is None else beat.details
        attempt.record = msgspec.structs.replace(
            record,
            heartbeat_at_ms=now_ms,
            details=details,
            detached=record.detached or beat.detach,
        )
        if beat.due_in_ms is not None:
            self._move_row(beat.name, record, beat.due_in_ms, now_ms)
        return Beaten(
            cancel_requested=record.cancel_requested,
            now_ms=now_ms,
            paused=record.paused,
            reset=record.reset,
        )

    async def finish(self, finish: FinishAttempt) -> FinishAnswer:
        """See `ActivityStore.finish`."""
        state, now_ms = self._state, self._state.now_ms()
        name = finish.name
        found = self._find(name)
        if found is None:
            state.timers.pop(_row_key(name), None)
            if was_closed_by(state, finish):
                return Finished(now_ms=now_ms)
            return Gone(now_ms=now_ms)
        workflow, attempt = found
        record = attempt.record
        again = finish.token is not None and attempt.ended_token == finish.token
        if record.state is AttemptState.DONE:
            again = again or (finish.token is None and record.token is None)
            if again and record.attempt == name.attempt:
                return Finished(now_ms=now_ms, wake=wake_of(workflow))
            return Gone(now_ms=now_ms)
        if again:
            next_attempt = name.attempt + 1
            return RetryAt(attempt=next_attempt, at_ms=attempt.retry_at_ms, now_ms=now_ms)
        if not _may_end(record, finish):
            return Gone(now_ms=now_ms)
        due_at_ms = state.timers.get(_row_key(name))
        if finish.due_only and (due_at_ms is None or due_at_ms > now_ms):
            return Gone(now_ms=now_ms)
        attempt.ended_token = finish.token
        retry = finish.after_reset if record.reset else finish.retry
        if (
            retry is not None
            and not record.cancel_requested
            and (record.deadline_ms is None or now_ms + retry.delay_ms < record.deadline_ms)
        ):
            return self._back_off(name, attempt, retry, now_ms)
        if kind_of(name.workflow_id) is RunKind.ACTIVITY:
            end = end_of(finish.entry)
            close_standalone(state, name.workflow_id, end, token=finish.token, now_ms=now_ms)
            return Finished(now_ms=now_ms)
        attempt.record = msgspec.structs.replace(
            record, state=AttemptState.DONE, token=finish.token, holder=None, detached=False
        )
        state.timers.pop(_row_key(name), None)
        entry = state.add_entry(workflow, finish.entry, now_ms=now_ms, mark=state.mint())
        return Finished(now_ms=now_ms, wake=state.wake_once(workflow, entry, now_ms=now_ms))

    async def redispatch(self, redispatch: Redispatch) -> Redispatched | Gone:
        """See `ActivityStore.redispatch`."""
        state, now_ms = self._state, self._state.now_ms()
        name = redispatch.name
        found = self._find(name)
        if found is None:
            state.timers.pop(_row_key(name), None)
            return Gone(now_ms=now_ms)
        attempt = found[1]
        record = attempt.record
        due_at_ms = state.timers.get(_row_key(name))
        if (
            record.state is AttemptState.DONE
            or record.attempt != name.attempt
            or record.token != redispatch.token
            or due_at_ms is None
            or due_at_ms > now_ms
        ):
            return Gone(now_ms=now_ms)
        again = record.state is AttemptState.SCHEDULED and record.attempt == redispatch.attempt
        if redispatch.lost:
            record = _with_next_options(attempt)
        attempt.record = msgspec.structs.replace(
            record,
            state=AttemptState.SCHEDULED,
            attempt=redispatch.attempt,
            token=None,
            holder=None,
            detached=False,
            started_at_ms=None,
            heartbeat_at_ms=None,
            attempt_scheduled_at_ms=record.attempt_scheduled_at_ms if again else now_ms,
            dispatches=record.dispatches + 1 if again else 0,
            losses=record.losses + redispatch.lost,
        )
        self._move_row(name, record, redispatch.due_in_ms, now_ms)
        return Redispatched(now_ms=now_ms, record=attempt.record)

    async def adjust(self, adjust: AdjustAttempt) -> Adjusted | Gone:
        """See `ActivityStore.adjust`."""
        now_ms = self._state.now_ms()
        found = self._find(adjust.name)
        if found is None or found[1].record.state is AttemptState.DONE:
            return Gone(now_ms=now_ms)
        attempt = found[1]
        record = attempt.record
        if attempt.adjusted == adjust.operation_id:
            return Adjusted(now_ms=now_ms, record=record)
        held, waits = adjust.hold_back, record.state is AttemptState.SCHEDULED
        if held is not None and not (waits and record.attempt == adjust.name.attempt):
            return Gone(now_ms=now_ms)
        attempt.adjusted = adjust.operation_id
        runs = record.state is AttemptState.RUNNING
        changes: dict[str, Any] = {}  # Any: fields of the record
        if adjust.pause is not None:
            changes["paused"] = adjust.pause
        if held is not None:
            changes |= {"limited_by": held.limit, "turns": held.turns}
        if adjust.options is not None:
            changes["deadline_ms"] = adjust.deadline_ms or None
            if runs:
                attempt.next_options = adjust.options
            else:
                changes |= {"options": adjust.options, "key": adjust.new_key or record.key}
        if adjust.reset and runs:
            changes["reset"], attempt.drops_details = True, adjust.drop_details
        if adjust.drop_details and not runs:
            changes["details"] = ()
        asked = adjust.reset or adjust.options is not None or held is not None
        moves = not runs and (asked or (adjust.pause is False and record.paused))
        if moves:
            before = record.attempt - (record.state is AttemptState.SCHEDULED)
            changes |= {
                "state": AttemptState.BACKING_OFF,
                "attempt": 0 if adjust.reset else before,
                "dispatches": 0,
            }
        attempt.record = msgspec.structs.replace(record, **changes)
        if moves:
            due_at_ms = now_ms + adjust.due_in_ms
            self._move_row(adjust.name, attempt.record, adjust.due_in_ms, now_ms)
            if not attempt.record.paused:
                attempt.retry_at_ms = due_at_ms
                attempt.record = msgspec.structs.replace(
                    attempt.record, attempt_scheduled_at_ms=due_at_ms
                )
        return Adjusted(now_ms=now_ms, record=attempt.record)

    async def postpone(self, name: AttemptName, *, due_in_ms: int) -> None:
        """See `ActivityStore.postpone`."""
        found = self._find(name)
        if found is None or _row_key(name) not in self._state.timers:
            return
        record = found[1].record
        if record.attempt == name.attempt and record.state is not AttemptState.DONE:
            self._move_row(name, record, due_in_ms, self._state.now_ms())

    async def dispatch_now(self, shards: Sequence[ShardId]) -> int:
        """See `ActivityStore.dispatch_now`."""
        state, now_ms = self._state, self._state.now_ms()
        moved = 0
        for kind, workflow_id, run_id, event_id in list(state.timers):
            if kind is not DueKind.ACTIVITY or state.shard(workflow_id) not in shards:
                continue
            record = await self.record(workflow_id, run_id, event_id)
            if record is not None and record.state is AttemptState.SCHEDULED:
                state.timers[kind, workflow_id, run_id, event_id] = now_ms
                moved += 1
        return moved

    async def record(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: EventId
    ) -> AttemptRecord | None:
        """See `ActivityStore.record`."""
        run = self._state.runs.get((workflow_id, run_id))
        attempt = None if run is None else run.attempts.get(event_id)
        return None if attempt is None else attempt.record

    async def records(self, workflow_id: WorkflowId, run_id: RunId) -> Sequence[AttemptRecord]:
        """See `ActivityStore.records`."""
        run = self._state.runs.get((workflow_id, run_id))
        if run is None:
            return ()
        return tuple(run.attempts[event_id].record for event_id in sorted(run.attempts))

    def _find(self, name: AttemptName) -> tuple[Workflow, Attempt] | None:
        """The activity of an open run under its key, at whatever attempt."""
        workflow = self._state.open_workflow(name.workflow_id, name.run_id)
        if workflow is None:
            return None
        attempt = self._state.runs[name.workflow_id, name.run_id].attempts.get(name.event_id)
        if attempt is None or attempt.record.key != name.key:
            return None
        return workflow, attempt

    def _move_row(
        self, name: AttemptName, record: AttemptRecord, due_in_ms: int | None, now_ms: int
    ) -> None:
        """Score the row to the earlier of `due_in_ms` and the deadline; none of both, no row."""
        times = [] if due_in_ms is None else [now_ms + due_in_ms]
        if record.deadline_ms is not None:
            times.append(record.deadline_ms)
        if times:
            self._state.timers[_row_key(name)] = min(times)
        else:
            self._state.timers.pop(_row_key(name), None)

    def _back_off(self, name: AttemptName, attempt: Attempt, retry: Retry, now_ms: int) -> RetryAt:
        number = attempt.record.attempt
        record = _with_next_options(attempt)
        attempt.retry_at_ms = now_ms + retry.delay_ms
        attempt.record = msgspec.structs.replace(
            record,
            attempt=0 if record.reset else record.attempt,
            details=() if record.reset and attempt.drops_details else record.details,
            reset=False,
            state=AttemptState.BACKING_OFF,
            token=None,
            holder=None,
            detached=False,
            started_at_ms=None,
            heartbeat_at_ms=None,
            attempt_scheduled_at_ms=attempt.retry_at_ms,
            dispatches=0,
            losses=0,
            last_failure=retry.failure,
        )
        self._state.timers[_row_key(name)] = attempt.retry_at_ms
        return RetryAt(attempt=number + 1, at_ms=attempt.retry_at_ms, now_ms=now_ms)


def _with_next_options(attempt: Attempt) -> AttemptRecord:
    """Options that were changed while an attempt ran are in force for the next one."""
    options, attempt.next_options = attempt.next_options, None
    if options is None:
        return attempt.record
    return msgspec.structs.replace(attempt.record, options=options)


def _row_key(name: AttemptName) -> tuple[DueKind, WorkflowId, RunId, EventId]:
    return (DueKind.ACTIVITY, name.workflow_id, name.run_id, name.event_id)


def _may_end(record: AttemptRecord, finish: FinishAttempt) -> bool:
    """Whether this finish is of the attempt as it stands."""
    if record.attempt != finish.name.attempt:
        return False
    if record.state is AttemptState.RUNNING:
        return record.token == finish.token
    waits = record.state is AttemptState.SCHEDULED or finish.waiting_too
    return waits or finish.token is None


def _begun(record: AttemptRecord, now_ms: int) -> Begun:
    return Begun(
        attempt=record.attempt,
        now_ms=now_ms,
        scheduled_at_ms=record.scheduled_at_ms,
        attempt_scheduled_at_ms=record.attempt_scheduled_at_ms,
        details=record.details,
        last_failure=record.last_failure,
    )
