"""Runs in Redis: starts, appends, workflow tasks, commits, closes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.adapters.redis import answers, indexes
from orchestrator.adapters.redis.keys import member, notice_of_updates, row
from orchestrator.adapters.redis.reads import RedisReads
from orchestrator.core.standalone_records import SCHEDULED_EVENT_ID
from orchestrator.core.start import first_run_of
from orchestrator.core.transition import (
    Append,
    ForcedClose,
    NewRun,
    StartRun,
    TaskFailure,
    Transition,
)
from orchestrator.ids import RunId, WorkflowId
from orchestrator.limits import (
    INBOX_ENTRIES_MAX,
    INBOX_PAGE_ENTRIES,
    SEEN_OPERATIONS_MAX,
)
from orchestrator.ports.store import (
    AppendAnswer,
    Appended,
    Attached,
    Closed,
    CommitAnswer,
    Committed,
    DueKind,
    Duplicate,
    Full,
    NotOpen,
    Refused,
    Stale,
    StartAnswer,
    Started,
    StartRefused,
    Synced,
)
from orchestrator.wire.codec import encode
from orchestrator.wire.events import ClosingEvent
from orchestrator.wire.inbox import CancelReceived, FirstTask
from orchestrator.wire.options import RunStatus

_Fields = dict[str, Any]  # Any: what msgpack carries


class RedisRuns(RedisReads):
    """The right to start, read, commit and end runs."""

    async def start(self, start: StartRun) -> StartAnswer:
        """See `RunStore.start`."""
        run_id = start.run.run_id
        fields = self._fields(start.workflow_id)
        fields |= {
            "run": self._new_run(start.workflow_id, start.run),
            "attach": start.attach,
            "after_completed": start.after_completed,
            "after_failed": start.after_failed,
            "remember_refusal": start.remember_refusal,
            "only_refuse": start.only_refuse,
        }
        message = start.message
        if message is not None:
            fields["message"] = answers.message_fields(message)
        old = run_id
        while True:
            if start.terminate is not None or message is not None:
                fields["expected_run_id"] = old
            if start.terminate is not None:
                fields["close"] = self._forced(
                    start.workflow_id, old, start.terminate, RunStatus.TERMINATED
                )
            keys = self._keys.for_script(
                start.workflow_id, old, run_id, closed_as=RunStatus.TERMINATED
            )
            if message is not None:
                keys.append(self._keys.updates(start.workflow_id, old))
            fields["run"]["indexes"] = indexes.join(keys, self._keys, start.workflow_id, start.run)
            answer = await self._scripts.start_run(keys, fields)
            if answer.kind != "moved":
                break
            old = RunId(answer.run_id or "")
        now_ms = answer.now_ms
        if answer.kind == "attached":
            given = None if message is None else message.body
            wake = answers.wake(answer, given, fields["mark"])
            return Attached(run_id=RunId(answer.run_id or ""), now_ms=now_ms, wake=wake)
        if answer.kind == "full":
            return Full(unread=answer.number, now_ms=now_ms)
        if answer.kind == "refused":
            return StartRefused(
                run_id=RunId(answer.run_id or ""),
                workflow_type=answer.workflow_type or "",
                status=RunStatus(answer.status),
                now_ms=now_ms,
            )
        new = answer.kind == "started"
        body = FirstTask(run_id=run_id) if new else None
        wake = answers.wake(answer, body, fields["mark"])
        if message is not None and wake is not None:
            # The first task sees both: it reads the inbox.
            wake = replace(wake, entry=None)
        elif new and wake is not None:
            token: str = fields["run"]["token"]
            wake = replace(wake, first=first_run_of(start, token=token, now_ms=now_ms))
        return Started(run_id=run_id, new=new, now_ms=now_ms, wake=wake)

    async def append(self, append: Append) -> AppendAnswer:
        """See `RunStore.append`."""
        fields = self._fields(append.workflow_id)
        fields |= {
            "entry": answers.entry_fields(append.body, message=append.message),
            "inbox_max": INBOX_ENTRIES_MAX,
            "seen_max": SEEN_OPERATIONS_MAX,
            "operation_id": append.operation_id,
            "run_id": append.run_id,
            "first_run_id": append.first_run_id,
            "ends_waiting": isinstance(append.body, CancelReceived) or None,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        keys = self._keys.for_script(append.workflow_id, append.run_id or RunId(""))
        answer = await self._scripts.append_entry(keys, fields)
        match answer.kind:
            case "duplicate":
                return Duplicate(now_ms=answer.now_ms)
            case "full":
                return Full(unread=answer.number, now_ms=answer.now_ms)
            case "not_open":
                return answers.not_open(answer)
            case _:
                return Appended(
                    run_id=RunId(answer.run_id or ""),
                    number=answer.number,
                    now_ms=answer.now_ms,
                    wake=answers.wake(answer, append.body, fields["mark"]),
                )

    async def sync(
        self,
        workflow_id: WorkflowId,
        *,
        task_timeout_ms: int,
        count_attempt: bool,
        entries_max: int = INBOX_PAGE_ENTRIES,
    ) -> Synced | None:
        """See `RunStore.sync`."""
        fields = self._fields(workflow_id)
        fields |= {
            "task_timeout_ms": task_timeout_ms,
            "count_attempt": count_attempt,
            "page_entries": entries_max,
        }
        answer = await self._scripts.sync_run(self._keys.for_script(workflow_id, RunId("")), fields)
        if answer.kind == "none":
            return None
        return Synced(
            head=answers.head(answer.head),
            unread=answers.entries(answer),
            now_ms=answer.now_ms,
            held_back=answer.head.get("row", "called") != "called",
        )

    async def extend(self, workflow_id: WorkflowId, *, task_timeout_ms: int) -> None:
        """See `RunStore.extend`."""
        await self._move_row(workflow_id, {"delay_ms": task_timeout_ms, "hand_back": False})

    async def hand_back(
        self,
        workflow_id: WorkflowId,
        *,
        delay_ms: int,
        attempt: int | None = None,
        problem: str | None = None,
    ) -> None:
        """See `RunStore.hand_back`."""
        fields: _Fields = {"delay_ms": delay_ms, "hand_back": True}
        if attempt is not None:
            fields["attempt"] = attempt
        if problem is not None:
            fields["problem"] = problem
        await self._move_row(workflow_id, fields)

    async def commit(self, transition: Transition) -> CommitAnswer:
        """See `RunStore.commit`."""
        close = transition.close
        successor = None if close is None else close.successor
        keys = self._keys.for_script(
            transition.workflow_id,
            transition.run_id,
            None if successor is None else successor.run_id,
            closed_as=RunStatus.COMPLETED if close is None else close.status,
        )
        if transition.updates or transition.answers:
            keys.append(self._keys.updates(transition.workflow_id, transition.run_id))
            keys.extend(
                self._keys.reply(transition.workflow_id, answer.operation_id)
                for answer in transition.answers
            )
        fields = self._commit_fields(transition)
        if transition.properties is not None:
            fields["properties"] = indexes.change(keys, self._keys, transition)
        if successor is not None:
            run: _Fields = fields["run"]
            run["indexes"] = indexes.join(keys, self._keys, transition.workflow_id, successor)
        answer = await self._scripts.commit_transition(keys, fields)
        match answer.kind:
            case "stale":
                return Stale(now_ms=answer.now_ms)
            case "refused":
                return Refused(now_ms=answer.now_ms, unseen=answer.number)
            case _:
                return Committed(
                    now_ms=answer.now_ms,
                    unread=answers.entries(answer),
                    woken=answers.wake(answer),
                )

    async def fail_task(self, failure: TaskFailure) -> Committed | Stale:
        """See `RunStore.fail_task`."""
        fields = self._fields(failure.workflow_id)
        fields |= {
            "run_id": failure.run_id,
            "expected_token": failure.token,
            "token": failure.new_token,
            "first_event_id": failure.first_event_id,
            "events": [answers.event_fields_of(event) for event in failure.events],
            "delay_ms": failure.backoff_ms,
            "problem": failure.problem,
            "attempt": failure.attempt,
        }
        keys = self._keys.for_script(failure.workflow_id, failure.run_id)
        answer = await self._scripts.fail_task(keys, fields)
        if answer.kind == "stale":
            return Stale(now_ms=answer.now_ms)
        return Committed(now_ms=answer.now_ms)

    async def force_close(self, close: ForcedClose) -> Closed | NotOpen:
        """See `RunStore.force_close`."""
        successor = close.successor
        fields = self._fields(close.workflow_id)
        fields |= {"due_only": close.due_only, "token": self._mint()}
        if close.run_id is not None:
            fields["run_id"] = close.run_id
        if close.first_run_id is not None:
            fields["first_run_id"] = close.first_run_id
        if close.expected_last_event_id is not None:
            fields["expected_last_event_id"] = close.expected_last_event_id
        if successor is not None:
            fields["run"] = self._new_run(close.workflow_id, successor)
        target = close.run_id or RunId("")
        while True:
            fields["expected_run_id"] = target
            fields["close"] = self._forced(close.workflow_id, target, close.event, close.status) | {
                "keep_inbox": successor is not None
            }
            keys = self._keys.for_script(
                close.workflow_id,
                target,
                None if successor is None else successor.run_id,
                closed_as=close.status,
            )
            if successor is not None:
                run: _Fields = fields["run"]
                run["indexes"] = indexes.join(keys, self._keys, close.workflow_id, successor)
            answer = await self._scripts.force_close(keys, fields)
            if answer.kind != "moved":
                break
            target = RunId(answer.run_id or "")
        if answer.kind == "not_open":
            return answers.not_open(answer)
        return Closed(run_id=target, now_ms=answer.now_ms, woken=answers.wake(answer))

    async def _move_row(self, workflow_id: WorkflowId, move: _Fields) -> None:
        fields = self._fields(workflow_id) | move
        await self._scripts.move_row(self._keys.for_script(workflow_id, RunId("")), fields)

    def _new_run(self, workflow_id: WorkflowId, run: NewRun) -> _Fields:
        started = run.started
        fields: _Fields = {
            "run_id": run.run_id,
            "first_run_id": started.first_run_id or run.run_id,
            "workflow_type": started.workflow_type,
            "task_queue": started.task_queue,
            "started": {"type": type(started).__name__, "data": encode(started).decode()},
            "token": self._mint(),
            "member": member(workflow_id, run.run_id),
            "timeout_row": row(DueKind.RUN_TIMEOUT, workflow_id, run.run_id),
            "delay_ms": run.first_task_delay_ms,
            "delayed_as": "waiting" if run.is_backoff else "delayed",
            "retention_row": row(DueKind.RETENTION, workflow_id, run.run_id),
            "retention_ms": self._retention_ms,
        }
        if started.search_attributes:
            fields["search_attributes"] = encode(started.search_attributes).decode()
        if run.standalone is None:
            fields["entry"] = answers.entry_fields(FirstTask(run_id=run.run_id))
        else:
            fields["standalone"] = answers.standalone_fields(run.standalone) | {
                "row": row(DueKind.ACTIVITY, workflow_id, run.run_id, SCHEDULED_EVENT_ID)
            }
        if run.run_timeout_ms is not None:
            fields["run_timeout_ms"] = run.run_timeout_ms
        return fields

    def _forced(
        self, workflow_id: WorkflowId, run_id: RunId, event: ClosingEvent, status: RunStatus
    ) -> _Fields:
        data: _Fields = {"type": type(event).__name__, "data": encode(event).decode()}
        return self._close_fields(workflow_id, run_id, status) | data

    def _commit_fields(self, transition: Transition) -> _Fields:
        identity = (transition.workflow_id, transition.run_id)

        def activity_row(event_id: int) -> str:
            return row(DueKind.ACTIVITY, *identity, event_id)

        fields = self._fields(transition.workflow_id)
        fields |= {
            "run_id": transition.run_id,
            "expected_token": transition.token,
            "token": transition.new_token,
            "first_event_id": transition.first_event_id,
            "events": [answers.event_fields_of(event) for event in transition.events],
            "consumed_to": transition.consumed_to,
            "resolved": [
                {"id": str(event_id), "row": activity_row(event_id)}
                for event_id in transition.resolved
            ],
            "activities": [
                {
                    "id": str(new.event_id),
                    "row": activity_row(new.event_id),
                    "due": new.due_at_ms,
                    "fields": answers.scheduled_fields(new),
                }
                for new in transition.activities
            ],
            "cancels": [
                {
                    "id": str(cancel.event_id),
                    "row": activity_row(cancel.event_id),
                    "entry": answers.entry_fields(cancel.entry),
                }
                for cancel in transition.cancels
            ],
            "timers": [
                {"row": row(timer.kind, *identity, timer.event_id), "due": timer.fire_at_ms}
                for timer in transition.timers
            ],
            "disarm": [row(DueKind.TIMER, *identity, event_id) for event_id in transition.disarm],
            "unfinished": transition.unfinished,
            "process_channel": self._keys.process_channel(),
        }
        if transition.consumed_mark is not None:
            fields["consumed_mark"] = transition.consumed_mark
        if transition.sticky is not None:
            fields["sticky"] = transition.sticky
        if transition.updates or transition.answers:
            fields["updates"] = answers.update_fields(transition)
            fields["updates_channel"] = self._keys.closes_channel(transition.workflow_id)
            fields["updates_notice"] = notice_of_updates(transition.workflow_id)
        close = transition.close
        if close is not None:
            keep = close.keep_inbox and close.successor is not None
            fields["close"] = self._close_fields(*identity, close.status) | {
                "forced": close.forced,
                "nothing_left": close.nothing_left,
                "keep_inbox": keep,
            }
            if close.successor is not None:
                successor = self._new_run(transition.workflow_id, close.successor)
                fields["run"] = successor | {"token": transition.new_token}
        return fields
