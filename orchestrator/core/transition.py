"""What one script writes: the outcomes of pure code, ready to be stored all together or not at all.

Everything here was decided before the store is called. Where the outcome depends on what only the
store can see, the alternatives stand side by side and the store picks one by a test named in the
field's description. Durations are relative to the store's clock, points in time are its epoch.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from orchestrator.core.properties import PropertiesChange
from orchestrator.core.standalone_records import StandaloneActivity
from orchestrator.ids import (
    ActivityKey,
    AttemptToken,
    CommitToken,
    EventId,
    Mark,
    OperationId,
    ProcessName,
    RunId,
    TaskQueue,
    UpdateId,
    WorkflowId,
)
from orchestrator.wire.events import (
    HistoryEvent,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import (
    ActivityCanceled,
    ActivityOutcome,
    InboxBody,
    RelationAnswer,
    SignalReceived,
    UpdateReceived,
)
from orchestrator.wire.messages import UpdateReply
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload


class DueKind(Enum):
    """What is due in `timers`."""

    TIMER = "timer"
    ACTIVITY = "activity"
    CHILD = "child"
    """A child that is not known to exist is to be started (again)."""
    CHILD_WATCH = "child_watch"
    """A child that is known to exist is looked at."""
    EXTERNAL = "external"
    """A signal to another workflow, or a request to cancel one, is to be delivered (again)."""
    RUN_TIMEOUT = "run_timeout"
    AFTER_CLOSE = "after_close"
    RETENTION = "retention"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen and keyword-only; these never travel."""


class NewRun(_Record, frozen=True, kw_only=True):
    """A run to be made: its first event, whose time the store sets to now.

    `run_timeout_ms` is the nearest of run and chain time-out, relative to now;
    `first_task_delay_ms` holds the first workflow task back. A message ends a start delay at once;
    a back-off (`is_backoff`: of a retry, of a schedule, asked for by continue-as-new) is ended by a
    request to cancel only.
    """

    run_id: RunId
    started: WorkflowExecutionStarted
    run_timeout_ms: int | None = None
    first_task_delay_ms: int = 0
    is_backoff: bool = False
    standalone: StandaloneActivity | None = None
    """The run is this one activity: no workflow code, so no inbox entry and no wake-up."""


class StartMessage(_Record, frozen=True, kw_only=True):
    """A signal or update that goes with a start, in the same write, to whichever run answers it.

    A run that is made has it beside its first task. An open run that is used gets it unless
    `operation_id` was seen. An update whose id the newest run knows is there already: no policy is
    asked if that run is open, or has completed the update.
    """

    body: SignalReceived | UpdateReceived
    operation_id: OperationId


class StartRun(_Record, frozen=True, kw_only=True):
    """Make `run`, or do what the policies say; the store looks up which.

    A run with this run id exists: nothing is written, that run is the answer. A run is open: refuse
    (both fields below unset), answer with it (`attach`), or close it with `terminate` and start.
    The newest run is closed: start if `after_completed` (it completed or continued) or
    `after_failed` (any other end) says so. None was there: start.
    """

    workflow_id: WorkflowId
    run: NewRun
    attach: bool = False
    terminate: WorkflowExecutionTerminated | None = None
    after_completed: bool = True
    after_failed: bool = True
    message: StartMessage | None = None
    remember_refusal: bool = False
    """A refusal stands under this run id: the same start is refused again for as long as a closed
    run is kept, whatever becomes of the run that was in its way."""
    only_refuse: bool = False
    """Make no run; unless there is one of this run id, refuse."""


class Append(_Record, frozen=True, kw_only=True):
    """Put an entry into the inbox of the newest run.

    Refused when the newest run is closed, is not `run_id` (when given), or was not begun by
    `first_run_id` (when given). An `operation_id` that was seen is answered without a write.
    `message` marks signals and updates: a close must have seen them.
    """

    workflow_id: WorkflowId
    body: InboxBody
    operation_id: OperationId | None = None
    run_id: RunId | None = None
    first_run_id: RunId | None = None
    message: bool = False


