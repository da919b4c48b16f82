"""`wait` and `as_completed` on lists: asyncio's own put what they wait for into sets, whose order
differs on replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

_T = TypeVar("_T")


async def wait(
    fs: Iterable[asyncio.Future[_T]],
    *,
    timeout: float | None = None,
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[list[asyncio.Future[_T]], list[asyncio.Future[_T]]]:
    """Wait as `asyncio.wait` does; both lists, done and pending, are in the order given.

    Raises:
        TypeError: a coroutine is among them; make it a task first.
        ValueError: nothing is given, or `return_when` is none of asyncio's constants.
    """
    futures = list(dict.fromkeys(_each(fs, "wait")))
    if not futures:
        raise ValueError("workflow.wait needs something to wait for, found an empty collection")
    if return_when not in (
        asyncio.FIRST_COMPLETED,
        asyncio.FIRST_EXCEPTION,
        asyncio.ALL_COMPLETED,
    ):
        raise ValueError(f"return_when must be one of asyncio's constants, found {return_when!r}")
    for future in futures:
        if not asyncio.isfuture(future):
            raise TypeError(f"workflow.wait takes tasks and futures, found {future!r}; use a task")
    await _until(futures, timeout, return_when)
    done = [future for future in futures if future.done()]
    return done, [future for future in futures if not future.done()]


def as_completed(
    fs: Iterable[Awaitable[_T]], *, timeout: float | None = None
) -> Iterator[Coroutine[Any, Any, _T]]:  # Any: the types of asyncio's own coroutines
    """As `asyncio.as_completed`; what is given is begun in the order given.

    Awaiting one of the coroutines raises asyncio.TimeoutError after `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    futures = [asyncio.ensure_future(one) for one in dict.fromkeys(_each(fs, "as_completed"))]
    ended: asyncio.Queue[asyncio.Future[_T] | None] = asyncio.Queue()
    left = set(futures)

    def finish(future: asyncio.Future[_T]) -> None:
        left.discard(future)
        ended.put_nowait(future)
        if not left and timer is not None:
            timer.cancel()

    def give_up() -> None:
        for future in futures:
            if future in left:
                future.remove_done_callback(finish)
                ended.put_nowait(None)

    async def next_one() -> _T:
        future = await ended.get()
        if future is None:
            raise TimeoutError
        return future.result()

    timer = loop.call_later(timeout, give_up) if timeout is not None and futures else None
    for future in futures:
        future.add_done_callback(finish)
    return (next_one() for _ in futures)


async def _until(
    futures: list[asyncio.Future[_T]], timeout: float | None, return_when: str
) -> None:
    left = sum(not future.done() for future in futures)
    if _enough([future for future in futures if future.done()], left, return_when):
        return
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def release() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def count(future: asyncio.Future[_T]) -> None:
        nonlocal left
        left -= 1
        if _enough([future], left, return_when):
            release()

    timer = loop.call_later(timeout, release) if timeout is not None else None
    waited = [future for future in futures if not future.done()]
    for future in waited:
        future.add_done_callback(count)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in waited:
            future.remove_done_callback(count)


def _enough(done: list[asyncio.Future[_T]], left: int, return_when: str) -> bool:
    if left == 0:
        return True
    if return_when == asyncio.FIRST_COMPLETED:
        return bool(done)
    if return_when == asyncio.FIRST_EXCEPTION:
        return any(not one.cancelled() and one.exception() is not None for one in done)
    return False


def _each(fs: Iterable[_T], what: str) -> Iterable[_T]:
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"workflow.{what} takes a list of them, found one {type(fs).__name__}")
    return fs
