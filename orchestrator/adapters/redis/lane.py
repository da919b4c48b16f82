"""One connection to Redis that all callers of an event loop share.

What is called in one turn of the loop travels in one write; answers come back in the order of the
calls. A call is written once and never again: when its answer is lost, its outcome is unknown, and
whoever asked repeats the same operation. The connection is made again by the next call. A caller
who is cancelled disturbs nobody: its answer is read and dropped.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# redis-py leaves some of its types open.
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

import hiredis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from orchestrator.exceptions import OrchestratorError, UnavailableError
from orchestrator.limits import (
    STORE_CALLS_IN_FLIGHT_MAX,
    STORE_CALLS_WAITING_MAX,
    STORE_TIMEOUT_MS,
)

Socket: TypeAlias = Any  # Any: a connection of redis-py, whose types are half unknown
Part: TypeAlias = str | bytes | int
Connect: TypeAlias = Callable[[], Awaitable[Socket]]
"""A ready connection; raises `UnavailableError` or `MisconfiguredError` within 5 s."""
packed = cast("Callable[[tuple[Part, ...]], bytes]", hiredis.pack_command)
"""A command as it is written; hiredis's own declaration allows a single part."""
REPLIES = (ResponseError, BusyLoadingError, AuthenticationError)
"""What redis-py raises for an error that is the answer to one call; all else is a lost line."""


class _Call:
    """A command and whoever waits for its answer."""

    __slots__ = ("answer", "packed", "until")

    def __init__(self, packed: bytes, answer: asyncio.Future[Any], until: float) -> None:
        self.packed = packed
        self.answer = answer  # Any: what Redis answers
        self.until = until


class Lane:
    """Calls in one turn, one write; opened by the first call, for the loop that made it."""

    def __init__(self, connect: Connect, *, shown_url: str, on_write: Callable[[], None]) -> None:
        self._connect = connect
        self._shown_url = shown_url
        self._on_write = on_write
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Call] = deque()
        self._sent: deque[_Call] = deque()
        self._news = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[None] | None = None
        self._is_left = False
        self._is_closed = False
        self.is_answered = True
        """Whether the last thing that happened was an answer, not a loss of the line."""

    def call(self, *parts: Part) -> asyncio.Future[Any]:  # Any: what Redis answers
        """The answer to a command. Errors that Redis answers are redis-py's own.

        Raises:
            UnavailableError: in the future; closed, too much waits, or the outcome is unknown.
            RuntimeError: called on another event loop than the lane's own.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a Redis store belongs to the event loop on which it was opened")
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._is_closed or len(self._waiting) >= STORE_CALLS_WAITING_MAX:
            problem = "is closed" if self._is_closed else "cannot keep up: too many calls wait"
            answer.set_exception(self._unavailable(f"the connection {problem}"))
            return answer
        until = self._loop.time() + STORE_TIMEOUT_MS / 1000
        self._waiting.append(_Call(packed(parts), answer, until))
        self._news.set()
        if self._work is None:
            self._work = self._loop.create_task(self._run())
        if self._watch is None:
            self._watch = self._loop.call_at(until, self._look)
        return answer

    async def close(self) -> None:
        """Disconnect; calls under way end with `UnavailableError`. Never fails."""
        self._is_closed = True
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        if self._watch is not None:
            self._watch.cancel()
        for calls in (self._sent, self._waiting):
            self._end(calls, self._unavailable("the connection was closed"))

    async def _run(self) -> None:
        """Connect whenever somebody waits, and serve until the line is lost."""
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            try:
                socket = await self._connect()
            except OrchestratorError as error:
                self.is_answered = False
                self._end(self._waiting, error)
                continue
            try:
                problem = await self._serve(socket)
            finally:
                await socket.disconnect(nowait=True)
            self.is_answered = False
            self._end(self._sent, self._unavailable(problem))

    async def _serve(self, socket: Socket) -> str:
        """Write and read until the line is lost; the reason."""
        self._is_left = False
        self._news.set()  # What waits was perhaps announced to the connection before.
        lost = self._lost = self._loop.create_future()
        tasks = [self._loop.create_task(do(socket)) for do in (self._write, self._read)]
        try:
            await asyncio.wait([*tasks, lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._lost = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                if not isinstance(error, RedisError | OSError):
                    context = {"message": "a Redis connection failed", "exception": error}
                    self._loop.call_exception_handler(context)
                return str(error) or type(error).__name__
        return f"no answer within {STORE_TIMEOUT_MS} ms"

    async def _write(self, socket: Socket) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(0)  # Tasks that the same event has woken call in this turn too.
            self._news.clear()
            if self._is_left:
                return
            room = STORE_CALLS_IN_FLIGHT_MAX - len(self._sent)
            turn = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
            if turn:
                self._sent.extend(turn)
                self._on_write()
                await socket.send_packed_command(
                    b"".join([call.packed for call in turn]), check_health=False
                )

    async def _read(self, socket: Socket) -> None:
        while True:
            try:
                answer = await socket.read_response(disconnect_on_error=False)
            except REPLIES as error:
                answer = error
            call = self._sent.popleft()
            self.is_answered = True
            if self._waiting:
                self._news.set()
            if not call.answer.done():
                if isinstance(answer, Exception):
                    call.answer.set_exception(answer)
                else:
                    call.answer.set_result(answer)
            if isinstance(answer, ReadOnlyError):
                # A former master: the next connection may lead to the new one.
                self._is_left = True
                raise answer

    def _look(self) -> None:
        """End what has waited too long. Answers come in order: the oldest call tells for all."""
        self._watch = None
        now = self._loop.time()
        if self._sent and self._sent[0].until <= now:
            if self._lost is not None and not self._lost.done():
                self._lost.set_result(None)
        elif self._waiting and self._waiting[0].until <= now:
            late = deque(call for call in self._waiting if call.until <= now)
            self._waiting = deque(call for call in self._waiting if call.until > now)
            self._end(late, self._unavailable(f"no answer within {STORE_TIMEOUT_MS} ms"))
        first = min((calls[0].until for calls in (self._sent, self._waiting) if calls), default=0.0)
        if first:
            self._watch = self._loop.call_at(max(first, now + 0.01), self._look)

    def _end(self, calls: deque[_Call], error: Exception) -> None:
        while calls:
            call = calls.popleft()
            if not call.answer.done():
                call.answer.set_exception(_copy(error))

    def _unavailable(self, problem: str) -> UnavailableError:
        return UnavailableError(f"Redis at {self._shown_url}: {problem}")


def _copy(error: Exception) -> Exception:
    """One of its own for each waiter: an error that is raised carries its traceback."""
    return type(error)(*error.args)
