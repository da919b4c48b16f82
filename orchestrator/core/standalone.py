"""An activity without a workflow: from a wish to its start, from an attempt's end to its close.

It is a run of its own kind. Its history is the start, `ActivityTaskScheduled`, a request to cancel
if there was one, how the last attempt began, and its outcome; no workflow task stands between them,
because nothing has to be decided that the end of an attempt does not say.
"""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec.structs import replace

from orchestrator.core.attempts import AttemptFacts, RunFacts, task_of
from orchestrator.core.standalone_records import (
    SCHEDULED_EVENT_ID,
    CancelStandalone,
    StandaloneActivity,
    StandaloneEnd,
)
from orchestrator.core.start import StartOptions, start_of
from orchestrator.core.timeouts import first_due_at_ms
from orchestrator.core.transition import StartRun
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.ids import (
    ActivityKey,
    Namespace,
    RunId,
    WorkflowId,
    check_name,
    check_task_queue,
    check_text,
    standalone_workflow_id,
)
from orchestrator.limits import DURATION_MS_MAX, SUMMARY_BYTES_MAX
from orchestrator.wire.events import (
    ActivityTaskScheduled,
    ActivityTaskStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
)
from orchestrator.wire.inbox import (
    ActivityCanceled,
    ActivityCompleted,
    ActivityFailed,
    ActivityOutcome,
    ActivityTimedOut,
    AttemptStarted,
)
from orchestrator.wire.options import (
    DEFAULT_RETRY,
    NO_PRIORITY,
    Conflict,
    Priority,
    RetryOptions,
    Reuse,
    RunStatus,
)
from orchestrator.wire.payload import Header, Payload
from orchestrator.wire.search_attributes import SearchAttributes
from orchestrator.wire.tasks import ActivityTask


class StandaloneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a start of an activity asks for. `request_id` becomes the run id. Times are durations,
    and run from the end of `start_delay_ms`; at least one of the two close time-outs is given."""

    activity_id: str
    activity_type: str
    task_queue: str
    request_id: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    reuse: Reuse = Reuse.ALLOW_DUPLICATE
    conflict: Conflict = Conflict.FAIL
    schedule_to_close_timeout_ms: int | None = None
    schedule_to_start_timeout_ms: int | None = None
    start_to_close_timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    start_delay_ms: int = 0
    retry_policy: RetryOptions | None = None
    search_attributes: SearchAttributes = {}
    summary: str = ""
    priority: Priority = NO_PRIORITY
    identity: str = ""


def standalone_start_of(options: StandaloneOptions, *, key: ActivityKey, now_ms: int) -> StartRun:
    """The start that `options` ask for; `key` is fresh and random.

    Raises:
        InvalidNameError: an id, type or queue cannot be one, or the summary is too long.
        RPCError: INVALID_ARGUMENT, a close time-out is missing, a time is not positive or over 100
            years, or a search attribute is none.
    """
    scheduled = _scheduled(options)
    wish = StartOptions(
        workflow_id=options.activity_id,
        workflow_type=scheduled.activity_type,
        task_queue=scheduled.task_queue,
        request_id=options.request_id,
        reuse=options.reuse,
        conflict=options.conflict,
        start_delay_ms=options.start_delay_ms,
        search_attributes=options.search_attributes,
        identity=options.identity,
    )
    start = start_of(wish, now_ms=now_ms)
    activity = StandaloneActivity(
        scheduled=scheduled,
        key=key,
        due_in_ms=first_due_at_ms(scheduled, now_ms=0),
        delay_ms=options.start_delay_ms,
        deadline_in_ms=scheduled.schedule_to_close_timeout_ms,
    )
    return replace(
        start,
        workflow_id=standalone_workflow_id(options.activity_id),
        run=replace(start.run, standalone=activity),
    )


def first_task_of(namespace: Namespace, start: StartRun, *, now_ms: int) -> ActivityTask | None:
    """The task of the first attempt of what `start` has made at `now_ms`; None: it is delayed."""
    activity = start.run.standalone
    if activity is None or activity.delay_ms:
        return None
    run = RunFacts(
        namespace=namespace,
        workflow_id=start.workflow_id,
        run_id=start.run.run_id,
        workflow_type=start.run.started.workflow_type,
        task_queue=start.run.started.task_queue,
    )
    facts = AttemptFacts(
        event_id=SCHEDULED_EVENT_ID,
        key=activity.key,
        attempt=1,
        scheduled_at_ms=now_ms,
        attempt_scheduled_at_ms=now_ms,
    )
    return task_of(run, activity.scheduled, facts)


def end_of(outcome: ActivityOutcome) -> StandaloneEnd:
    """The close of a standalone activity by the outcome of its last attempt."""
    begun = outcome.started
    match outcome:
        case ActivityCompleted(result=result):
            return _end(RunStatus.COMPLETED, WorkflowExecutionCompleted(result=result), begun)
        case ActivityFailed(failure=failure, retry_outcome=retry):
            failed = WorkflowExecutionFailed(failure=failure, retry_outcome=retry)
            return _end(RunStatus.FAILED, failed, begun)
        case ActivityTimedOut(failure=failure, retry_outcome=retry):
            failed = WorkflowExecutionFailed(failure=failure, retry_outcome=retry)
            return _end(RunStatus.TIMED_OUT, failed, begun)
        case ActivityCanceled(details=details):
            return _end(RunStatus.CANCELED, WorkflowExecutionCanceled(details=details), begun)
        case _ as unknown:
            assert_never(unknown)


def cancel_of(
    workflow_id: WorkflowId, run_id: RunId, *, reason: str, identity: str
) -> CancelStandalone:
    """A request to end a standalone activity."""
    return CancelStandalone(
        workflow_id=workflow_id,
        run_id=run_id,
        requested=WorkflowExecutionCancelRequested(reason=reason, identity=identity),
        end=_end(RunStatus.CANCELED, WorkflowExecutionCanceled(), None),
    )


def _end(
    status: RunStatus,
    closing: WorkflowExecutionCompleted | WorkflowExecutionFailed | WorkflowExecutionCanceled,
    begun: AttemptStarted | None,
) -> StandaloneEnd:
    if begun is None:
        return StandaloneEnd(status=status, closing=closing)
    started = ActivityTaskStarted(
        scheduled_event_id=SCHEDULED_EVENT_ID,
        identity=begun.identity,
        attempt=begun.attempt,
        last_failure=begun.last_failure,
    )
    return StandaloneEnd(
        status=status, closing=closing, started=started, started_at_ms=begun.time_ms
    )


def _scheduled(options: StandaloneOptions) -> ActivityTaskScheduled:
    to_close_ms = _positive_ms("schedule_to_close_timeout", options.schedule_to_close_timeout_ms)
    one_ms = _positive_ms("start_to_close_timeout", options.start_to_close_timeout_ms)
    if to_close_ms is None and one_ms is None:
        raise _invalid("an activity needs start_to_close_timeout or schedule_to_close_timeout")
    to_start_ms = options.schedule_to_start_timeout_ms
    retries = options.retry_policy
    return ActivityTaskScheduled(
        activity_id=check_name("activity id", options.activity_id),
        activity_type=check_name("activity type", options.activity_type),
        task_queue=check_task_queue(options.task_queue),
        input=options.input,
        header=options.header,
        retry_policy=DEFAULT_RETRY if retries in (None, DEFAULT_RETRY) else retries,
        summary=check_text("summary", options.summary, bytes_max=SUMMARY_BYTES_MAX),
        priority=NO_PRIORITY if options.priority == NO_PRIORITY else options.priority,
        schedule_to_close_timeout_ms=to_close_ms,
        schedule_to_start_timeout_ms=_positive_ms("schedule_to_start_timeout", to_start_ms),
        start_to_close_timeout_ms=one_ms,
        heartbeat_timeout_ms=_positive_ms("heartbeat_timeout", options.heartbeat_timeout_ms),
    )


def _positive_ms(name: str, value_ms: int | None) -> int | None:
    if value_ms is not None and not 1 <= value_ms <= DURATION_MS_MAX:
        raise _invalid(f"{name}: expected 1 to {DURATION_MS_MAX} ms, found {value_ms}")
    return value_ms


def _invalid(message: str) -> RPCError:
    return RPCError(message, RPCStatusCode.INVALID_ARGUMENT)
