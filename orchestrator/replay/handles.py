"""What goes on elsewhere, as workflow code holds it: a task that waits behind a shield.

Cancelling the task asks for the cancellation of the activity or child; how the wait then ends is
decided by the cancellation type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, TypeVar

from orchestrator.replay.tasks import DurableTask, TaskNumbers

_T = TypeVar("_T")


class ActivityCancellationType(IntEnum):
    """What the waiting workflow code sees when it cancels an activity."""

    TRY_CANCEL = 0
    """The request is recorded, and the wait ends at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """The request is recorded, and the wait goes on until the activity has ended."""
    ABANDON = 2
    """Nothing is asked of the activity, and the wait ends at once."""


class OperationHandle(DurableTask[_T]):
    """Something that goes on elsewhere; cancel the task to ask for its end there. `request_cancel`
    takes the message that the task was cancelled with."""

    def __init__(
        self,
        result: asyncio.Future[_T],
        *,
        request_cancel: Callable[[str], None],
        evicting: Callable[[], bool],
        numbers: TaskNumbers,
        loop: asyncio.AbstractEventLoop,
        name: str,
    ) -> None:
        self._has_begun = False
        self._request_cancel = request_cancel
        waiting = self._wait(result, evicting)
        super().__init__(waiting, numbers=numbers, loop=loop, name=name)

    def cancel(self, msg: Any | None = None) -> bool:  # Any: asyncio's own type
        """Ask for its cancellation. Nobody can catch that before the task has begun, so then the
        request is made here."""
        if not self._has_begun and not self.done():
            self._request_cancel("" if msg is None else str(msg))
        return super().cancel(msg)

    def _wait(
        self, result: asyncio.Future[_T], evicting: Callable[[], bool]
    ) -> Coroutine[Any, Any, _T]:  # Any: the types of asyncio's own coroutines
        async def wait() -> _T:
            self._has_begun = True
            while True:
                try:
                    await until_done(result)
                    return result.result()
                except asyncio.CancelledError as error:
                    # A cancellation that comes with the result wins: it must not be lost.
                    if result.done() or evicting():
                        raise
                    self._request_cancel(reason_of(error))
                    self.uncancel()

        return wait()


class ActivityHandle(OperationHandle[_T]):
    """A scheduled activity; await it for its result, cancel it to ask for its end."""


def reason_of(error: asyncio.CancelledError) -> str:
    """The message that a task was cancelled with; empty: none."""
    return str(error.args[0]) if error.args and error.args[0] is not None else ""


async def until_done(future: asyncio.Future[Any]) -> None:  # Any: results of any type
    """Wait for `future`, which a cancellation of the caller leaves alone."""
    if future.done():
        return
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def release(_: object) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(release)
    try:
        await waiter
    finally:
        future.remove_done_callback(release)
