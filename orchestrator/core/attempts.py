"""The life of one activity attempt: its task, its end, and what a due row of it means.

The task message is made from `ActivityTaskScheduled` and the attempt's facts alone, so that a lost
one can be made again. Ends carry both outcomes: the retry, and the entry for the run; the store
picks one by what only it can see (a cancel, the deadline).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.core.retry import backoff_ms, first_delay_ms, next_delay_ms
from orchestrator.core.timeouts import dispatch_due_in_ms, holds_delivery
from orchestrator.core.transition import AttemptName, FinishAttempt, Retry
from orchestrator.ids import ActivityKey, AttemptToken, EventId, Namespace, RunId, WorkflowId
from orchestrator.limits import ASK_HOLDER_MS, IDLE_POLL_MS, PAUSED_LOOK_MS
from orchestrator.wire.events import ActivityTaskScheduled
from orchestrator.wire.failure import CanceledFailure, Failure, TimeoutFailure
from orchestrator.wire.inbox import (
    ActivityCanceled,
    ActivityCompleted,
    ActivityFailed,
    ActivityTimedOut,
    AttemptStarted,
)
from orchestrator.wire.options import RetryOptions, RetryOutcome, TimeoutKind
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import ActivityTask


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a task says about its workflow."""

    namespace: Namespace
    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    task_queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """What the store knows of an attempt, as far as decisions need it."""

    event_id: EventId
    key: ActivityKey
    attempt: int
    scheduled_at_ms: int
    attempt_scheduled_at_ms: int
    token: AttemptToken | None = None
    started_at_ms: int | None = None
    heartbeat_at_ms: int | None = None
    deadline_ms: int | None = None
    cancel_requested: bool = False
    dispatches: int = 0
    losses: int = 0
    holder: str = ""
    detached: bool = False
    paused: bool = False
    turns: int = 0
    details: tuple[Payload, ...] = ()
    last_failure: Failure | None = None


def task_of(run: RunFacts, scheduled: ActivityTaskScheduled, facts: AttemptFacts) -> ActivityTask:
    """The message that carries this attempt, the same however often it is made."""
    return ActivityTask(
        namespace=run.namespace,
        workflow_id=run.workflow_id,
        workflow_type=run.workflow_type,
        run_id=run.run_id,
        workflow_task_queue=run.task_queue,
        event_id=facts.event_id,
        activity_id=scheduled.activity_id,
        activity_type=scheduled.activity_type,
        task_queue=scheduled.task_queue,
        key=facts.key,
        attempt=facts.attempt,
        input=scheduled.input,
        header=scheduled.header,
        schedule_to_close_timeout_ms=scheduled.schedule_to_close_timeout_ms,
        schedule_to_start_timeout_ms=scheduled.schedule_to_start_timeout_ms,
        start_to_close_timeout_ms=scheduled.start_to_close_timeout_ms,
        heartbeat_timeout_ms=scheduled.heartbeat_timeout_ms,
        retry_policy=scheduled.retry_policy,
        scheduled_at_ms=facts.scheduled_at_ms,
        attempt_scheduled_at_ms=facts.attempt_scheduled_at_ms,
        hold=holds_delivery(scheduled),
        heartbeat_details=facts.details,
        last_failure=facts.last_failure,
        priority=scheduled.priority,
        turns=facts.turns,
    )


def name_of(task: ActivityTask, *, attempt: int | None = None) -> AttemptName:
    """The attempt that `task` carries, or another number of the same activity."""
    return AttemptName(
        workflow_id=WorkflowId(task.workflow_id),
        run_id=RunId(task.run_id),
        event_id=EventId(task.event_id),
        key=ActivityKey(task.key),
        attempt=task.attempt if attempt is None else attempt,
    )


def completed(
    name: AttemptName, token: AttemptToken, started: AttemptStarted, result: Payload | None
) -> FinishAttempt:
    """The attempt returned `result`."""
    entry = ActivityCompleted(
        run_id=name.run_id, scheduled_event_id=name.event_id, started=started, result=result
    )
    return FinishAttempt(name=name, token=token, entry=entry)


def failed(
    name: AttemptName,
    token: AttemptToken,
    started: AttemptStarted,
    failure: Failure,
    policy: RetryOptions,
) -> FinishAttempt:
    """The attempt raised `failure`: tried again as `policy` says, or final."""
    if isinstance(failure.detail, CanceledFailure):
        return canceled(name, token, started, failure.detail.details)
    delay = next_delay_ms(policy, failure, attempt=name.attempt)
    retry = None if isinstance(delay, RetryOutcome) else Retry(delay_ms=delay, failure=failure)
    first = first_delay_ms(policy, failure)
    entry = ActivityFailed(
        run_id=name.run_id,
        scheduled_event_id=name.event_id,
        started=started,
        failure=failure,
        retry_outcome=delay if isinstance(delay, RetryOutcome) else RetryOutcome.TIMEOUT,
    )
    return FinishAttempt(
        name=name,
        token=token,
        entry=entry,
        retry=retry,
        after_reset=None if first is None else Retry(delay_ms=first, failure=failure),
    )


