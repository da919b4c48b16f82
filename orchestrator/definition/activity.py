"""The decorator of activities and what it finds: `ActivityDefinition`.

An activity is a function, a bound method or an instance of a class with `__call__`; sync or async.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from orchestrator.definition.signature import AnyFunction, read_signature

_NAME = "__orchestrator_activity__"
_Callable = TypeVar("_Callable", bound=Callable[..., Any])  # Any: a user function's own types


@dataclass(frozen=True)
class ActivityDefinition:
    """An activity as workers and workflow code see it."""

    name: str
    function: AnyFunction
    is_async: bool
    arg_types: tuple[Any, ...] | None  # Any: annotations are of no common type
    ret_type: Any  # Any: as above

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
        name = activity_name(activity)
        is_function = inspect.isfunction(activity) or inspect.ismethod(activity)
        function = activity if is_function else type(activity).__call__
        skip_self = not is_function
        if inspect.isfunction(activity):
            parameters = list(inspect.signature(activity).parameters)
            skip_self = bool(parameters) and parameters[0] == "self"
        signature = read_signature(function, what=f"activity {name}", skip_self=skip_self)
        return ActivityDefinition(
            name=name,
            function=activity,
            is_async=inspect.iscoroutinefunction(function),
            arg_types=signature.arg_types,
            ret_type=signature.ret_type,
        )


@overload
def defn(activity: _Callable, /) -> _Callable: ...
@overload
def defn(*, name: str | None = None) -> Callable[[_Callable], _Callable]: ...
def defn(
    activity: _Callable | None = None, /, *, name: str | None = None
) -> _Callable | Callable[[_Callable], _Callable]:
    """Declare an activity; the default name is the function's, or the class's.

    Raises:
        ValueError: the name is empty, a parameter is keyword-only, or it is not callable.
    """

    def decorate(target: _Callable) -> _Callable:
        given = target.__name__ if name is None else name
        if not given:
            raise ValueError("an activity's name must not be empty")
        decorated, function = target, target
        if inspect.isclass(target):
            if "__call__" not in dir(target) or not inspect.isfunction(
                inspect.getattr_static(target, "__call__", None)
            ):
                raise ValueError(f"activity class {target.__qualname__} needs a __call__ method")
            function = inspect.getattr_static(target, "__call__")
        read_signature(function, what=f"activity {given}", skip_self=False)
        setattr(target, _NAME, given)
        return decorated

    return decorate if activity is None else decorate(activity)


def activity_name(activity: str | AnyFunction) -> str:
    """The name of an activity given by name or by what was decorated.

    Raises:
        ValueError: it is not decorated.
    """
    if isinstance(activity, str):
        return activity
    found = getattr(activity, _NAME, None)
    if not isinstance(found, str):
        shown = getattr(activity, "__qualname__", repr(activity))
        raise ValueError(f"{shown} is not an activity: decorate it with @activity.defn")
    return found
