"""Parameter and result types of user functions, as the data converter wants them.

A function whose annotations cannot be resolved has types None: its values are decoded as raw JSON.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_type_hints

AnyFunction = Callable[..., Any]  # Any: a user function of any signature


class Signature(NamedTuple):
    """Types of the positional parameters (None: not all annotated) and of the result."""

    arg_types: tuple[Any, ...] | None  # Any: annotations are of no common type
    ret_type: Any  # Any: as above; None means not annotated
    parameter_count: int


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
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind
        in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names under TYPE_CHECKING or local ones
        return Signature(None, None, len(positional))
    names = [parameter.name for parameter in positional]
    arg_types = tuple(hints[name] for name in names) if all(n in hints for n in names) else None
    return Signature(arg_types, hints.get("return"), len(positional))


def hints_for(arg_types: Sequence[Any] | None, count: int) -> list[Any] | None:  # Any: annotations
    """The types of the first `count` arguments, or None when more came than are declared."""
    if arg_types is None or count > len(arg_types):
        return None
    return list(arg_types[:count])
