"""Calls of activities: `start_activity` and `execute_activity`.

An overload for each shape of function lets a checker know the result and compare a single argument.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar, Unpack, overload

from orchestrator.common import Priority, RetryPolicy
from orchestrator.definition.activity import activity_name
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.signature import result_type as annotated_result
from orchestrator.ids import check_name, check_task_queue
from orchestrator.replay.context import current_run
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.interceptors import StartActivityInput
from orchestrator.replay.outbound import schedule_activity

_Arg = TypeVar("_Arg")
_Result = TypeVar("_Result")


class ActivityConfig(TypedDict, total=False):
    """The options of every form of an activity call; one of the two close time-outs is required.

    `task_queue` None: the workflow's own. `activity_id` None: a number.
    """

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None
    priority: Priority | None


@overload
def start_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: Callable[[], _Result], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: Callable[[_Arg], Awaitable[_Result]], arg: _Arg, **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: Callable[[_Arg], _Result], arg: _Arg, **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: Callable[..., _Result],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: type[_Result],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: Any = ...,  # Any: annotations are of no common type
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[Any]: ...  # Any: nothing is known of the result
def start_activity(
    activity: Any,  # Any: a name or any decorated callable
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    result_type: Any = None,  # Any: annotations are of no common type
    task_queue: str | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    priority: Priority | None = None,
) -> ActivityHandle[Any]:  # Any: the activity's result
    """Schedule an activity and return its handle, which is a task.

    Args:
        activity: The decorated function, or its name.
        arg: Its only argument; several are given as `args`.
        result_type: What an activity given by name returns; otherwise its annotation says so.
        task_queue: Whose workers run it; by default those of the workflow.
        schedule_to_close_timeout: From now to the end, over all attempts.
        schedule_to_start_timeout: How long it may wait for a worker.
        start_to_close_timeout: For one attempt.
        heartbeat_timeout: Between two signs of life of an attempt.
        retry_policy: When a failed attempt is tried again; by default for ever.
        cancellation_type: What the waiting code sees when it cancels.
        activity_id: By default a number.
        summary: For people; it stands at the activity's event.
        priority: By default the workflow's; see `Priority` for what it does.

    Raises:
        ValueError: neither close time-out is given, one is not positive, both `arg` and `args` are
            given, the activity is not decorated, or a name cannot be one.
        ConversionError: an argument cannot be converted.
    """
    if start_to_close_timeout is None and schedule_to_close_timeout is None:
        raise ValueError("an activity needs start_to_close_timeout or schedule_to_close_timeout")
    name = check_name("activity type", activity_name(activity))
    if activity_id is not None:
        check_name("activity id", activity_id)
    if task_queue is not None:
        check_task_queue(task_queue)
    if result_type is None and not isinstance(activity, str):
        result_type = annotated_result(activity)
    current = current_run()
    current.check_writable("start an activity")
    asked = StartActivityInput(
        activity=name,
        args=one_or_all(arg, args),
        activity_id=activity_id,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        headers={},
        summary=summary,
        result_type=result_type,
        priority=priority,
    )
    outbound = current.outbound
    if outbound is None:
        return schedule_activity(current, asked)
    return outbound.start_activity(asked)


@overload
async def execute_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[ActivityConfig]
) -> _Result: ...
@overload
async def execute_activity(
    activity: Callable[[], _Result], **options: Unpack[ActivityConfig]
) -> _Result: ...
@overload
async def execute_activity(
    activity: Callable[[_Arg], Awaitable[_Result]], arg: _Arg, **options: Unpack[ActivityConfig]
) -> _Result: ...
@overload
async def execute_activity(
    activity: Callable[[_Arg], _Result], arg: _Arg, **options: Unpack[ActivityConfig]
) -> _Result: ...
@overload
async def execute_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[ActivityConfig],
) -> _Result: ...
@overload
async def execute_activity(
    activity: Callable[..., _Result],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[ActivityConfig],
) -> _Result: ...
@overload
async def execute_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: type[_Result],
    **options: Unpack[ActivityConfig],
) -> _Result: ...
@overload
async def execute_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    result_type: Any = ...,  # Any: annotations are of no common type
    **options: Unpack[ActivityConfig],
) -> Any: ...  # Any: nothing is known of the result
async def execute_activity(
    activity: Any,  # Any: a name or any decorated callable
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    result_type: Any = None,  # Any: annotations are of no common type
    **options: Unpack[ActivityConfig],
) -> Any:  # Any: the activity's result
    """As `start_activity`, and wait for the result.

    Raises:
        ActivityError: it ended badly; the cause says how.
    """
    return await start_activity(activity, arg, args=args, result_type=result_type, **options)
