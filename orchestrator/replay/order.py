"""Where asyncio itself is not the same on replay, and where it loses a cancellation.

`asyncio.wait` and `as_completed` put what they are given into sets. Our tasks order themselves
there (see `tasks`); coroutines and plain futures cannot, so these calls are refused with the name
of the ordered function. The caller is recognised by its frame, since asyncio gives no other sign.

The `wait_for` of Python 3.11 returns the result when a cancellation comes at the same moment, and
the cancellation is gone. Here it is delivered at the next await instead.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import sys
from collections.abc import Generator
from types import CodeType, FrameType
from typing import Any

from orchestrator.replay.tasks import DurableTask

_ASYNCIO_TASKS = asyncio.tasks.__file__


def _code_of(name: str) -> CodeType | None:
    """The code of one of asyncio's functions; None when this Python has none of that name."""
    code: CodeType | None = getattr(getattr(asyncio.tasks, name, None), "__code__", None)
    return code


_WAIT = _code_of("_wait")
_WAIT_FOR = _code_of("wait_for") if sys.version_info < (3, 12) else None


def check_future(caller: FrameType) -> None:
    """Refuse `asyncio.wait` on several things of which one is not a task of ours.

    Raises:
        RuntimeError: the caller is that call.
    """
    if caller.f_code is not _WAIT:
        return
    waited: set[object] = caller.f_locals["fs"]
    if len(waited) > 1 and not all(isinstance(one, DurableTask) for one in waited):
        raise RuntimeError(
            "asyncio.wait gives futures back in the order of memory addresses, which differs on "
            "replay; use workflow.wait, which takes and gives lists, or pass tasks only"
        )


def check_task(caller: FrameType) -> None:
    """Refuse `asyncio.as_completed` on coroutines, which it begins in any order.

    Raises:
        RuntimeError: the caller is that call.
    """
    frame: FrameType | None = caller
    while frame is not None and frame.f_code.co_filename == _ASYNCIO_TASKS:
        name = frame.f_code.co_qualname
        if name == "as_completed" or name.startswith("_AsCompletedIterator"):
            raise RuntimeError(
                "asyncio.as_completed begins coroutines in the order of memory addresses, which "
                "differs on replay; use workflow.as_completed, or make them tasks first"
            )
        frame = frame.f_back


def lossless_waiter(
    loop: asyncio.AbstractEventLoop, caller: FrameType
) -> asyncio.Future[Any] | None:  # Any: as asyncio's own
    """What `wait_for` of Python 3.11 waits on; None for any other caller."""
    if _WAIT_FOR is None or caller.f_code is not _WAIT_FOR:
        return None
    return _Waiter(caller, loop)


class _Waiter(asyncio.Future[None]):
    """Sees the moment at which `wait_for` is about to prefer the result to the cancellation."""

    def __init__(self, caller: FrameType, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._caller: FrameType | None = caller

    def __await__(self) -> Generator[Any, None, None]:  # Any: as asyncio's own
        caller, self._caller = self._caller, None
        try:
            yield from super().__await__()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            awaited = None if caller is None else caller.f_locals.get("fut")
            if task is not None and _has_result(awaited):
                # The same test that wait_for makes next, and then forgets the cancellation.
                task.uncancel()
                task.cancel(*error.args)
            raise

    __iter__ = __await__


def _has_result(awaited: object) -> bool:
    return isinstance(awaited, asyncio.Future) and awaited.done() and not awaited.cancelled()
