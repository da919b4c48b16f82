"""Parameter and result types of user functions, as the data converter wants them.

A function whose annotations cannot be resolved has types None: its values are decoded as raw JSON.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_type_hints

AnyFunction = Callable[..., Any]  # Any: a user function of any signature

_RESULT = "__orchestrator_result_type__"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature(NamedTuple):
    """What can be passed by position and of which types, and what comes back.

    `arg_types` None: not all parameters are annotated, or an annotation cannot be resolved.
    """

    names: tuple[str, ...]
    arg_types: tuple[Any, ...] | None  # Any: annotations are of no common type
    ret_type: Any  # Any: as above; None means not annotated
    required: int
    takes_more: bool
    """There is a `*args`."""

    def accepts(self, count: int) -> bool:
        """Whether so many arguments can be passed."""
        return self.required <= count and (self.takes_more or count <= len(self.names))


def read_signature(function: AnyFunction, *, what: str, skip_self: bool) -> Signature:
    """Read the types of `function`; `what` names it in errors.

    Raises:
        ValueError: it has keyword-only parameters, or lacks `self` where one is expected.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if skip_self:
        if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
            raise ValueError(f"{what} must be a method with self as its first parameter")
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            raise ValueError(
                f"{what} has the keyword-only parameter {parameter.name!r}; arguments travel by "
                "position, so make it positional"
            )
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    names = tuple(parameter.name for parameter in positional)
    hints = _hints(function)
    arg_types = None
    if hints is not None and all(name in hints for name in names):
        arg_types = tuple(hints[name] for name in names)
    return Signature(
        names=names,
        arg_types=arg_types,
        ret_type=None if hints is None else hints.get("return"),
        required=sum(parameter.default is parameter.empty for parameter in positional),
        takes_more=any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters),
    )


def result_type(function: AnyFunction) -> Any:  # Any: annotations are of no common type
    """The annotated result of a function, a method, a class with `__call__` or an instance of one.
    None: not annotated. Read once: resolving annotations costs more than an activation."""
    found = function if inspect.isroutine(function) else _call_of(function)
    plain = getattr(found, "__func__", found)
    kept: dict[str, Any] = getattr(plain, "__dict__", {})  # Any: annotations
    if _RESULT in kept:
        return kept[_RESULT]
    hint = (_hints(plain) or {}).get("return")
    if inspect.isfunction(plain):
        setattr(plain, _RESULT, hint)
    return hint


def hints_for(arg_types: Sequence[Any] | None, count: int) -> list[Any] | None:  # Any: annotations
    """The types of the first `count` arguments, or None when more came than are declared."""
    if arg_types is None or count > len(arg_types):
        return None
    return list(arg_types[:count])


def _call_of(target: AnyFunction) -> AnyFunction:
    owner = target if inspect.isclass(target) else type(target)
    call: AnyFunction = inspect.getattr_static(owner, "__call__")
    return call


def _hints(function: AnyFunction) -> dict[str, Any] | None:  # Any: annotations
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names under TYPE_CHECKING or local ones
        return None
