"""Between the port's Structs and what scripts take and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.keys import Keys, member, row
from orchestrator.adapters.redis.scripts import Answer, Scripts
from orchestrator.core.standalone_records import (
    SCHEDULED_EVENT_ID,
    StandaloneActivity,
    StandaloneEnd,
)
from orchestrator.core.transition import ActivityToSchedule, StartMessage, Transition
from orchestrator.ids import (
    ActivityKey,
    AttemptToken,
    CommitToken,
    EventId,
    ProcessName,
    RunId,
    TaskQueue,
    WorkflowId,
)
from orchestrator.limits import (
    INBOX_ENTRIES_MAX,
    INBOX_PAGE_ENTRIES,
    RETENTION_MS,
    SEEN_OPERATIONS_MAX,
    UPDATE_REPLY_TTL_MS,
    WAKEUP_REPEATS_MS,
)
from orchestrator.ports.store import AttemptRecord, AttemptState, DueKind, Head, NotOpen, Wake
from orchestrator.units import format_time
from orchestrator.wire.codec import (
    decode_event,
    decode_inbox_entry,
    encode,
    event_fields,
    failure_decoder,
    names_decoder,
    options_decoder,
    payloads_decoder,
)
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.inbox import InboxBody, InboxEntry, UpdateReceived
from orchestrator.wire.options import RunStatus

RECORD_FIELDS = (
    "state",
    "key",
    "attempt",
    "token",
    "holder",
    "cancel",
    "scheduled_at_ms",
    "attempt_scheduled_at_ms",
    "started_at_ms",
    "heartbeat_at_ms",
    "deadline_ms",
    "dispatches",
    "losses",
    "details",
    "failure",
    "detached",
    "paused",
    "reset",
    "options",
    "limited_by",
    "turns",
    "limits",
)
"""What `record` reads; behind the number of the activity and a dot in the hash of its run."""


class Part:
    """What every right needs: the connection, the scripts, the names, and a source of tokens."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        random: Random,
        on_time: Callable[[int], None] | None = None,
        *,
        retention_ms: int = RETENTION_MS,
    ) -> None:
        self._connection = connection
        self._retention_ms = retention_ms
        self._scripts = Scripts(connection, on_time)
        self._keys = keys
        self._random = random

    def _mint(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def _fields(self, workflow_id: WorkflowId) -> dict[str, Any]:  # Any: what msgpack carries
        """What every script of a workflow id takes."""
        return {
            "workflow_id": workflow_id,
            "mark": self._mint(),
            "first_repeat_ms": WAKEUP_REPEATS_MS[0],
            "page_entries": INBOX_PAGE_ENTRIES,
        }

    def _close_fields(
        self, workflow_id: WorkflowId, run_id: RunId, status: RunStatus
    ) -> dict[str, Any]:  # Any: what msgpack carries
        """What every script that closes a run takes."""
        return {
            "status": status.value,
            "timeout_row": row(DueKind.RUN_TIMEOUT, workflow_id, run_id),
            "after_close_row": row(DueKind.AFTER_CLOSE, workflow_id, run_id),
            "channel": self._keys.closes_channel(workflow_id),
            "member": member(workflow_id, run_id),
            "retention_row": row(DueKind.RETENTION, workflow_id, run_id),
            "retention_ms": self._retention_ms,
        }

    async def _hash(self, key: str) -> dict[str, str]:
        found: list[bytes] = await self._connection.read("HGETALL", key)
        return {found[i].decode(): found[i + 1].decode() for i in range(0, len(found), 2)}


def entry_fields(body: InboxBody, *, message: bool = False) -> dict[str, str | bool]:
    """An inbox entry as scripts take it."""
    return {"type": type(body).__name__, "data": encode(body).decode(), "message": message}


def event_fields_of(event: HistoryEvent) -> dict[str, str]:
    """An event as scripts take it."""
    type_, time, data = event_fields(event)
    return {"type": type_, "time": time, "data": data.decode()}


def scheduled_fields(new: ActivityToSchedule) -> dict[str, str]:
    """The record of a scheduled activity."""
    fields = {
        "state": AttemptState.SCHEDULED.value,
        "key": new.key,
        "attempt": "1",
        "scheduled_at_ms": str(new.scheduled_at_ms),
        "attempt_scheduled_at_ms": str(new.scheduled_at_ms),
        "dispatches": "0",
        "losses": "0",
    }
    if new.deadline_ms is not None:
        fields["deadline_ms"] = str(new.deadline_ms)
    return fields


def standalone_fields(new: StandaloneActivity) -> dict[str, Any]:  # Any: what msgpack carries
    """The activity that a new run is."""
    fields: dict[str, Any] = {  # Any: as above
        "id": str(SCHEDULED_EVENT_ID),
        "type": type(new.scheduled).__name__,
        "data": encode(new.scheduled).decode(),
        "key": new.key,
        "delay_ms": new.delay_ms,
        "due_in_ms": new.due_in_ms,
    }
    if new.deadline_in_ms is not None:
        fields["deadline_in_ms"] = new.deadline_in_ms
    return fields


def end_fields(end: StandaloneEnd) -> dict[str, Any]:  # Any: what msgpack carries
    """The events with which a standalone activity closes."""
    fields: dict[str, Any] = {  # Any: as above
        "type": type(end.closing).__name__,
        "data": encode(end.closing).decode(),
        "nothing_left": True,
    }
    if end.started is not None:
        fields["started"] = {
            "type": type(end.started).__name__,
            "time": format_time(end.started_at_ms),
            "data": encode(end.started).decode(),
        }
    return fields


def message_fields(message: StartMessage) -> dict[str, Any]:  # Any: what msgpack carries
    """A signal or update that goes with a start."""
    body = message.body
    update = {"update_id": body.update_id} if isinstance(body, UpdateReceived) else {}
    return update | {
        "entry": entry_fields(body, message=True),
        "operation_id": message.operation_id,
        "inbox_max": INBOX_ENTRIES_MAX,
        "seen_max": SEEN_OPERATIONS_MAX,
    }


def update_fields(transition: Transition) -> dict[str, Any]:  # Any: what msgpack carries
    """How far updates have come, and the replies to those that were not let in."""
    stages: list[dict[str, str]] = []
    for stage in transition.updates:
        completed = stage.completed_event_id
        shown = str(stage.accepted_event_id) + ("" if completed is None else f" {completed}")
        stages.append({"id": stage.update_id, "stage": shown})
    return {
        "stages": stages,
        "replies": [encode(answer.reply).decode() for answer in transition.answers],
        "reply_ttl_ms": UPDATE_REPLY_TTL_MS,
    }


def event(entry_id: bytes, flat: Sequence[bytes]) -> HistoryEvent:
    """An event as its stream holds it: its fields are type, time and data, in this order."""
    return decode_event(
        event_id=int(entry_id.partition(b"-")[0]),
        type_=flat[1].decode(),
        time=flat[3].decode(),
        data=flat[5],
    )


def entries(answer: Answer) -> tuple[InboxEntry, ...]:
    """The unread entries of an answer."""
    return tuple(
        decode_inbox_entry(
            number=int(entry_id.partition("-")[0]),
            type_=flat[1],
            time_ms=int(flat[3]),
            mark=flat[5],
            data=flat[7].encode(),
        )
        for entry_id, flat in answer.unread
    )


def wake(answer: Answer, body: InboxBody | None = None, mark: str = "") -> Wake | None:
    """The wake-up that an answer asks for, with the entry that is the reason for it."""
    if not answer.woken:
        return None
    entry = None
    if body is not None and answer.number:
        entry = InboxEntry(number=answer.number, mark=mark, time_ms=answer.now_ms, body=body)
    return Wake(task_queue=TaskQueue(answer.task_queue), sticky=answer.sticky, entry=entry)


def not_open(answer: Answer) -> NotOpen:
    """There is no such open run."""
    return NotOpen(
        run_id=None if answer.run_id is None else RunId(answer.run_id),
        status=None if answer.status is None else RunStatus(answer.status),
        now_ms=answer.now_ms,
    )


def number(text: str | None) -> int | None:
    """A number, or its absence."""
    return None if text is None else int(text)


def head(fields: Mapping[str, str]) -> Head:
    """The head as its hash holds it."""
    return Head(
        run_id=RunId(fields["run_id"]),
        status=RunStatus(fields["status"]),
        token=CommitToken(fields["token"]),
        last_event_id=EventId(int(fields["last_event_id"])),
        inbox_last=int(fields["inbox_last"]),
        consumed=int(fields["consumed"]),
        message_last=int(fields["message_last"]),
        task_queue=TaskQueue(fields["task_queue"]),
        sticky=fields.get("sticky"),
        attempt=int(fields.get("attempt", "0")),
        failures=int(fields.get("failures", "0")),
        unfinished="unfinished" in fields,
        problem=fields.get("problem"),
    )


def record(event_id: int, fields: Mapping[str, str]) -> AttemptRecord:
    """An attempt's record as its hash holds it."""
    token, holder = fields.get("token"), fields.get("holder")
    details, failure = fields.get("details"), fields.get("failure")
    options, limits = fields.get("options"), fields.get("limits")
    return AttemptRecord(
        event_id=EventId(event_id),
        key=ActivityKey(fields["key"]),
        attempt=int(fields["attempt"]),
        state=AttemptState(fields["state"]),
        token=None if token is None else AttemptToken(token),
        holder=None if holder is None else ProcessName(holder),
        cancel_requested="cancel" in fields,
        scheduled_at_ms=int(fields["scheduled_at_ms"]),
        attempt_scheduled_at_ms=int(fields["attempt_scheduled_at_ms"]),
        started_at_ms=number(fields.get("started_at_ms")),
        heartbeat_at_ms=number(fields.get("heartbeat_at_ms")),
        deadline_ms=number(fields.get("deadline_ms")),
        dispatches=int(fields["dispatches"]),
        losses=int(fields["losses"]),
        detached="detached" in fields,
        paused="paused" in fields,
        reset="reset" in fields,
        limited_by=fields.get("limited_by"),
        turns=int(fields.get("turns", "0")),
        limits=() if limits is None else names_decoder.decode(limits.encode()),
        options=None if options is None else options_decoder.decode(options.encode()),
        details=() if details is None else payloads_decoder.decode(details.encode()),
        last_failure=None if failure is None else failure_decoder.decode(failure.encode()),
    )
