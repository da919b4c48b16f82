"""The decorator of activities and what it finds: `ActivityDefinition`.

An activity is a function, a bound method or an instance of a class with `__call__`; sync or async.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from orchestrator.definition.signature import AnyFunction, read_signature

_MARK = "__orchestrator_activity__"
_Callable = TypeVar("_Callable", bound=Callable[..., Any])  # Any: a user function's own types


@dataclass(frozen=True)
class _Declared:
    """What the decorator was told."""

    name: str
    no_thread_cancel_exception: bool
    is_dynamic: bool = False
    auto_heartbeat: bool = False


@dataclass(frozen=True)
class ActivityDefinition:
    """An activity as workers and workflow code see it.

    `parameters` are the names by which positional arguments arrive, the first `required` of them
    without default; `takes_more` says whether further ones may follow.
    """

    name: str
    function: AnyFunction
    is_async: bool
    arg_types: tuple[Any, ...] | None  # Any: annotations are of no common type
    ret_type: Any  # Any: as above
    parameters: tuple[str, ...]
    required: int
    takes_more: bool
    is_unbound: bool
    """A method without its instance: workflow code may name it, a worker cannot call it."""
    no_thread_cancel_exception: bool
    """No cancellation is raised in its thread; it asks `activity.is_cancelled()`."""
    is_dynamic: bool = False
    """It runs every type that its worker has no function for; its one argument is a list of
    `RawValue`."""
    auto_heartbeat: bool = False
    """Its worker tells that it lives, as long as its code has not ended."""

    @staticmethod
    def of(activity: AnyFunction) -> ActivityDefinition:
        """The definition of something callable that was decorated.

        Raises:
            ValueError: it is not decorated, or is a class where an instance is needed.
        """
        if inspect.isclass(activity):
            raise ValueError(
                f"activity {activity.__qualname__} is a class; register an instance of it"
            )
        declared = _declared(activity)
        is_function = inspect.isfunction(activity) or inspect.ismethod(activity)
        function = activity if is_function else type(activity).__call__
        parameters = list(inspect.signature(activity).parameters.values())
        is_unbound = (
            inspect.isfunction(activity) and bool(parameters) and parameters[0].name == "self"
        )
        signature = read_signature(
            function, what=f"activity {declared.name}", skip_self=is_unbound or not is_function
        )
        if is_unbound:
            parameters = parameters[1:]
        named = [one for one in parameters if one.kind is not one.VAR_POSITIONAL]
        named = [one for one in named if one.kind is not one.VAR_KEYWORD]
        return ActivityDefinition(
            name=declared.name,
            function=activity,
            is_async=inspect.iscoroutinefunction(function),
            arg_types=signature.arg_types,
            ret_type=signature.ret_type,
            parameters=tuple(one.name for one in named),
            required=sum(one.default is one.empty for one in named),
            takes_more=any(one.kind is one.VAR_POSITIONAL for one in parameters),
            is_unbound=is_unbound,
            auto_heartbeat=declared.auto_heartbeat,
            no_thread_cancel_exception=declared.no_thread_cancel_exception,
            is_dynamic=declared.is_dynamic,
        )


@overload
def defn(activity: _Callable, /) -> _Callable: ...
@overload
def defn(
    *,
    name: str | None = None,
    dynamic: bool = False,
    no_thread_cancel_exception: bool = False,
    auto_heartbeat: bool = False,
) -> Callable[[_Callable], _Callable]: ...
def defn(
    activity: _Callable | None = None,
    /,
    *,
    name: str | None = None,
    dynamic: bool = False,
    no_thread_cancel_exception: bool = False,
    auto_heartbeat: bool = False,
) -> _Callable | Callable[[_Callable], _Callable]:
    """Declare an activity; the default name is the function's, or the class's.

    With `no_thread_cancel_exception` a sync activity in a thread is never interrupted by an
    exception when it is cancelled: it looks by itself. A `dynamic` one takes one
    `Sequence[RawValue]`, and every type that its worker has no function for; `activity.info()`
    says which. With `auto_heartbeat` the worker beats for it while its code runs, so that a
    heartbeat time-out finds a lost worker, not code that hangs; details are still the code's.

    Raises:
        ValueError: the name is empty or given to a dynamic one, a parameter is keyword-only, a
            dynamic one takes not just one, or it is not callable.
    """

    def decorate(target: _Callable) -> _Callable:
        given = target.__name__ if name is None else name
        if dynamic and name is not None:
            raise ValueError(f"activity {given}: give a name or dynamic=True, not both")
        if not given:
            raise ValueError("an activity's name must not be empty")
        decorated, function = target, target
        if inspect.isclass(target):
            if "__call__" not in dir(target) or not inspect.isfunction(
                inspect.getattr_static(target, "__call__", None)
            ):
                raise ValueError(f"activity class {target.__qualname__} needs a __call__ method")
            function = inspect.getattr_static(target, "__call__")
        signature = read_signature(function, what=f"activity {given}", skip_self=False)
        names = [name for name in signature.names if name != "self"]
        if dynamic and len(names) != 1:
            raise ValueError(
                f"activity {given} is dynamic, so it must take (args: Sequence[RawValue]); found "
                f"{names}"
            )
        setattr(
            target, _MARK, _Declared(given, no_thread_cancel_exception, dynamic, auto_heartbeat)
        )
        return decorated

    return decorate if activity is None else decorate(activity)


def activity_name(activity: str | AnyFunction) -> str:
    """The name of an activity given by name or by what was decorated.

    Raises:
        ValueError: it is not decorated, or is dynamic and so has no name.
    """
    if isinstance(activity, str):
        return activity
    declared = _declared(activity)
    if declared.is_dynamic:
        raise ValueError(f"activity {declared.name} is dynamic: give the activity's type as text")
    return declared.name


def is_interruptible(activity: AnyFunction) -> bool:
    """Whether a cancellation may be raised in the thread of a sync activity; decorated or not."""
    found = getattr(activity, _MARK, None)
    return not (isinstance(found, _Declared) and found.no_thread_cancel_exception)


def _declared(activity: AnyFunction) -> _Declared:
    found = getattr(activity, _MARK, None)
    if not isinstance(found, _Declared):
        shown = getattr(activity, "__qualname__", repr(activity))
        raise ValueError(f"{shown} is not an activity: decorate it with @activity.defn")
    return found
