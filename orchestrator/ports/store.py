"""The port to the store of truth (Redis, or memory), split by right.

Every mutating call is one atomic act: all of it or nothing. A call whose answer was lost raises
`UnavailableError`; repeating it with the same arguments gives the first answer and has no further
effect. Every answer carries the store's time. Calls of one turn of the event loop may travel
together but keep no order between them unless awaited. Absent records are never re-created.

Invariant of every act: the inbox of an open run is not empty, or its task is unfinished ⇔ its
workflow id has a row in `wakeups`. Everything else that must happen has a row in `timers`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

from orchestrator.core.adjustments import AdjustAttempt
from orchestrator.core.standalone_records import CancelStandalone
from orchestrator.core.transition import (
    Answer,
    Append,
    AttemptName,
    BeginAttempt,
    FinishAttempt,
    ForcedClose,
    Heartbeat,
    Redispatch,
    StartRun,
    TaskFailure,
    Transition,
)
from orchestrator.core.transition import DueKind as DueKind
from orchestrator.ids import (
    AttemptToken,
    CommitToken,
    EventId,
    OperationId,
    ProcessName,
    RunId,
    ShardId,
    TaskQueue,
    UpdateId,
    WorkflowId,
)
from orchestrator.limits import INBOX_PAGE_ENTRIES
from orchestrator.ports.attempts import Adjusted as Adjusted
from orchestrator.ports.attempts import AttemptRecord as AttemptRecord
from orchestrator.ports.attempts import AttemptState as AttemptState
from orchestrator.ports.attempts import Beaten as Beaten
from orchestrator.ports.attempts import Redispatched as Redispatched
from orchestrator.ports.concurrency import ConcurrencyStore
from orchestrator.ports.presence import PresenceStore
from orchestrator.ports.rates import RateStore
from orchestrator.ports.visibility import VisibilityStore
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.messages import UpdateReply
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import SearchAttributes
from orchestrator.wire.tasks import FirstRun


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen and keyword-only."""


# What is read -------------------------------------------------------------------------------------


class Head(_Answer, frozen=True, kw_only=True):
    """The mutable head of the newest run of a workflow id.

    `inbox_last` is the number of the newest entry, `consumed` of the last one a commit looked at,
    `message_last` of the newest signal or update.
    """

    run_id: RunId
    status: RunStatus
    token: CommitToken
    last_event_id: EventId
    inbox_last: int
    consumed: int
    message_last: int
    task_queue: TaskQueue
    sticky: str | None = None
    attempt: int = 0
    """Redelivered and repeated tasks that were begun since the last commit or recorded failure;
    counted before user code is entered, so it tells how often a worker died over this one."""
    failures: int = 0
    """Failures recorded since the last commit."""
    unfinished: bool = False
    problem: str | None = None
    """Why the newest task failed; None once a commit went through."""


class RunView(_Answer, frozen=True, kw_only=True):
    """A run as stored: its record, its closing event if it is closed. `memo` None: as at start."""

    workflow_id: WorkflowId
    run_id: RunId
    first_run_id: RunId
    workflow_type: str
    task_queue: TaskQueue
    status: RunStatus
    started_at_ms: int
    closed_at_ms: int | None
    history_length: int
    newest_run_id: RunId
    """The newest run of the workflow id; another one than `run_id` when this run has successors."""
    sticky: str | None = None
    """Whose own queue gets wake-ups and queries of this run, while it is open."""
    closing: HistoryEvent | None = None
    problem: str | None = None
    memo: dict[str, Payload] | None = None
    search_attributes: SearchAttributes = {}


class Ending(_Answer, frozen=True, kw_only=True):
    """A run, as who waits for its end sees it. `closing` is its last event; None: it is open."""

    run_id: RunId
    closing: HistoryEvent | None = None


class UpdateView(_Answer, frozen=True, kw_only=True):
    """An update of a run as stored. `accepted_event_id` None: it was not let in, or not yet; then
    `reply` says why not, as long as that is kept. `completed` is the event with its outcome."""

    run_id: RunId
    status: RunStatus
    accepted_event_id: EventId | None = None
    completed: HistoryEvent | None = None
    reply: UpdateReply | None = None


# Answers ------------------------------------------------------------------------------------------


