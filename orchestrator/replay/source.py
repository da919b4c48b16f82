"""Which line of user code asked for a command, and where it waits: found in few steps, since every
command remembers its line, and written out only when somebody must read it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from orchestrator.definition.signature import AnyFunction

_PACKAGE = Path(__file__).parent.parent
_INTERNAL_FOLDERS = tuple(
    f"{folder}{separator}"
    for folder in (_PACKAGE / "replay", _PACKAGE / "workflow", Path(asyncio.__file__).parent)
    for separator in "/\\"
)
_INTERNAL_FILES = frozenset({contextlib.__file__})
_LOOP_BOUNDARY = asyncio.Handle._run.__code__


class Source(NamedTuple):
    """A place in a code object, without its line: reading that one out costs more than all else."""

    code: CodeType
    instruction: int


def caller() -> Source | None:
    """The innermost frame that is neither ours nor asyncio's; None when there is none up to the
    loop's own call of a handle."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # it is documented
    while _is_internal(frame.f_code.co_filename):
        if frame.f_code is _LOOP_BOUNDARY or frame.f_back is None:
            return None
        frame = frame.f_back
    return Source(frame.f_code, frame.f_lasti)


def raised_at(error: BaseException) -> Source | None:
    """The innermost line of user code that an exception came through."""
    found: Source | None = None
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not _is_internal(code.co_filename):
            found = Source(code, traceback.tb_lasti)
        traceback = traceback.tb_next
    return found


def defined_at(function: AnyFunction) -> Source | None:
    """The first line of a function."""
    code: CodeType | None = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else Source(code, -1)


def describe(source: Source | None) -> str:
    """`file:line` of a place."""
    if source is None:
        return "an unknown line"
    for start, end, line in source.code.co_lines():
        if start <= source.instruction < end and line is not None:
            return f"{source.code.co_filename}:{line}"
    return f"{source.code.co_filename}:{source.code.co_firstlineno}"


def stacks_of(tasks: Iterable[asyncio.Task[Any]]) -> str:  # Any: tasks of any result
    """Where each task waits, by its name, outermost line first."""
    return "\n\n".join("\n".join((f"{one.get_name()}:", *_awaited_lines(one))) for one in tasks)


def waiting_place(task: asyncio.Task[Any] | None) -> str:  # Any: as above
    """Where a run's code waits, in words."""
    place = None if task is None else _waits_at(task)
    return "it has ended" if place is None else f"it waits at {place}"


def _awaited_lines(task: asyncio.Task[Any]) -> list[str]:  # Any: as above
    """Where a waiting task stands, outermost line first, as in a traceback."""
    lines: list[str] = []
    awaited: Any = task.get_coro()  # Any: coroutines, generators and futures in a chain
    while awaited is not None and getattr(awaited, "cr_frame", None) is not None:
        code, line = awaited.cr_code, awaited.cr_frame.f_lineno
        lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
        awaited = awaited.cr_await
    return lines


def _waits_at(task: asyncio.Task[Any]) -> str | None:  # Any: as above
    """`file:line` of the innermost line of user code at which a task waits."""
    found: str | None = None
    awaited: Any = task.get_coro()  # Any: as above
    while awaited is not None and getattr(awaited, "cr_frame", None) is not None:
        if not _is_internal(awaited.cr_code.co_filename):
            found = f"{awaited.cr_code.co_filename}:{awaited.cr_frame.f_lineno}"
        awaited = awaited.cr_await
    return found


@lru_cache(maxsize=1024)
def _is_internal(filename: str) -> bool:
    return filename.startswith(("<", *_INTERNAL_FOLDERS)) or filename in _INTERNAL_FILES
