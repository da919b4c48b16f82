"""Tasks of workflow code: the same on replay in number, name and order.

Sets of tasks are walked in the order of their hashes: a TaskGroup cancels its children so, and
`asyncio.wait` hands sets out. By memory address that order would differ on replay, so the hash of a
task is its number within the run, and so is its default name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class TaskNumbers(Protocol):
    """Who gives each task of a run its number."""

    def next_task_number(self) -> int: ...

    def task_hash(self, number: int) -> int: ...


class DurableTask(asyncio.Task[_T]):
    """A task that is numbered within its run."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, _T],  # Any: the types of asyncio's own coroutines
        *,
        numbers: TaskNumbers,
        loop: asyncio.AbstractEventLoop,
        name: str | None = None,
        context: Context | None = None,
    ) -> None:
        number = numbers.next_task_number()
        # Set first: asyncio's own constructor puts the task into a set.
        self._hash = numbers.task_hash(number)
        super().__init__(coro, loop=loop, name=name or f"Task-{number}", context=context)

    def __hash__(self) -> int:
        return self._hash
