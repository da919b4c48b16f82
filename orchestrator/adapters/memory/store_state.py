"""What the memory store keeps, and the steps its acts are made of.

The acts stand in the files beside this one. A step never awaits, so an act is atomic between two
turns of the event loop; each act checks first and writes last, as its script in Redis does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from random import Random
from typing import Any

import msgspec

from orchestrator.adapters.memory.by_shard import ByShard
from orchestrator.adapters.memory.limit_state import Limit
from orchestrator.core.shard import shard_of
from orchestrator.core.transition import AttemptName, NewRun, UpdateAnswer, UpdateStage
from orchestrator.ids import (
    CommitToken,
    EventId,
    Mark,
    Namespace,
    OperationId,
    ProcessName,
    RunId,
    TaskQueue,
    UpdateId,
    WorkflowId,
)
from orchestrator.limits import (
    INBOX_PAGE_ENTRIES,
    SEEN_OPERATIONS_MAX,
    UPDATE_REPLY_TTL_MS,
    WAKEUP_REPEATS_MS,
)
from orchestrator.ports.store import AttemptRecord, DueKind, Head, Wake
from orchestrator.wire.events import EventAttributes, HistoryEvent, WorkflowExecutionStarted
from orchestrator.wire.inbox import FirstTask, InboxBody, InboxEntry
from orchestrator.wire.messages import UpdateReply
from orchestrator.wire.options import ActivityOptions, RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import SearchAttribute, SearchAttributes


@dataclass(slots=True)
class WakeupRow:
    """A row of `wakeups`. `published` is false while it is held back by a delay or a back-off;
    an append wakes a row that is `delayed` and leaves one that backs off alone. A run that was not
    begun yet is `waiting` while its back-off lasts: a request to cancel makes it `delayed`."""

    due_at_ms: int
    since_ms: int
    published: bool = True
    delayed: bool = False
    waiting: bool = False
    repeats: int = 0


@dataclass(slots=True)
class Attempt:
    """An attempt's record, and what makes a repeated end recognisable."""

    record: AttemptRecord
    ended_token: str | None = None
    retry_at_ms: int = 0
    next_options: ActivityOptions | None = None
    drops_details: bool = False
    adjusted: str | None = None


@dataclass(slots=True)
class RunRecord:
    """A run with its history and its attempts."""

    workflow_id: WorkflowId
    run_id: RunId
    started: WorkflowExecutionStarted
    started_at_ms: int
    status: RunStatus = RunStatus.RUNNING
    closed_at_ms: int | None = None
    history: list[HistoryEvent] = field(default_factory=list[HistoryEvent])
    attempts: dict[EventId, Attempt] = field(default_factory=dict[EventId, Attempt])
    updates: dict[UpdateId, UpdateStage] = field(default_factory=dict[UpdateId, UpdateStage])
    memo: dict[str, Payload] | None = None
    search_attributes: SearchAttributes = field(default_factory=dict[str, SearchAttribute])

    @property
    def first_run_id(self) -> RunId:
        """The first run of the chain."""
        return RunId(self.started.first_run_id or self.run_id)