class Wake(_Answer, frozen=True, kw_only=True):
    """A wake-up to publish: `entry` rides along when it is small, `first` with the first task of a
    run that was made by this very call and is small."""

    task_queue: TaskQueue
    sticky: str | None = None
    entry: InboxEntry | None = None
    first: FirstRun | None = None


class Started(_Answer, frozen=True, kw_only=True):
    """The run was made now, or the same request made it before (`new` false)."""

    run_id: RunId
    new: bool
    now_ms: int
    wake: Wake | None = None
    """None while the first task is held back, and when a repeat finds it taken care of."""


class Attached(_Answer, frozen=True, kw_only=True):
    """An open run was there and the start was told to use it, or a run knows the update that came
    with the start. `wake` is for a message that was put into its inbox."""

    run_id: RunId
    now_ms: int
    wake: Wake | None = None


class StartRefused(_Answer, frozen=True, kw_only=True):
    """The policies refuse: this run has the workflow id."""

    run_id: RunId
    workflow_type: str
    status: RunStatus
    now_ms: int


class Appended(_Answer, frozen=True, kw_only=True):
    """The entry is in the inbox. `wake` is None when somebody was called before."""

    run_id: RunId
    number: int
    now_ms: int
    wake: Wake | None = None


class Duplicate(_Answer, frozen=True, kw_only=True):
    """The operation was done before."""

    now_ms: int


class NotOpen(_Answer, frozen=True, kw_only=True):
    """There is no such open run. `status` None: no such run at all."""

    run_id: RunId | None
    status: RunStatus | None
    now_ms: int


class Full(_Answer, frozen=True, kw_only=True):
    """Too many unread entries; come again."""

    unread: int
    now_ms: int


class Synced(_Answer, frozen=True, kw_only=True):
    """Head and unread entries (one page, in order), read together.

    When there was something unread, the row in `wakeups` was moved on by the task time-out and, if
    asked for, the attempt counted. A run that a start delay or a back-off holds back shows nothing
    unread and nothing was moved: its own row brings it back.
    """

    head: Head
    unread: tuple[InboxEntry, ...]
    now_ms: int
    held_back: bool = False


class Committed(_Answer, frozen=True, kw_only=True):
    """Written. `unread` is the next page; when it is empty and nothing is unfinished, inbox and row
    are gone. `woken` is a successor's wake-up. `cancelled` were asked to stop at their holders."""

    now_ms: int
    unread: tuple[InboxEntry, ...] = ()
    woken: Wake | None = None


class Stale(_Answer, frozen=True, kw_only=True):
    """Somebody else moved the run, it is closed, or what was consumed is not there. Nothing
    written."""

    now_ms: int


class Refused(_Answer, frozen=True, kw_only=True):
    """A close that had not seen every message. Nothing written."""

    now_ms: int
    unseen: int


class Closed(_Answer, frozen=True, kw_only=True):
    """The run was closed by force, or was closed before by this very event."""

    run_id: RunId
    now_ms: int
    woken: Wake | None = None


class Begun(_Answer, frozen=True, kw_only=True):
    """The attempt is this process's. `details` and `last_failure` come from attempts before."""

    attempt: int
    now_ms: int
    scheduled_at_ms: int
    attempt_scheduled_at_ms: int
    details: tuple[Payload, ...] = ()
    last_failure: Failure | None = None


class AlreadyRunning(_Answer, frozen=True, kw_only=True):
    """Somebody (perhaps this process) has begun it."""

    token: AttemptToken
    holder: ProcessName
    losses: int
    now_ms: int


class AlreadyDone(_Answer, frozen=True, kw_only=True):
    """It has ended; its outcome waits in the inbox, and this wake-up may be missing."""

    wake: Wake
    now_ms: int


class Gone(_Answer, frozen=True, kw_only=True):
    """No such attempt (any more): the run is closed, the activity resolved, or the task is not of
    this time-line."""

    now_ms: int


class Finished(_Answer, frozen=True, kw_only=True):
    """The outcome stands in the inbox; `wake` is None when somebody was called before."""

    now_ms: int
    wake: Wake | None = None


class CancelAsked(_Answer, frozen=True, kw_only=True):
    """The holder of a standalone activity is asked to end it; `closed`: nobody ran it."""

    closed: bool
    now_ms: int


class RetryAt(_Answer, frozen=True, kw_only=True):
    """The attempt will be tried again."""

    attempt: int
    at_ms: int
    now_ms: int