class ActivityToSchedule(_Record, frozen=True, kw_only=True):
    """A record for a scheduled activity, and the row of its nearest deadline (epoch)."""

    event_id: EventId
    key: ActivityKey
    scheduled_at_ms: int
    due_at_ms: int
    deadline_ms: int | None = None
    """Schedule-to-close as a point in time: no retry begins after it."""


class ActivityToCancel(_Record, frozen=True, kw_only=True):
    """Nobody runs it (scheduled, backing off): the record goes and `entry` enters the inbox.
    Running: the record is marked and its holder told. Done or gone: nothing."""

    event_id: EventId
    entry: ActivityCanceled


class TimerToArm(_Record, frozen=True, kw_only=True):
    """A row for a timer, or for an act on another workflow."""

    event_id: EventId
    fire_at_ms: int
    kind: DueKind = DueKind.TIMER


class UpdateStage(_Record, frozen=True, kw_only=True):
    """How far an update has come; stands beside history as long as that does."""

    update_id: UpdateId
    accepted_event_id: EventId
    completed_event_id: EventId | None = None


class UpdateAnswer(_Record, frozen=True, kw_only=True):
    """For whoever waits for an update that was not let in; kept for a minute."""

    operation_id: OperationId
    reply: UpdateReply


class Close(_Record, frozen=True, kw_only=True):
    """The run ends with the last event of the transition.

    Unless `forced` (as continue-as-new always is), the store refuses while there are messages the
    transition has not consumed, and writes nothing. A successor is made in the same write.
    """

    status: RunStatus
    forced: bool = False
    successor: NewRun | None = None
    nothing_left: bool = False
    """No timer, activity or child is pending, and no parent is to be told: the store does at once
    what otherwise `after_close` would do later, so that an ordinary end costs one write."""
    keep_inbox: bool = False
    """What is unread stays for the successor. Otherwise it goes with the run."""


class Transition(_Record, frozen=True, kw_only=True):
    """One commit of one run.

    The store compares `token`; that the run is open; and, when entries were consumed, that entry
    `consumed_to` is still there under `consumed_mark`. Then it writes everything, or nothing.
    `consumed_to` is the number of the last entry looked at, unchanged from the head when none was.
    """

    workflow_id: WorkflowId
    run_id: RunId
    token: CommitToken
    new_token: CommitToken
    first_event_id: EventId
    events: tuple[HistoryEvent, ...] = ()
    consumed_to: int
    consumed_mark: Mark | None = None
    resolved: tuple[EventId, ...] = ()
    """Activities whose outcome was consumed: their records go."""
    activities: tuple[ActivityToSchedule, ...] = ()
    cancels: tuple[ActivityToCancel, ...] = ()
    timers: tuple[TimerToArm, ...] = ()
    disarm: tuple[EventId, ...] = ()
    updates: tuple[UpdateStage, ...] = ()
    answers: tuple[UpdateAnswer, ...] = ()
    """Whoever waits for one of these is told, as they are of a close."""
    sticky: str | None = None
    """Whose own queue gets the next wake-ups."""
    properties: PropertiesChange | None = None
    unfinished: bool = False
    """More commands of this task follow in a further commit, or local activities run on; the row
    in `wakeups` stays."""
    close: Close | None = None


class TaskFailure(_Record, frozen=True, kw_only=True):
    """A failed workflow task: consumes nothing, and is tried again after `backoff_ms`.

    `events` is empty for a repeated failure of the same kind. `problem` is what a person reads.
    `attempt` is what the attempt counter becomes: a run that is parked keeps its crashes in mind.
    """

    workflow_id: WorkflowId
    run_id: RunId
    token: CommitToken
    new_token: CommitToken
    first_event_id: EventId
    events: tuple[HistoryEvent, ...]
    backoff_ms: int
    problem: str
    attempt: int = 0


