"""A run leaves memory: its coroutines are ended here and now, on their own loop.

Left to the garbage collector they would be closed whenever it likes, while another run's loop may
be the running one, and their `finally` blocks would act in that run.
"""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.replay.loop import DurableLoop

_ROUNDS_MAX = 20
"""Code that swallows cancellation more often than this stays, and the caller is told."""
_STEPS_MAX = 1_000
"""Of one round, and more for many tasks: code may also yield for ever."""
_STEPS_PER_TASK = 20


def unwind(loop: DurableLoop) -> bool:
    """Cancel all tasks of `loop` until there are none. False: some swallow it and stay."""
    loop.halted = False
    with loop.running():
        for _ in range(_ROUNDS_MAX):
            for task in list(loop.tasks):
                _cancel(task)
            if not loop.tasks:
                for generator in loop.open_generators():
                    loop.create_task(generator.aclose())
            _drain(loop)
            if not loop.tasks and not loop.open_generators():
                return True
    return False


def close(loop: DurableLoop) -> None:
    """Close the coroutines of the tasks that are left."""
    with loop.running():
        for task in list(loop.tasks):
            coroutine: Any = task.get_coro()  # Any: asyncio's own type
            try:
                coroutine.close()
            except BaseException:  # the boundary of user code that ignores even this
                pass  # There is nothing left to be done about it.


def _cancel(task: asyncio.Task[Any]) -> None:  # Any: tasks of any result
    try:
        task.cancel()
    except RecursionError:
        pass  # Tasks that wait for each other in a circle: they stay, and are closed.


def _drain(loop: DurableLoop) -> None:
    steps_left = _STEPS_MAX + _STEPS_PER_TASK * len(loop.tasks)
    while loop.has_ready and steps_left > 0:
        try:
            steps_left = loop.drain(steps_left)
        except BaseException:  # the boundary of user code that is on its way out
            steps_left -= 1
