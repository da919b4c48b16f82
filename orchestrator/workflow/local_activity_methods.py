"""Calls of local activities that are classes with `__call__`, or methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, Unpack, overload

from orchestrator.definition.callables import (
    AsyncAnyArgs,
    AsyncNoArg,
    AsyncOneArg,
    SyncAnyArgs,
    SyncNoArg,
    SyncOneArg,
)
from orchestrator.definition.calls import ABSENT
from orchestrator.replay.handles import ActivityHandle
from orchestrator.workflow.local_activities import LocalActivityConfig, start_local_activity

_Self = TypeVar("_Self")
_Arg = TypeVar("_Arg")
_Result = TypeVar("_Result")


@overload
def start_local_activity_class(
    activity: type[AsyncNoArg[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_class(
    activity: type[SyncNoArg[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_class(
    activity: type[AsyncOneArg[_Arg, _Result]], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_class(
    activity: type[SyncOneArg[_Arg, _Result]], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_class(
    activity: type[AsyncAnyArgs[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_class(
    activity: type[SyncAnyArgs[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
def start_local_activity_class(
    activity: Any,  # Any: a decorated class
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[Any]:  # Any: the activity's result
    """As `start_local_activity`, for a class with `__call__`."""
    handle: ActivityHandle[Any] = start_local_activity(activity, arg, args=args, **options)
    return handle


@overload
async def execute_local_activity_class(
    activity: type[AsyncNoArg[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_class(
    activity: type[SyncNoArg[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_class(
    activity: type[AsyncOneArg[_Arg, _Result]], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_class(
    activity: type[SyncOneArg[_Arg, _Result]], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_class(
    activity: type[AsyncAnyArgs[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity_class(
    activity: type[SyncAnyArgs[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
async def execute_local_activity_class(
    activity: Any,  # Any: a decorated class
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> Any:  # Any: the activity's result
    """As `start_local_activity_class`, and wait for the result."""
    return await start_local_activity(activity, arg, args=args, **options)


@overload
def start_local_activity_method(
    activity: Callable[[_Self], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_method(
    activity: Callable[[_Self], _Result], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_method(
    activity: Callable[[_Self, _Arg], Awaitable[_Result]],
    arg: _Arg,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_method(
    activity: Callable[[_Self, _Arg], _Result], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_method(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
@overload
def start_local_activity_method(
    activity: Callable[..., _Result],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...
def start_local_activity_method(
    activity: Any,  # Any: a decorated method
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[Any]:  # Any: the activity's result
    """As `start_local_activity`, for a method as its class has it: `Payments.charge`."""
    handle: ActivityHandle[Any] = start_local_activity(activity, arg, args=args, **options)
    return handle


@overload
async def execute_local_activity_method(
    activity: Callable[[_Self], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_method(
    activity: Callable[[_Self], _Result], **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_method(
    activity: Callable[[_Self, _Arg], Awaitable[_Result]],
    arg: _Arg,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity_method(
    activity: Callable[[_Self, _Arg], _Result], arg: _Arg, **options: Unpack[LocalActivityConfig]
) -> _Result: ...
@overload
async def execute_local_activity_method(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
@overload
async def execute_local_activity_method(
    activity: Callable[..., _Result],
    *,
    args: Sequence[Any],  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...
async def execute_local_activity_method(
    activity: Any,  # Any: a decorated method
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    **options: Unpack[LocalActivityConfig],
) -> Any:  # Any: the activity's result
    """As `start_local_activity_method`, and wait for the result."""
    return await start_local_activity(activity, arg, args=args, **options)
