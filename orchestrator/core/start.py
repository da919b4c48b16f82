"""A wish to start → the table that the store looks up (no run, open, closed well, closed badly →
act).

Temporal's rules: the conflict policy is looked at only while a run is open, the reuse policy only
when the newest run is closed.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from orchestrator.core.chain import new_run
from orchestrator.core.cron import CronScheduleError, next_cron_ms
from orchestrator.core.properties import check_memo
from orchestrator.core.search_attributes import checked
from orchestrator.core.transition import StartRun
from orchestrator.exceptions import (
    InvalidSearchAttributeError,
    PayloadTooLargeError,
    RPCError,
    RPCStatusCode,
)
from orchestrator.ids import (
    RunId,
    check_name,
    check_task_queue,
    check_text,
    check_workflow_id,
)
from orchestrator.limits import (
    DETAILS_BYTES_MAX,
    DURATION_MS_MAX,
    INLINE_ENTRY_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SUMMARY_BYTES_MAX,
    WORKFLOW_TASK_TIMEOUT_MAX_MS,
    WORKFLOW_TASK_TIMEOUT_MS,
)
from orchestrator.wire import codec
from orchestrator.wire.events import (
    ParentExecution,
    RootExecution,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
)
from orchestrator.wire.messages import StartRequest
from orchestrator.wire.options import NO_PRIORITY, Conflict, Priority, RetryOptions, Reuse
from orchestrator.wire.payload import Header, Payload
from orchestrator.wire.search_attributes import SearchAttributes
from orchestrator.wire.tasks import FirstRun


class StartOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a start asks for. `request_id` becomes the run id. Times are durations."""

    workflow_id: str
    workflow_type: str
    task_queue: str
    request_id: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    reuse: Reuse = Reuse.ALLOW_DUPLICATE
    conflict: Conflict = Conflict.FAIL
    execution_timeout_ms: int | None = None
    run_timeout_ms: int | None = None
    task_timeout_ms: int | None = None
    start_delay_ms: int = 0
    retry_policy: RetryOptions | None = None
    memo: dict[str, Payload] = {}
    search_attributes: SearchAttributes = {}
    cron_schedule: str = ""
    static_summary: str = ""
    static_details: str = ""
    priority: Priority = NO_PRIORITY
    identity: str = ""
    parent: ParentExecution | None = None
    """Of a child. Its refusal is remembered: it may be asked for again, but was answered."""
    root: RootExecution | None = None


def start_of(options: StartOptions, *, now_ms: int) -> StartRun:
    """The start that `options` ask for, at the store's time `now_ms` or an estimate of it.

    Raises:
        InvalidNameError: an id, type or queue cannot be one, or a text for people is too long.
        RPCError: INVALID_ARGUMENT, a time is negative or over 100 years, or a cron schedule or
            search attribute is none.
        PayloadTooLargeError: the memo is over the limit.
    """
    workflow_id = check_workflow_id(options.workflow_id)
    run_id = RunId(check_name("request id", options.request_id))
    execution_ms = _duration("execution_timeout_ms", options.execution_timeout_ms)
    started = WorkflowExecutionStarted(
        workflow_type=check_name("workflow type", options.workflow_type),
        task_queue=check_task_queue(options.task_queue),
        input=options.input,
        header=options.header,
        execution_timeout_ms=execution_ms,
        execution_deadline_ms=None if execution_ms is None else now_ms + execution_ms,
        run_timeout_ms=_duration("run_timeout_ms", options.run_timeout_ms),
        task_timeout_ms=_task_timeout(options.task_timeout_ms),
        identity=options.identity,
        retry_policy=options.retry_policy,
        first_run_id=run_id,
        first_task_backoff_ms=_first_delay_ms(options, now_ms=now_ms),
        memo=options.memo if options.parent else check_memo(options.memo),
        search_attributes=_attributes(options.search_attributes),
        cron_schedule=options.cron_schedule,
        static_summary=check_text(
            "static_summary", options.static_summary, bytes_max=SUMMARY_BYTES_MAX
        ),
        static_details=check_text(
            "static_details", options.static_details, bytes_max=DETAILS_BYTES_MAX
        ),
        priority=NO_PRIORITY if options.priority == NO_PRIORITY else options.priority,
        parent=options.parent,
        root=options.root,
    )
    terminate = None
    if options.conflict is Conflict.TERMINATE_EXISTING:
        terminate = WorkflowExecutionTerminated(
            reason=f"replaced by run {run_id}", identity=options.identity
        )
    return StartRun(
        workflow_id=workflow_id,
        run=new_run(run_id, started, now_ms=now_ms),
        attach=options.conflict is Conflict.USE_EXISTING,
        terminate=terminate,
        after_completed=options.reuse is Reuse.ALLOW_DUPLICATE,
        after_failed=options.reuse is not Reuse.REJECT_DUPLICATE,
        remember_refusal=options.parent is not None,
    )


