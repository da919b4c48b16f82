"""The arguments of a call that takes `arg` or `args`, as those of clients and workflow code do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ABSENT = object()
"""Stands for an argument that is not given, since None may be."""


def one_or_all(arg: Any, args: Sequence[Any]) -> Sequence[Any]:  # Any: user's values
    """The arguments of a call that takes `arg` or `args`.

    Raises:
        ValueError: both are given.
        TypeError: `args` is a text, whose letters were hardly meant.
    """
    if isinstance(args, str | bytes):
        raise TypeError(f"args: expected a list of arguments, found {args!r}; give it as arg")
    if arg is ABSENT:
        return args
    if args:
        raise ValueError("give arg or args, not both")
    return [arg]