def interrupted(
    name: AttemptName, token: AttemptToken, started: AttemptStarted, failure: Failure
) -> FinishAttempt:
    """The attempt ended because an operator paused or reset the activity: there is another one,
    whatever the policy says."""
    entry = ActivityFailed(
        run_id=name.run_id,
        scheduled_event_id=name.event_id,
        started=started,
        failure=failure,
        retry_outcome=RetryOutcome.TIMEOUT,
    )
    again = Retry(delay_ms=0, failure=failure)
    return FinishAttempt(name=name, token=token, entry=entry, retry=again, after_reset=again)


def canceled(
    name: AttemptName,
    token: AttemptToken,
    started: AttemptStarted,
    details: tuple[Payload, ...] = (),
) -> FinishAttempt:
    """The attempt ended by cancellation."""
    entry = ActivityCanceled(
        run_id=name.run_id, scheduled_event_id=name.event_id, details=details, started=started
    )
    return FinishAttempt(name=name, token=token, entry=entry)


@dataclass(frozen=True, slots=True)
class Expire:
    """A clock ran out: end the attempt by this."""

    finish: FinishAttempt


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Publish attempt number `attempt` (again), and look once more after `due_in_ms`."""

    attempt: int
    due_in_ms: int


@dataclass(frozen=True, slots=True)
class AskHolder:
    """Ask whether the process that holds it lives; if so look again after `due_in_ms`."""

    due_in_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due yet; look again after `due_in_ms`."""

    due_in_ms: int


Scheduled: TypeAlias = ActivityTaskScheduled | ActivityTask
"""What says an activity's time-outs and policy: its event, or its task."""
Verdict: TypeAlias = Expire | Dispatch | AskHolder | Wait


def judge_waiting(
    name: AttemptName, scheduled: ActivityTaskScheduled, facts: AttemptFacts, *, now_ms: int
) -> Verdict:
    """What a due row means for an attempt that nobody has begun."""
    if facts.deadline_ms is not None and now_ms >= facts.deadline_ms:
        return Expire(timed_out(name, scheduled, facts, TimeoutKind.SCHEDULE_TO_CLOSE))
    if facts.paused:
        return Wait(_capped(PAUSED_LOOK_MS, facts, now_ms))
    waited_ms = now_ms - facts.attempt_scheduled_at_ms
    to_start = scheduled.schedule_to_start_timeout_ms
    if to_start is not None and waited_ms >= to_start:
        return Expire(timed_out(name, scheduled, facts, TimeoutKind.SCHEDULE_TO_START))
    due_in_ms = dispatch_due_in_ms(scheduled, waited_ms=waited_ms, repeats=facts.dispatches + 1)
    return Dispatch(facts.attempt, _capped(due_in_ms, facts, now_ms))


def judge_backing_off(
    name: AttemptName, scheduled: ActivityTaskScheduled, facts: AttemptFacts, *, now_ms: int
) -> Verdict:
    """What a due row means for an activity between two attempts: the next one's turn has come.

    The record still holds the number of the attempt that ended.
    """
    if facts.deadline_ms is not None and now_ms >= facts.deadline_ms:
        return Expire(timed_out(name, scheduled, facts, TimeoutKind.SCHEDULE_TO_CLOSE))
    if facts.paused:
        return Wait(_capped(PAUSED_LOOK_MS, facts, now_ms))
    due_in_ms = dispatch_due_in_ms(scheduled, waited_ms=0, repeats=0)
    return Dispatch(facts.attempt + 1, _capped(due_in_ms, facts, now_ms))


def judge_running(
    name: AttemptName,
    scheduled: Scheduled,
    facts: AttemptFacts,
    *,
    now_ms: int,
) -> Verdict:
    """What a due row means for an attempt that somebody runs."""
    if facts.deadline_ms is not None and now_ms >= facts.deadline_ms:
        return Expire(timed_out(name, scheduled, facts, TimeoutKind.SCHEDULE_TO_CLOSE))
    begun_ms = facts.started_at_ms or now_ms
    left_ms: list[int] = [] if facts.detached else [ASK_HOLDER_MS]
    if scheduled.start_to_close_timeout_ms is not None:
        left_ms.append(begun_ms + scheduled.start_to_close_timeout_ms - now_ms)
        if left_ms[-1] <= 0:
            return Expire(timed_out(name, scheduled, facts, TimeoutKind.START_TO_CLOSE))
    if scheduled.heartbeat_timeout_ms is not None:
        beaten_ms = max(begun_ms, facts.heartbeat_at_ms or 0)
        left_ms.append(beaten_ms + scheduled.heartbeat_timeout_ms - now_ms)
        if left_ms[-1] <= 0:
            return Expire(timed_out(name, scheduled, facts, TimeoutKind.HEARTBEAT))
    if facts.detached:
        if facts.deadline_ms is not None:
            left_ms.append(facts.deadline_ms - now_ms)
        return Wait(_capped(min(left_ms, default=ASK_HOLDER_MS), facts, now_ms))
    return AskHolder(_capped(min(left_ms), facts, now_ms))


