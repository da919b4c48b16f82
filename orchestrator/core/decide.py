"""From an activation to its commits: news, task events and commands, cut into parts that fit.

The first part consumes the inbox and holds the task's own events; a large task goes on in further
parts, each under the token the one before wrote. The close is in the last part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from msgspec.structs import replace

from orchestrator.core.command_handlers import Wishes, handle
from orchestrator.core.fold import apply
from orchestrator.core.history_size import suggests_continue_as_new
from orchestrator.core.intake import Intake
from orchestrator.core.patches import patch_ids
from orchestrator.core.properties import properties_change
from orchestrator.core.state import ExecutionState, started_of
from orchestrator.core.transition import TaskFailure, Transition
from orchestrator.ids import CommitToken, EventId, Mark
from orchestrator.limits import (
    COMMIT_BYTES_MAX,
    COMMIT_COMMANDS_MAX,
    CRASHES_BEFORE_PARKING,
    PROBLEM_STACK_CHARS_MAX,
    TASK_BACKOFF_INITIAL_MS,
    TASK_BACKOFF_MAX_MS,
)
from orchestrator.wire import codec
from orchestrator.wire import events as e
from orchestrator.wire.commands import AcceptUpdate, Command
from orchestrator.wire.events import EventAttributes, HistoryEvent
from orchestrator.wire.failure import Failure, ServerFailure

LOOP_VERSION = 1
"""The rules of the durable loop of this release. Written into each task; one who meets a higher
version leaves the run to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One workflow task: who does it, at which time, on which commit it builds."""

    identity: str
    now_ms: int
    token: CommitToken
    consumed_to: int
    consumed_mark: Mark | None
    attempt: int = 1
    """1 and the failures recorded since the last commit."""
    history_bytes: int = 0
    """Of everything before this task's own events."""
    sticky: str | None = None
    unseen_messages: int = 0
    """More than 0 forces a close that would leave so many messages unread."""
    local_activities: int = 0
    """Local activities that run on beyond this task: the run stays in its worker's hands."""
    python: str = ""
    sdk_version: str = ""
    build_id: str = ""
    loop_version: int = LOOP_VERSION


def activation_time_ms(state: ExecutionState, news: Intake, *, estimate_ms: int) -> int:
    """The time that workflow code sees: never before the previous activation or the newest
    entry."""
    newest = news.events[-1].time_ms if news.events else 0
    return max(state.last_time_ms, newest, estimate_ms)


def decide(
    state: ExecutionState,
    news: Intake,
    commands: Sequence[Command],
    task: Task,
    *,
    mint: Callable[[], str],
) -> tuple[Transition, ...]:
    """The commits of one activation, in order; `state` is advanced by all of them.

    `news` was taken in before. `mint` gives fresh random texts for tokens, keys and run ids.
    """
    start = state.last_event_id - len(news.events) + 1
    events = [*news.events, *_open_task(state, task)]
    completed = e.WorkflowTaskCompleted(
        scheduled_event_id=state.last_event_id - 1,
        started_event_id=state.last_event_id,
        identity=task.identity,
        loop_version=task.loop_version,
        python=task.python,
        sdk_version=task.sdk_version,
        build_id=task.build_id,
        command_count=len(commands),
        patches=patch_ids(commands),
        local_activities=task.local_activities,
    )
    events.append(_append(state, completed, time_ms=task.now_ms))
    return _parts(state, commands, task, mint=mint, first=start, head=events, news=news)


def consume(
    state: ExecutionState, news: Intake, task: Task, *, mint: Callable[[], str]
) -> Transition:
    """The commit of entries that all dropped out, or were updates that were not let in: nothing
    happened, but they were looked at."""
    return Transition(
        workflow_id=state.workflow_id,
        run_id=state.run_id,
        token=task.token,
        new_token=CommitToken(mint()),
        first_event_id=EventId(state.last_event_id + 1),
        consumed_to=task.consumed_to,
        consumed_mark=task.consumed_mark,
        resolved=tuple(news.resolved),
        answers=tuple(news.answers),
        sticky=task.sticky,
    )


def decide_rest(
    state: ExecutionState,
    commands: Sequence[Command],
    task: Task,
    *,
    mint: Callable[[], str],
) -> tuple[Transition, ...]:
    """The commits that a task still lacks whose worker stopped between two parts."""
    first = state.last_event_id + 1
    return _parts(state, commands, task, mint=mint, first=first, head=[], news=Intake())


def fail_task(
    state: ExecutionState,
    task: Task,
    *,
    cause: e.WorkflowTaskFailureCause,
    failure: Failure,
    mint: Callable[[], str],
) -> TaskFailure:
    """The record of a task that could not be done. Only a first attempt leaves events, so that a
    run that fails for days does not grow."""
    first = state.last_event_id + 1
    events: list[HistoryEvent] = []
    if task.attempt <= 1:
        events = _open_task(state, task)
        failed = e.WorkflowTaskFailed(
            scheduled_event_id=state.last_event_id - 1,
            started_event_id=state.last_event_id,
            cause=cause,
            failure=failure,
            identity=task.identity,
        )
        events.append(_append(state, failed, time_ms=task.now_ms))
    return TaskFailure(
        workflow_id=state.workflow_id,
        run_id=state.run_id,
        token=task.token,
        new_token=CommitToken(mint()),
        first_event_id=EventId(first),
        events=tuple(events),
        backoff_ms=task_backoff_ms(task.attempt),
        problem=_problem(cause, failure),
    )