class ForcedClose(_Record, frozen=True, kw_only=True):
    """End a run without its token: terminate, run time-out.

    The store takes the next event id itself. `run_id` None means the newest run. With
    `due_only` (a time-out) the store refuses until the run's own row is due, with
    `expected_last_event_id` when the history has grown since. A successor gets what is unread.
    """

    workflow_id: WorkflowId
    event: WorkflowExecutionTerminated | WorkflowExecutionTimedOut
    status: RunStatus
    run_id: RunId | None = None
    first_run_id: RunId | None = None
    successor: NewRun | None = None
    due_only: bool = False
    expected_last_event_id: EventId | None = None


class AttemptName(_Record, frozen=True, kw_only=True):
    """Names one attempt: everything that begins, beats or ends it compares all of it."""

    workflow_id: WorkflowId
    run_id: RunId
    event_id: EventId
    key: ActivityKey
    attempt: int


class BeginAttempt(_Record, frozen=True, kw_only=True):
    """Scheduled → running, before user code is entered.

    `due_in_ms` is the nearest of start-to-close, heartbeat and, for a delivery that is acknowledged
    early, the first question to its holder; the store takes the earlier of it and the record's
    schedule-to-close. With `take_over` the attempt named by it is lost and a new one begins: the
    store compares that token and counts the attempt up. `limits` are the concurrency limits under
    which it has a place.
    """

    name: AttemptName
    token: AttemptToken
    holder: ProcessName
    due_in_ms: int | None
    take_over: AttemptToken | None = None
    limits: tuple[str, ...] = ()


class Retry(_Record, frozen=True, kw_only=True):
    """Try again after `delay_ms`, unless a cancel is asked or the deadline would have passed."""

    delay_ms: int
    failure: Failure


class FinishAttempt(_Record, frozen=True, kw_only=True):
    """The end of an attempt, with both outcomes.

    The store takes `retry` if it is set, no cancel is asked and now + delay is before the record's
    deadline; otherwise `entry` goes into the inbox and the record is `done` until a commit consumes
    it. `token` None: no attempt had begun. `due_only`: a time-out, refused until its row is due.
    `after_reset` stands for `retry` where the activity was reset while the attempt ran: the next
    one is number 1. `waiting_too`: taken as well while the activity waits for its next attempt;
    `token` is then this end's own name.
    """

    name: AttemptName
    token: AttemptToken | None
    entry: ActivityOutcome
    retry: Retry | None = None
    after_reset: Retry | None = None
    due_only: bool = False
    waiting_too: bool = False


class Heartbeat(_Record, frozen=True, kw_only=True):
    """A sign of life, with details for the next attempt; moves the row on by `due_in_ms`.

    With `detach` the attempt goes on without its holder, until it is ended from outside or its time
    is over: nobody takes it over.
    """

    name: AttemptName
    token: AttemptToken
    details: tuple[Payload, ...] | None
    due_in_ms: int | None
    detach: bool = False


class Redispatch(_Record, frozen=True, kw_only=True):
    """A due attempt is to be published (again): its record becomes `attempt`, scheduled.

    `token` is the one read (None unless it was running and its holder is lost). The store checks
    that record and row are still as read.
    """

    name: AttemptName
    token: AttemptToken | None
    attempt: int
    due_in_ms: int
    lost: bool = False
    """Count a loss in a row."""


class Answer(_Record, frozen=True, kw_only=True):
    """What another workflow answered goes into the inbox of `run_id`, and the rows that waited for
    it go; both or neither.

    The store looks whether one of the rows `kinds` of `event_id` is there, and with `due_at_ms`
    that it is due then (the answer is of whoever moved it there last). Without any nothing is
    written; without an open run `run_id` only the rows go. With `watch_in_ms` the row that watches
    the child is armed.
    """

    workflow_id: WorkflowId
    run_id: RunId
    event_id: EventId
    body: RelationAnswer
    kinds: tuple[DueKind, ...]
    due_at_ms: int | None = None
    watch_in_ms: int | None = None


class DispatchedTo(_Record, frozen=True, kw_only=True):
    """Where wake-ups of a run go: its worker's own queue while it has one, else the shared one."""

    task_queue: TaskQueue
    sticky: str | None = None
