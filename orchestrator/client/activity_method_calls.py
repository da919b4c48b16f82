"""Standalone activities that are classes with `__call__`, or methods: as `activity_calls`, but a
checker must not count the instance, which only the worker has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, Unpack, overload

from orchestrator.client.activity_calls import StandaloneActivityCalls
from orchestrator.client.activity_handle import ActivityHandle
from orchestrator.client.activity_start import ActivityStartOptions
from orchestrator.definition.callables import (
    AsyncAnyArgs,
    AsyncNoArg,
    AsyncOneArg,
    SyncAnyArgs,
    SyncNoArg,
    SyncOneArg,
)
from orchestrator.definition.calls import ABSENT

_Self = TypeVar("_Self")
_Arg = TypeVar("_Arg")
_Result = TypeVar("_Result")


class StandaloneMethodCalls(StandaloneActivityCalls):
    """The rest of what a client can start: classes and methods."""

    @overload
    async def start_activity_class(
        self,
        activity: type[AsyncNoArg[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_class(
        self,
        activity: type[SyncNoArg[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_class(
        self,
        activity: type[AsyncOneArg[_Arg, _Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_class(
        self,
        activity: type[SyncOneArg[_Arg, _Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_class(
        self,
        activity: type[AsyncAnyArgs[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_class(
        self,
        activity: type[SyncAnyArgs[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    async def start_activity_class(
        self,
        activity: Any,  # Any: a decorated class
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[Any]:  # Any: the activity's result
        """As `start_activity`, for a class with `__call__`."""
        call: Any = self.start_activity  # Any: the overloads fit no forwarded call
        handle: ActivityHandle[Any] = await call(activity, arg, args=args, **options)
        return handle

    @overload
    async def execute_activity_class(
        self,
        activity: type[AsyncNoArg[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_class(
        self,
        activity: type[SyncNoArg[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_class(
        self,
        activity: type[AsyncOneArg[_Arg, _Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_class(
        self,
        activity: type[SyncOneArg[_Arg, _Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_class(
        self,
        activity: type[AsyncAnyArgs[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_class(
        self,
        activity: type[SyncAnyArgs[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    async def execute_activity_class(
        self,
        activity: Any,  # Any: a decorated class
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> Any:  # Any: the activity's result
        """As `execute_activity`, for a class with `__call__`."""
        call: Any = self.execute_activity  # Any: the overloads fit no forwarded call
        return await call(activity, arg, args=args, **options)

    @overload
    async def start_activity_method(
        self,
        activity: Callable[[_Self], Awaitable[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_method(
        self,
        activity: Callable[[_Self], _Result],
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_method(
        self,
        activity: Callable[[_Self, _Arg], Awaitable[_Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_method(
        self,
        activity: Callable[[_Self, _Arg], _Result],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_method(
        self,
        activity: Callable[..., Awaitable[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    @overload
    async def start_activity_method(
        self,
        activity: Callable[..., _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[_Result]: ...
    async def start_activity_method(
        self,
        activity: Any,  # Any: a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> ActivityHandle[Any]:  # Any: the activity's result
        """As `start_activity`, for a method as its class has it: `Payments.charge`."""
        call: Any = self.start_activity  # Any: the overloads fit no forwarded call
        handle: ActivityHandle[Any] = await call(activity, arg, args=args, **options)
        return handle

    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[_Self], Awaitable[_Result]],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[_Self], _Result],
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[_Self, _Arg], Awaitable[_Result]],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[_Self, _Arg], _Result],
        arg: _Arg,
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_method(
        self,
        activity: Callable[..., Awaitable[_Result]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    @overload
    async def execute_activity_method(
        self,
        activity: Callable[..., _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> _Result: ...
    async def execute_activity_method(
        self,
        activity: Any,  # Any: a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        **options: Unpack[ActivityStartOptions],
    ) -> Any:  # Any: the activity's result
        """As `execute_activity`, for a method as its class has it: `Payments.charge`."""
        call: Any = self.execute_activity  # Any: the overloads fit no forwarded call
        return await call(activity, arg, args=args, **options)