class DueRow(_Answer, frozen=True, kw_only=True):
    """One row of `timers`; `event_id` is 0 for kinds that concern the whole run."""

    kind: DueKind
    workflow_id: WorkflowId
    run_id: RunId
    event_id: EventId
    due_at_ms: int


class DueWakeup(_Answer, frozen=True, kw_only=True):
    """One row of `wakeups`."""

    workflow_id: WorkflowId
    due_at_ms: int


class Due(_Answer, frozen=True, kw_only=True):
    """What a shard has due, in order of time, and when the next row after those is."""

    timers: tuple[DueRow, ...]
    wakeups: tuple[DueWakeup, ...]
    next_due_ms: int | None
    now_ms: int


class Repeat(_Answer, frozen=True, kw_only=True):
    """The row was due and has been moved on. `first`: it was held back until now and has never been
    published. `waiting_ms`: since when it waits."""

    task_queue: TaskQueue
    first: bool
    waiting_ms: int
    now_ms: int


StartAnswer: TypeAlias = Started | Attached | StartRefused | Full
AppendAnswer: TypeAlias = Appended | Duplicate | NotOpen | Full
CommitAnswer: TypeAlias = Committed | Stale | Refused
BeginAnswer: TypeAlias = Begun | AlreadyRunning | AlreadyDone | Gone
FinishAnswer: TypeAlias = Finished | RetryAt | Gone


# The port, by right -------------------------------------------------------------------------------