def words_of(cause: e.WorkflowTaskFailureCause, failure: Failure) -> str:
    """The failure in one line. Only an error that user code raised is told with its type: what is
    raised here says what it is."""
    is_by_user = cause is e.WorkflowTaskFailureCause.WORKFLOW_CODE
    return failure.text if is_by_user else failure.message


def _problem(cause: e.WorkflowTaskFailureCause, failure: Failure) -> str:
    """What a person reads of it; where code of the user's went wrong, that is half of the news."""
    is_of_code = cause in (
        e.WorkflowTaskFailureCause.WORKFLOW_CODE,
        e.WorkflowTaskFailureCause.BLOCKED,
    )
    words = f"{cause.value}: {words_of(cause, failure)}"
    if not is_of_code or not failure.stack_trace:
        return words
    return f"{words}\n{failure.stack_trace[-PROBLEM_STACK_CHARS_MAX:]}"


def park(
    state: ExecutionState, task: Task, *, reason: str, crashes: int, mint: Callable[[], str]
) -> TaskFailure:
    """The record of a task that takes its worker down: the run rests as long as a run ever does.

    Most of its `crashes` stay counted: the next attempt is again made alone first, and one more
    crash parks it again.
    """
    cause = e.WorkflowTaskFailureCause.CRASHED
    failure = Failure(message=reason, detail=ServerFailure())
    return replace(
        fail_task(state, task, cause=cause, failure=failure, mint=mint),
        backoff_ms=TASK_BACKOFF_MAX_MS,
        problem=f"STALLED: {reason}",
        attempt=min(crashes, CRASHES_BEFORE_PARKING - 2),
    )


def task_backoff_ms(attempt: int) -> int:
    """How long a task rests after its failed attempt number `attempt`: 1 s doubling to 10 min."""
    doublings = min(max(attempt, 1) - 1, 20)
    return min(TASK_BACKOFF_INITIAL_MS << doublings, TASK_BACKOFF_MAX_MS)


def _open_task(state: ExecutionState, task: Task) -> list[HistoryEvent]:
    scheduled = e.WorkflowTaskScheduled(
        task_queue=started_of(state).task_queue, attempt=max(task.attempt, 1)
    )
    suggested = suggests_continue_as_new(state, history_bytes=task.history_bytes)
    begun = e.WorkflowTaskStarted(
        scheduled_event_id=state.last_event_id + 1,
        identity=task.identity,
        history_bytes=task.history_bytes,
        continue_as_new_suggested=suggested,
    )
    return [_append(state, one, time_ms=task.now_ms) for one in (scheduled, begun)]


def _append(state: ExecutionState, attributes: EventAttributes, *, time_ms: int) -> HistoryEvent:
    event = HistoryEvent(event_id=state.last_event_id + 1, time_ms=time_ms, attributes=attributes)
    apply(state, event)
    return event


def _parts(
    state: ExecutionState,
    commands: Sequence[Command],
    task: Task,
    *,
    mint: Callable[[], str],
    first: int,
    head: list[HistoryEvent],
    news: Intake,
) -> tuple[Transition, ...]:
    parts: list[Transition] = []
    token, left = task.token, list(commands)
    while left or not parts:
        wishes, memo, attributes = Wishes(), state.memo, state.search_attributes
        taken = _take(state, left, wishes, task, mint=mint)
        left = left[taken:]
        new_token = CommitToken(mint())
        opening = not parts
        parts.append(
            Transition(
                workflow_id=state.workflow_id,
                run_id=state.run_id,
                token=token,
                new_token=new_token,
                first_event_id=EventId(first),
                events=(*(head if opening else ()), *wishes.events),
                consumed_to=task.consumed_to,
                consumed_mark=task.consumed_mark if opening and head else None,
                resolved=tuple(news.resolved) if opening else (),
                activities=tuple(wishes.activities),
                cancels=tuple(wishes.cancels),
                timers=tuple(wishes.timers),
                disarm=tuple(wishes.disarm),
                updates=tuple(wishes.updates),
                answers=tuple(news.answers) if opening else (),
                properties=properties_change(state, memo, attributes),
                sticky=task.sticky,
                unfinished=wishes.close is None and bool(left or task.local_activities),
                close=wishes.close,
            )
        )
        token, first = new_token, state.last_event_id + 1
    return tuple(parts)


def _take(
    state: ExecutionState,
    commands: Sequence[Command],
    wishes: Wishes,
    task: Task,
    *,
    mint: Callable[[], str],
) -> int:
    """Handle as many commands as fit into one commit, at least one; the number of them.

    Updates that are let in come first and go into one commit whatever their number, as all news do:
    it consumes the entries that brought them.
    """
    size_bytes = 0
    let_in = takewhile(lambda command: isinstance(command, AcceptUpdate), commands)
    least = sum(1 for _ in let_in) or 1
    most = max(least, COMMIT_COMMANDS_MAX)
    for taken, command in enumerate(commands[:most]):
        size_bytes += len(codec.encode(command))
        if taken >= least and size_bytes > COMMIT_BYTES_MAX:
            return taken
        handle(
            state,
            command,
            wishes,
            now_ms=task.now_ms,
            unseen_messages=task.unseen_messages,
            mint=mint,
        )
    return min(len(commands), most)
