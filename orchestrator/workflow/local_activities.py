"""Calls of local activities: `start_local_activity` and `execute_local_activity`.

They run in the worker's own process, within the workflow task. The overloads are those of ordinary
activities.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack, overload

from orchestrator.common import RetryPolicy
from orchestrator.definition.activity import activity_name
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.signature import result_type as annotated_result
from orchestrator.ids import check_name, check_text
from orchestrator.limits import LOCAL_RETRY_THRESHOLD_MS, SUMMARY_BYTES_MAX
from orchestrator.replay.context import current_run
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.interceptors import StartLocalActivityInput
from orchestrator.replay.local_activities import LocalActivity
from orchestrator.replay.policies import to_options
from orchestrator.replay.run import WorkflowRun
from orchestrator.units import checked_ms
from orchestrator.wire.options import RetryOptions

_Arg = TypeVar("_Arg")
_Result = TypeVar("_Result")


class LocalActivityConfig(TypedDict, total=False):
    """The options of every form of a local activity; one of the two close time-outs is required.

    `activity_id` None: a number. `local_retry_threshold` None: a minute.
    """

    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    local_retry_threshold: timedelta | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None


@overload
def start_local_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: Callable[[], _Result], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: Callable[[_Arg], Awaitable[_Result]],
    arg: _Arg,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: Callable[[_Arg], _Result], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: Callable[..., _Result],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: type[_Result],
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: Any = ...,  # Any: annotations are of no common type
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[Any]: ...  # Any: nothing is known of the result
def start_local_activity(
    activity: Any,  # Any: a name or any decorated callable
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    result_type: Any = None,  # Any: annotations are of no common type
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
) -> ActivityHandle[Any]:  # Any: the activity's result
    """Run an activity in this worker's process, within the workflow task, and return its handle.

    For what is short and may be repeated: nothing is written before it has ended, so it runs again
    when the worker dies, and heartbeats tell nobody anything.

    Args:
        activity: The decorated function, or its name; registered on the workflow's own worker.
        arg: Its only argument.
        args: Its arguments, if there are several.
        result_type: What an activity given by name returns; otherwise its annotation says so.
        schedule_to_close_timeout: From now to the end, over all attempts.
        schedule_to_start_timeout: How long it may wait for its turn.
        start_to_close_timeout: For one attempt.
        retry_policy: When a failed attempt is tried again; by default for ever.
        local_retry_threshold: A retry that is further away waits as a durable timer; by default a
            minute.
        cancellation_type: What the waiting code sees when it cancels.
        activity_id: By default a number.
        summary: For people; it stands in the marker of its end.

    Raises:
        ValueError: neither close time-out is given, one is not positive, both `arg` and `args` are
            given, the activity is not decorated, or a name cannot be one.
        ConversionError: an argument cannot be converted.
    """
    if start_to_close_timeout is None and schedule_to_close_timeout is None:
        raise ValueError(
            "a local activity needs start_to_close_timeout or schedule_to_close_timeout"
        )
    name = check_name("activity type", activity_name(activity))
    if activity_id is not None:
        check_name("activity id", activity_id)
    if result_type is None and not isinstance(activity, str):
        result_type = annotated_result(activity)
    (current := current_run()).check_writable("start a local activity")
    options = LocalActivityConfig(
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        retry_policy=retry_policy,
        local_retry_threshold=local_retry_threshold,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
    )
    asked = StartLocalActivityInput(
        activity=name,
        args=one_or_all(arg, args),
        options=options,
        headers={},
        result_type=result_type,
        proceed=partial(_start, current),
    )
    outbound = current.outbound
    return asked.proceed(asked) if outbound is None else outbound.start_local_activity(asked)


def _start(
    current: WorkflowRun, asked: StartLocalActivityInput
) -> ActivityHandle[Any]:  # Any: the activity's result
    options = asked.options
    threshold_ms = checked_ms("local_retry_threshold", options["local_retry_threshold"])
    policy = options["retry_policy"]
    request = LocalActivity(
        activity_id=current.operations.activities.next_id(options["activity_id"]),
        activity_type=asked.activity,
        input=tuple(current.values.to_payloads(asked.args)),
        header=dict(asked.headers),
        schedule_to_close_timeout_ms=checked_ms(
            "schedule_to_close_timeout", options["schedule_to_close_timeout"]
        ),
        schedule_to_start_timeout_ms=checked_ms(
            "schedule_to_start_timeout", options["schedule_to_start_timeout"]
        ),
        start_to_close_timeout_ms=checked_ms(
            "start_to_close_timeout", options["start_to_close_timeout"]
        ),
        retry_policy=RetryOptions() if policy is None else to_options(policy),
        local_retry_threshold_ms=LOCAL_RETRY_THRESHOLD_MS if threshold_ms is None else threshold_ms,
        summary=check_text("summary", options["summary"] or "", bytes_max=SUMMARY_BYTES_MAX),
    )
    return current.local.start(
        request,
        result_type=asked.result_type,
        cancellation_type=options["cancellation_type"],
    )


@overload
async def execute_local_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: Callable[[], _Result], **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: Callable[[_Arg], Awaitable[_Result]],
    arg: _Arg,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: Callable[[_Arg], _Result], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: Callable[..., _Result],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: type[_Result],
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: Any = ...,  # Any: annotations are of no common type
    **options: Unpack[LocalActivityConfig],
) -> Any: ...  # Any: nothing is known of the result
async def execute_local_activity(
    activity: Any,  # Any: a name or any decorated callable
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    result_type: Any = None,  # Any: annotations are of no common type
    **options: Unpack[LocalActivityConfig],
) -> Any:  # Any: the activity's result
    """As `start_local_activity`, and wait for the result.

    Raises:
        ActivityError: it ended badly; the cause says how.
    """
    return await start_local_activity(activity, arg, args=args, result_type=result_type, **options)