class RunStore(Protocol):
    """Starts, reads, commits and ends runs."""

    async def start(self, start: StartRun) -> StartAnswer:
        """Make a run by the table in `start`. A new run has event 1, an inbox entry `FirstTask`, a
        row in `wakeups` (called, or held back) and, with a time-out, one in `timers`."""
        ...

    async def append(self, append: Append) -> AppendAnswer:
        """Add an inbox entry. Wakes only if there was no row in `wakeups`, or one held back by a
        start delay."""
        ...

    async def sync(
        self,
        workflow_id: WorkflowId,
        *,
        task_timeout_ms: int,
        count_attempt: bool,
        entries_max: int = INBOX_PAGE_ENTRIES,
    ) -> Synced | None:
        """Read head and inbox before a workflow task; None when there is no such workflow id."""
        ...

    async def extend(self, workflow_id: WorkflowId, *, task_timeout_ms: int) -> None:
        """Move the row of a task that is still being worked on; no effect when there is none."""
        ...

    async def hand_back(
        self,
        workflow_id: WorkflowId,
        *,
        delay_ms: int,
        attempt: int | None = None,
        problem: str | None = None,
    ) -> None:
        """Offer a run again after `delay_ms`, to any worker. With `attempt` the counter goes back
        to that number, so that what was not tried is not counted; `problem` is shown until the
        next commit."""
        ...

    async def commit(self, transition: Transition) -> CommitAnswer:
        """Write one transition. A close deletes inbox, row and attempts and arms `after_close`."""
        ...

    async def fail_task(self, failure: TaskFailure) -> Committed | Stale:
        """Record a failed task: the failures count up, the attempts become those of `failure`, the
        row is scored to the back-off, and the inbox stays."""
        ...

    async def force_close(self, close: ForcedClose) -> Closed | NotOpen:
        """End a run whose code is not asked."""
        ...

    async def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> RunView | None:
        """A run (None: the newest) as stored; None when there is none or retention took it."""
        ...

    async def ending(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Ending | None:
        """Whether and how a run (None: the newest) has ended, by one read of a run that is named;
        None when there is none or retention took it."""
        ...

    def history(
        self, workflow_id: WorkflowId, run_id: RunId, *, after: int = 0
    ) -> AsyncIterator[Sequence[HistoryEvent]]:
        """Events after number `after`, in order, in pages.

        Raises:
            MalformedMessageError: an event this release cannot read.
        """
        ...

    async def update(
        self,
        workflow_id: WorkflowId,
        run_id: RunId | None,
        update_id: UpdateId,
        *,
        operation_id: OperationId | None = None,
    ) -> UpdateView | None:
        """How far an update of a run (None: the newest) has come; None when there is no such run.
        `operation_id` is the one that brought it. A closed status is never older than the rest."""
        ...

    async def event(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: int
    ) -> HistoryEvent | None:
        """One event of a history."""
        ...


class ActivityStore(Protocol):
    """The life of attempts."""

    async def begin(self, begin: BeginAttempt) -> BeginAnswer:
        """Scheduled → running; one attempt begins once. The same token again gives the same
        answer. A detached attempt is nobody's to begin: it is gone."""
        ...

    async def heartbeat(self, beat: Heartbeat) -> Beaten | Gone:
        """Keep an attempt alive."""
        ...

    async def finish(self, finish: FinishAttempt) -> FinishAnswer:
        """End an attempt. A finish whose attempt is still scheduled under its key and number is
        taken (its begin was lost); the same again gives the same answer. The end of a standalone
        activity closes its run, and nobody is called."""
        ...

    async def cancel_standalone(self, cancel: CancelStandalone) -> CancelAsked | NotOpen:
        """Ask a standalone activity to end, or end it where nobody runs it."""
        ...

    async def redispatch(self, redispatch: Redispatch) -> Redispatched | Gone:
        """Make a due attempt ready to be published."""
        ...

    async def postpone(self, name: AttemptName, *, due_in_ms: int) -> None:
        """Move an attempt's row; no effect when the attempt is another one by now."""
        ...

    async def dispatch_now(self, shards: Sequence[ShardId]) -> int:
        """Score the rows of all attempts that nobody has begun to now; the number of rows moved."""
        ...

    async def adjust(self, adjust: AdjustAttempt) -> Adjusted | Gone:
        """Pause, unpause, reset or change an activity that has not ended. The same again finds it
        so."""
        ...

    async def record(
        self, workflow_id: WorkflowId, run_id: RunId, event_id: EventId
    ) -> AttemptRecord | None:
        """One activity's record."""
        ...

    async def records(self, workflow_id: WorkflowId, run_id: RunId) -> Sequence[AttemptRecord]:
        """All records of a run, by event id."""
        ...


class DutyStore(Protocol):
    """What the engine's duties look for and move."""

    async def due(self, shards: Sequence[ShardId], *, limit: int) -> Sequence[Due]:
        """Due rows of each shard, in one round trip, in the order of `shards`."""
        ...

    async def repeat_wakeup(self, workflow_id: WorkflowId) -> Repeat | None:
        """Take up a due row of `wakeups`: score it to its next repeat, clear the sticky owner."""
        ...

    async def wake_now(self, shards: Sequence[ShardId], task_queues: Sequence[TaskQueue]) -> int:
        """Score all called rows of these queues to now; the number of rows moved."""
        ...

    async def fire_timer(self, row: DueRow) -> Appended | NotOpen | None:
        """A due timer becomes an inbox entry; None when its row is gone or not due."""
        ...

    async def move_row(self, row: DueRow, *, due_in_ms: int) -> DueRow | None:
        """Move a row on, and have it alone until then; None: it has moved or gone meanwhile."""
        ...

    async def row(
        self, kind: DueKind, workflow_id: WorkflowId, run_id: RunId, event_id: EventId
    ) -> DueRow | None:
        """A row of `timers`; None when there is none."""
        ...

    async def answer(self, answer: Answer) -> Appended | NotOpen | None:
        """What another workflow answered becomes an inbox entry; None when nobody waits for it."""
        ...

    async def after_close_done(self, row: DueRow, *, retention_ms: int) -> None:
        """Drop what a closed run still has in `timers` but its acts on other workflows, which are
        done all the same; arm its retention, remove the row."""
        ...

    async def delete_run(self, row: DueRow) -> bool:
        """Remove a closed run and its keys; head, inbox and seen ids only if it is the newest."""
        ...

    async def join(self, process: ProcessName) -> Sequence[ProcessName]:
        """Renew this process's membership among those that share the shards; all members,
        sorted."""
        ...

    async def leave(self, process: ProcessName) -> None:
        """End this process's membership."""
        ...


class Store(
    RunStore,
    ActivityStore,
    RateStore,
    ConcurrencyStore,
    DutyStore,
    PresenceStore,
    VisibilityStore,
    Protocol,
):
    """Everything. `shards` is the number the namespace was made with."""

    @property
    def shards(self) -> int:
        """The number of shards."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether the store answers, as far as is known without asking."""
        ...

    async def open(self) -> None:
        """Connect, check the server, and compare the namespace's settings.

        Raises:
            UnavailableError: no answer within 5 s.
            MisconfiguredError: the server evicts, is too old, or the namespace's settings differ.
        """
        ...

    async def close(self) -> None:
        """Disconnect; calls under way fail."""
        ...