@dataclass(slots=True)
class Workflow:
    """Everything of one workflow id. A seen operation maps to nothing; the dict keeps order."""

    head: Head
    inbox: dict[int, InboxEntry] = field(default_factory=dict[int, InboxEntry])
    messages: set[int] = field(default_factory=set[int])
    seen: dict[str, None] = field(default_factory=dict[str, None])
    row: WakeupRow | None = None

    def set_head(self, **changes: Any) -> None:  # Any: fields of Head
        """Replace fields of the head."""
        self.head = msgspec.structs.replace(self.head, **changes)

    def page(self, entries_max: int = INBOX_PAGE_ENTRIES) -> tuple[InboxEntry, ...]:
        """The first unread entries, in order."""
        return tuple(islice(self.inbox.values(), entries_max))

    def clear_inbox(self) -> None:
        """Delete what is unread."""
        self.inbox.clear()
        self.messages.clear()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A start that was refused for good: the run that was in its way, if there was one."""

    run_id: RunId
    workflow_type: str
    status: RunStatus


_SHARDS_REMEMBERED = 1_024
"""Workflow ids whose shard is not computed again."""
TimerKey = tuple[DueKind, WorkflowId, RunId, EventId]


class MemoryState:
    """The content of a namespace, and the steps that several acts share."""

    def __init__(
        self,
        *,
        namespace: Namespace,
        shards: int,
        now_ms: Callable[[], int],
        random: Random,
        retention_ms: int,
    ) -> None:
        self.retention_ms = retention_ms
        self.namespace = namespace
        self.shards = shards
        self._shard_of = lru_cache(_SHARDS_REMEMBERED)(partial(shard_of, namespace, shards=shards))
        self.workflows: ByShard[WorkflowId, Workflow] = ByShard(self.shard)
        self.runs: dict[tuple[WorkflowId, RunId], RunRecord] = {}
        self.refusals: dict[tuple[WorkflowId, RunId], Refusal] = {}
        self.timers: ByShard[TimerKey, int] = ByShard(lambda key: self.shard(key[1]))
        self.members: dict[ProcessName, int] = {}
        self.reserved_us: dict[tuple[TaskQueue, str], int] = {}
        self.concurrency: dict[tuple[TaskQueue, str], Limit] = {}
        self.present: dict[ProcessName, int] = {}
        self.listeners: dict[ProcessName, Callable[[AttemptName], None]] = {}
        self.watchers: dict[WorkflowId, list[Callable[[], None]]] = {}
        self.update_watchers: dict[WorkflowId, list[Callable[[], None]]] = {}
        self._replies: dict[tuple[WorkflowId, OperationId], tuple[int, UpdateReply]] = {}
        self._read_clock = now_ms
        self._random = random
        self._latest_ms = 0

    def now_ms(self) -> int:
        """The store's time; it never goes back."""
        self._latest_ms = max(self._latest_ms, self._read_clock())
        return self._latest_ms

    def mint(self) -> str:
        """A fresh token or mark."""
        return f"{self._random.getrandbits(64):016x}"

    def shard(self, workflow_id: WorkflowId) -> int:
        """The shard of a workflow id."""
        return self._shard_of(workflow_id)

    def open_workflow(self, workflow_id: WorkflowId, run_id: RunId) -> Workflow | None:
        """The workflow, if `run_id` is its newest run and open."""
        workflow = self.workflows.get(workflow_id)
        if workflow is None or workflow.head.run_id != run_id:
            return None
        return workflow if workflow.head.status is RunStatus.RUNNING else None

    def add_entry(
        self, workflow: Workflow, body: InboxBody, *, now_ms: int, mark: str, message: bool = False
    ) -> InboxEntry:
        """Number an entry and put it into the inbox."""
        number = workflow.head.inbox_last + 1
        entry = InboxEntry(number=number, mark=mark, time_ms=now_ms, body=body)
        workflow.inbox[number] = entry
        workflow.set_head(inbox_last=number)
        if message:
            workflow.messages.add(number)
            workflow.set_head(message_last=number)
        return entry

    def wake_once(self, workflow: Workflow, entry: InboxEntry, *, now_ms: int) -> Wake | None:
        """Call somebody for `entry`, unless somebody was called before or the run backs off."""
        if workflow.row is not None and not workflow.row.delayed:
            return None
        workflow.row = called_row(now_ms)
        return wake_of(workflow, entry)

    def remember(self, workflow: Workflow, operation_id: str) -> None:
        """Keep an operation id among the newest."""
        workflow.seen[operation_id] = None
        if len(workflow.seen) > SEEN_OPERATIONS_MAX:
            del workflow.seen[next(iter(workflow.seen))]

    def make_run(
        self, workflow_id: WorkflowId, run: NewRun, *, now_ms: int, token: str
    ) -> Wake | None:
        """Make a run the newest one; the inbox must hold only what it shall inherit."""
        record = RunRecord(workflow_id, run.run_id, run.started, now_ms)
        record.search_attributes = run.started.search_attributes
        record.history.append(HistoryEvent(event_id=1, time_ms=now_ms, attributes=run.started))
        self.runs[workflow_id, run.run_id] = record
        old = self.workflows.get(workflow_id)
        head = Head(
            run_id=run.run_id,
            status=RunStatus.RUNNING,
            token=CommitToken(token),
            last_event_id=EventId(1),
            inbox_last=0 if old is None else old.head.inbox_last,
            consumed=0 if old is None else old.head.consumed,
            message_last=0 if old is None else old.head.message_last,
            task_queue=TaskQueue(run.started.task_queue),
        )
        workflow = Workflow(head) if old is None else old
        workflow.head = head
        self.workflows[workflow_id] = workflow
        if run.standalone is not None:
            return None
        entry = self.add_entry(
            workflow, FirstTask(run_id=run.run_id), now_ms=now_ms, mark=self.mint()
        )
        if run.run_timeout_ms is not None:
            key = (DueKind.RUN_TIMEOUT, workflow_id, run.run_id, EventId(0))
            self.timers[key] = now_ms + run.run_timeout_ms
        if run.first_task_delay_ms > 0:
            due = now_ms + run.first_task_delay_ms
            workflow.row = WakeupRow(
                due,
                now_ms,
                published=False,
                delayed=not run.is_backoff,
                waiting=run.is_backoff,
            )
            return None
        workflow.row = called_row(now_ms)
        return wake_of(workflow, entry)

    def end_run(
        self,
        workflow: Workflow,
        record: RunRecord,
        *,
        status: RunStatus,
        now_ms: int,
        keep_inbox: bool = False,
        nothing_left: bool = False,
    ) -> None:
        """Close the newest run after its closing event was written; tell who waits."""
        record.status = status
        record.closed_at_ms = now_ms
        record.attempts.clear()
        if not keep_inbox:
            workflow.clear_inbox()
            workflow.set_head(consumed=workflow.head.inbox_last)
        workflow.row = None
        workflow.set_head(
            status=status, sticky=None, unfinished=False, attempt=0, failures=0, problem=None
        )
        identity = (record.workflow_id, record.run_id, EventId(0))
        self.timers.pop((DueKind.RUN_TIMEOUT, *identity), None)
        if nothing_left:
            self.arm_retention(record, now_ms=now_ms, retention_ms=self.retention_ms)
        else:
            self.timers[DueKind.AFTER_CLOSE, *identity] = now_ms
        self.notify(record.workflow_id, closed=True)

    def tell_holder(self, run: RunRecord, found: AttemptRecord) -> None:
        """Push to who runs an attempt that it shall end."""
        listener = None if found.holder is None else self.listeners.get(found.holder)
        if listener is not None:
            name = AttemptName(
                workflow_id=run.workflow_id,
                run_id=run.run_id,
                event_id=found.event_id,
                key=found.key,
                attempt=found.attempt,
            )
            listener(name)

    def notify(self, workflow_id: WorkflowId, *, closed: bool) -> None:
        """Tell who waits for a close, or for an update and so for a close as well."""
        watchers = (self.watchers,) if closed else ()
        for kind in (*watchers, self.update_watchers):
            for on_notice in tuple(kind.get(workflow_id, ())):
                on_notice()

    def keep_answers(
        self, workflow_id: WorkflowId, answers: Sequence[UpdateAnswer], *, now_ms: int
    ) -> None:
        """Keep why updates were not let in, for a while."""
        self._replies = {
            key: (until_ms, reply)
            for key, (until_ms, reply) in self._replies.items()
            if until_ms > now_ms
        }
        for answer in answers:
            key = (workflow_id, answer.operation_id)
            self._replies[key] = (now_ms + UPDATE_REPLY_TTL_MS, answer.reply)

    def reply(
        self, workflow_id: WorkflowId, operation_id: OperationId, *, now_ms: int
    ) -> UpdateReply | None:
        """Why an update was not let in, as long as that is kept."""
        until_ms, reply = self._replies.get((workflow_id, operation_id), (0, None))
        return reply if until_ms > now_ms else None

    def remember_refusal(
        self, workflow_id: WorkflowId, run_id: RunId, refusal: Refusal, *, now_ms: int
    ) -> None:
        """Keep a refused start as long as a closed run."""
        self.refusals[workflow_id, run_id] = refusal
        key = (DueKind.RETENTION, workflow_id, run_id, EventId(0))
        self.timers[key] = now_ms + self.retention_ms

    def arm_retention(self, record: RunRecord, *, now_ms: int, retention_ms: int) -> None:
        """Arm the retention of a closed run."""
        key = (DueKind.RETENTION, record.workflow_id, record.run_id, EventId(0))
        self.timers[key] = now_ms + retention_ms

    def force(
        self,
        workflow_id: WorkflowId,
        event: EventAttributes,
        *,
        status: RunStatus,
        now_ms: int,
        keep_inbox: bool = False,
    ) -> None:
        """Close the newest run by the next event id, whatever its code was doing."""
        workflow = self.workflows[workflow_id]
        head = workflow.head
        record = self.runs[workflow_id, head.run_id]
        event_id = EventId(head.last_event_id + 1)
        record.history.append(HistoryEvent(event_id=event_id, time_ms=now_ms, attributes=event))
        workflow.set_head(last_event_id=event_id, token=CommitToken(self.mint()))
        self.end_run(workflow, record, status=status, now_ms=now_ms, keep_inbox=keep_inbox)


def called_row(now_ms: int) -> WakeupRow:
    """A row whose wake-up is published now."""
    return WakeupRow(now_ms + WAKEUP_REPEATS_MS[0], now_ms)


def wake_of(workflow: Workflow, entry: InboxEntry | None = None) -> Wake:
    """The wake-up of a run, with the entry that is the reason for it."""
    return Wake(task_queue=workflow.head.task_queue, sticky=workflow.head.sticky, entry=entry)


def marked(workflow: Workflow, number: int, mark: Mark) -> bool:
    """Whether entry `number` is unread and still the one known under `mark`."""
    entry = workflow.inbox.get(number)
    return entry is not None and entry.mark == mark