def options_of(request: StartRequest) -> StartOptions:
    """What a start message asks for. Without a request id the workflow id counts as one.

    Raises:
        PayloadTooLargeError: an argument or memo is over the limit.
        RPCError: INVALID_ARGUMENT, a policy's name is unknown, or a retry policy does not fit.
    """
    return StartOptions(
        workflow_id=request.workflow_id,
        workflow_type=request.workflow_type,
        task_queue=request.task_queue,
        request_id=request.request_id or request.workflow_id,
        input=tuple(
            _payload(f"argument {position}", argument)
            for position, argument in enumerate(request.input, 1)
        ),
        reuse=_policy(Reuse, "id_reuse_policy", request.id_reuse_policy),
        conflict=_policy(Conflict, "id_conflict_policy", request.id_conflict_policy),
        execution_timeout_ms=request.execution_timeout_ms,
        run_timeout_ms=request.run_timeout_ms,
        task_timeout_ms=request.task_timeout_ms,
        start_delay_ms=request.start_delay_ms or 0,
        retry_policy=None if request.retry_policy is None else _retries(request.retry_policy),
        memo={key: _payload(f"memo {key!r}", value) for key, value in request.memo.items()},
        search_attributes=dict(request.search_attributes),
        cron_schedule=request.cron_schedule,
        static_summary=request.static_summary,
        static_details=request.static_details,
        priority=Priority(**msgspec.structs.asdict(request.priority)),
        identity="gateway",
    )


def first_run_of(start: StartRun, *, token: str, now_ms: int) -> FirstRun | None:
    """The run that `start` made at `now_ms` under `token`, for its first wake-up; None: too
    large."""
    started = start.run.started
    if len(codec.encode(started)) > INLINE_ENTRY_BYTES_MAX:
        return None
    return FirstRun(run_id=start.run.run_id, token=token, time_ms=now_ms, started=started)


def _first_delay_ms(options: StartOptions, *, now_ms: int) -> int:
    delay_ms = _duration("start_delay_ms", options.start_delay_ms) or 0
    if not options.cron_schedule:
        return delay_ms
    if delay_ms:
        raise _invalid("start_delay_ms: a cron schedule has its own times; give one of the two")
    try:
        due_ms = next_cron_ms(options.cron_schedule, started_ms=now_ms, now_ms=now_ms)
    except CronScheduleError as error:
        raise _invalid(str(error)) from error
    return 0 if due_ms is None else due_ms - now_ms


def _attributes(attributes: SearchAttributes) -> SearchAttributes:
    try:
        return checked(attributes)
    except InvalidSearchAttributeError as error:
        raise _invalid(str(error)) from error


def _duration(name: str, value_ms: int | None, *, least_ms: int = 0) -> int | None:
    if value_ms is not None and not least_ms <= value_ms <= DURATION_MS_MAX:
        raise _invalid(f"{name}: expected {least_ms} to {DURATION_MS_MAX} ms, found {value_ms}")
    return value_ms or None


def _retries(policy: RetryOptions) -> RetryOptions:
    least_ms = policy.initial_interval_ms if policy.maximum_interval_ms else 0
    _duration("retry_policy.initial_interval_ms", policy.initial_interval_ms, least_ms=1)
    _duration("retry_policy.maximum_interval_ms", policy.maximum_interval_ms, least_ms=least_ms)
    if policy.backoff_coefficient < 1:
        raise _invalid(
            "retry_policy.backoff_coefficient: expected 1 or more, "
            f"found {policy.backoff_coefficient}"
        )
    if policy.maximum_attempts < 0:
        raise _invalid(
            f"retry_policy.maximum_attempts: expected 0 or more, found {policy.maximum_attempts}"
        )
    return RetryOptions(**msgspec.structs.asdict(policy))


def _payload(what: str, value: msgspec.Raw) -> Payload:
    size_bytes = len(bytes(value))
    if size_bytes > PAYLOAD_BYTES_MAX:
        raise PayloadTooLargeError(what, size_bytes, PAYLOAD_BYTES_MAX)
    return Payload(data=value)


def _invalid(message: str) -> RPCError:
    return RPCError(message, RPCStatusCode.INVALID_ARGUMENT)


def _task_timeout(value_ms: int | None) -> int:
    given_ms = _duration("task_timeout_ms", value_ms) or WORKFLOW_TASK_TIMEOUT_MS
    return min(given_ms, WORKFLOW_TASK_TIMEOUT_MAX_MS)


_Policy = TypeVar("_Policy", Reuse, Conflict)


def _policy(kind: type[_Policy], name: str, value: str) -> _Policy:
    try:
        return kind(value)
    except ValueError as error:
        known = ", ".join(one.value for one in kind)
        raise _invalid(f"{name}: expected one of {known}, found {value!r}") from error
