"""Shapes of user functions, for the overloads of calls: what takes no argument or one, sync or
async. With two or more arguments a checker cannot compare them, and any callable will do."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar

_Arg_contra = TypeVar("_Arg_contra", contravariant=True)
_Result_co = TypeVar("_Result_co", covariant=True)


class AsyncNoArg(Protocol[_Result_co]):
    """An instance that is called without arguments and awaited."""

    def __call__(self) -> Awaitable[_Result_co]: ...


class SyncNoArg(Protocol[_Result_co]):
    """An instance that is called without arguments."""

    def __call__(self) -> _Result_co: ...


class AsyncOneArg(Protocol[_Arg_contra, _Result_co]):
    """An instance that is called with one argument and awaited."""

    def __call__(self, arg: _Arg_contra, /) -> Awaitable[_Result_co]: ...


class SyncOneArg(Protocol[_Arg_contra, _Result_co]):
    """An instance that is called with one argument."""

    def __call__(self, arg: _Arg_contra, /) -> _Result_co: ...


class AsyncAnyArgs(Protocol[_Result_co]):
    """An instance that is called with any arguments and awaited."""

    # Any parameters at all: what a checker takes `*args: Any, **kwargs: Any` to mean.
    def __call__(self, *args: object, **kwargs: object) -> Awaitable[_Result_co]: ...


class SyncAnyArgs(Protocol[_Result_co]):
    """An instance that is called with any arguments."""

    def __call__(self, *args: object, **kwargs: object) -> _Result_co: ...