def may_take_over(task: ActivityTask, facts: AttemptFacts, *, now_ms: int) -> bool:
    """Whether whoever meets the task of a lost attempt may begin the next one at once: the first
    loss in a row, with attempts and time left, and no cancel asked. Else `lost` has to judge."""
    most = task.retry_policy.maximum_attempts
    return (
        facts.losses == 0
        and not facts.paused
        and not facts.cancel_requested
        and (not most or facts.attempt < most)
        and (facts.deadline_ms is None or now_ms < facts.deadline_ms)
    )


def lost(
    name: AttemptName,
    scheduled: ActivityTaskScheduled,
    facts: AttemptFacts,
    *,
    now_ms: int,
    silent_ms: int,
) -> Verdict:
    """What to do when the holder of a running attempt is gone; `silent_ms`: for how long it has
    been asked in vain.

    An activity that was to be cancelled is cancelled. The first loss in a row is made good at once,
    further ones wait out the policy's back-off; at the last attempt the loss is the outcome, once
    the holder was asked for 10 s.
    """
    if facts.cancel_requested:
        return Expire(_canceled_by_loss(name, facts))
    policy = scheduled.retry_policy
    if policy.maximum_attempts and facts.attempt >= policy.maximum_attempts:
        if silent_ms < ASK_HOLDER_MS:
            again_ms = min(IDLE_POLL_MS, ASK_HOLDER_MS - silent_ms)
            return Wait(_capped(again_ms, facts, now_ms))
        return Expire(timed_out(name, scheduled, facts, TimeoutKind.HEARTBEAT))
    begun_ms = facts.started_at_ms or now_ms
    wait_ms = begun_ms + backoff_ms(policy, attempt=facts.attempt) - now_ms
    if facts.losses and wait_ms > 0:
        return Wait(_capped(wait_ms, facts, now_ms))
    due_in_ms = dispatch_due_in_ms(scheduled, waited_ms=0, repeats=0)
    return Dispatch(facts.attempt + 1, _capped(due_in_ms, facts, now_ms))


def _canceled_by_loss(name: AttemptName, facts: AttemptFacts) -> FinishAttempt:
    entry = ActivityCanceled(
        run_id=name.run_id, scheduled_event_id=name.event_id, started=_started(facts)
    )
    return FinishAttempt(name=name, token=facts.token, entry=entry, due_only=True)


def timed_out(
    name: AttemptName, scheduled: Scheduled, facts: AttemptFacts, kind: TimeoutKind
) -> FinishAttempt:
    """The end of an attempt by clock `kind`: start-to-close and heartbeat are retried by the
    policy, the other two are final. The error before it is the cause."""
    failure = Failure(
        message=f"activity {kind.value.replace('_', '-')} time-out",
        detail=TimeoutFailure(timeout=kind, last_heartbeat_details=facts.details),
        cause=facts.last_failure,
    )
    retry: Retry | None = None
    after_reset: Retry | None = None
    outcome = RetryOutcome.TIMEOUT
    if kind in (TimeoutKind.START_TO_CLOSE, TimeoutKind.HEARTBEAT):
        delay = next_delay_ms(scheduled.retry_policy, failure, attempt=facts.attempt)
        if isinstance(delay, RetryOutcome):
            outcome = delay
        else:
            retry = Retry(delay_ms=delay, failure=failure)
        first = first_delay_ms(scheduled.retry_policy, failure)
        after_reset = None if first is None else Retry(delay_ms=first, failure=failure)
    entry = ActivityTimedOut(
        run_id=name.run_id,
        scheduled_event_id=name.event_id,
        failure=failure,
        retry_outcome=outcome,
        started=_started(facts),
    )
    return FinishAttempt(
        name=name,
        token=facts.token,
        entry=entry,
        retry=retry,
        after_reset=after_reset,
        due_only=True,
    )


def _started(facts: AttemptFacts) -> AttemptStarted | None:
    """How the current attempt began, if it has."""
    if facts.started_at_ms is None:
        return None
    return AttemptStarted(
        attempt=facts.attempt,
        time_ms=facts.started_at_ms,
        identity=facts.holder,
        last_failure=facts.last_failure,
    )


def _capped(due_in_ms: int, facts: AttemptFacts, now_ms: int) -> int:
    """Not beyond the activity's own deadline, and not in the past."""
    if facts.deadline_ms is not None:
        due_in_ms = min(due_in_ms, facts.deadline_ms - now_ms)
    return max(0, due_in_ms)
