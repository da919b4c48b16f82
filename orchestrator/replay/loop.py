"""The durable event loop: asyncio without selector, clock or thread.

A deque of handles, first in, first out, and timers that are durable: `call_later` asks the host for
one, cancelling its handle takes it back. Everything that would leave the deterministic world
(threads, sockets, processes) raises at the call; so does what asyncio does in the order of memory
addresses (see `order`). The order of everything here is `core.decide.LOOP_VERSION`: a change needs
a new number, and histories of the old one must still run as they did.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from types import AsyncGeneratorType
from typing import Any, Protocol, TypeAlias

from orchestrator.limits import TIMER_MS_MAX
from orchestrator.replay.facts import Activation
from orchestrator.replay.order import check_future, check_task, lossless_waiter
from orchestrator.replay.tasks import DurableTask
from orchestrator.replay.timers import Timers

_AsyncGenerator: TypeAlias = AsyncGeneratorType[Any, Any]  # Any: generators of any type
_GENERATORS_KEPT = 64
"""Finished generators are forgotten when so many more have been begun."""


class LoopHost(Protocol):
    """Who gives the loop its time and its durable timers."""

    @property
    def now_ms(self) -> int: ...

    @property
    def activation(self) -> Activation: ...

    @property
    def timers(self) -> Timers: ...

    @property
    def read_only(self) -> bool: ...

    def check_writable(self, act: str) -> None: ...

    def note_breach(self, act: str) -> Exception: ...

    def report(self, context: dict[str, Any]) -> None:  # Any: asyncio's own type
        ...


class DurableTimer(asyncio.TimerHandle):
    """A timer's handle. `timer_id` None: it has fired, was taken back, or only yields."""

    __slots__ = ("timer_id",)

    timer_id: str | None


class DurableLoop(asyncio.AbstractEventLoop):
    """Runs user code until nothing is ready. Owned by one run, used by one thread at a time.

    `seed` sets the hashes of this run's tasks apart from those of other runs.
    """

    def __init__(self, host: LoopHost, *, seed: int) -> None:
        self.host = host
        self.halted = False
        """Set to stop `drain` at the next handle."""
        self.tasks: dict[asyncio.Task[Any], None] = {}  # Any: tasks of any result
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[str, DurableTimer] = {}
        self._generators: list[_AsyncGenerator] = []
        self._generators_max = _GENERATORS_KEPT
        self._task_number = 0
        # Ascending in the low bits, so a set of tasks is walked in the order they were made.
        self._hash_base = (seed % 2**44) << 16

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Be the running loop, whatever loop ran before; asynchronous generators stay ours."""
        outer = asyncio._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._keep_generator, finalizer=None)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)

    def drain(self, steps_max: int = sys.maxsize) -> int:
        """Run handles in order until none is ready, `halted` is set, or so many have run. Returns
        how many more might have. Call it inside of `running`.

        SystemExit and KeyboardInterrupt pass through, as in any loop of asyncio.
        """
        ready, steps_left = self._ready, steps_max
        while ready and steps_left > 0 and not self.halted:
            steps_left -= 1
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
        return steps_left

    @property
    def has_ready(self) -> bool:
        """Whether a handle waits to run."""
        return bool(self._ready)

    def fire(self, timer_id: str) -> bool:
        """Make the handle of a timer ready. False: it was cancelled and is gone."""
        handle = self._timers.pop(timer_id, None)
        if handle is None:
            return False
        handle.timer_id = None
        self._ready.append(handle)
        return True

    def time(self) -> float:
        """Seconds since the epoch, fixed during an activation."""
        return self.host.now_ms / 1000

    def call_soon(  # type: ignore[override]  # Any instead of typeshed's type variables
        self,
        callback: Callable[..., object],
        *args: Any,  # Any: asyncio's own type
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run `callback` after what is already ready."""
        if self.host.read_only:
            # Not refused: the future whose callback it is would be done, and its waiter never told.
            self.host.note_breach("schedule a callback")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # as call_soon
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,  # Any: asyncio's own type
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Start a durable timer of `delay` seconds, rounded to ms; ≤ 0 only yields."""
        return self.call_later_with(delay, callback, *args, context=context)

    def call_later_with(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,  # Any: asyncio's own type
        context: Context | None = None,
        summary: str = "",
    ) -> asyncio.TimerHandle:
        """As `call_later`; people find `summary` at the timer's event.

        Raises:
            ValueError: the delay is not a number, or beyond `limits.TIMER_MS_MAX`.
        """
        self.host.check_writable("start a timer")
        handle = DurableTimer(self.time() + delay, callback, args, self, context)
        handle.timer_id = None
        if delay <= 0:
            self._ready.append(handle)
            return handle
        if not delay * 1000 <= TIMER_MS_MAX:
            raise ValueError(
                f"a timer takes at most {TIMER_MS_MAX // 86_400_000} days, found {delay} seconds"
            )
        timer_id = self.host.timers.start(max(1, round(delay * 1000)), summary)
        self._timers[timer_id] = handle
        handle.timer_id = timer_id
        return handle

    def call_at(  # type: ignore[override]  # as call_soon
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # Any: asyncio's own type
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As `call_later`, by this loop's time."""
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, DurableTimer) and handle.timer_id is not None:
            del self._timers[handle.timer_id]
            self.host.timers.cancel(handle.timer_id)
            handle.timer_id = None

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # it is documented
        check_future(caller)
        return lossless_waiter(self, caller) or asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,  # Any: typeshed's types differ between Pythons
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
    ) -> asyncio.Task[Any]:
        """A task, kept alive until it is done; it begins when its turn comes.

        Raises:
            RuntimeError: `eager_start`, or the caller would order tasks by memory address.
        """
        try:
            self.host.check_writable("create a task")
            check_task(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]  # as above
            if eager_start:
                raise RuntimeError(
                    "tasks of workflow code begin in turn: eager_start is not for it"
                )
        except BaseException:
            if isinstance(coro, Coroutine):
                # Nobody else can: what the caller passed was made for this call.
                coro.close()
            raise
        shown = None if name is None else str(name)
        task = DurableTask[Any](coro, numbers=self, loop=self, name=shown, context=context)
        self.keep(task)
        return task

    def begin_at_once(self) -> None:
        """Let what was made ready last, the beginning of a task, come before all that waits."""
        self._ready.appendleft(self._ready.pop())

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold `task` until it is done: asyncio itself holds waiting tasks weakly."""
        self.tasks[task] = None
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    def next_task_number(self) -> int:
        """1, 2, 3 … in the order in which tasks are made."""
        self._task_number += 1
        return self._task_number

    def task_hash(self, number: int) -> int:
        """What a task of this number hashes to; no other run is likely to have it."""
        return self._hash_base + number

    def _keep_generator(self, generator: AsyncGenerator[Any, Any]) -> None:  # Any: as above
        # Its end must not come when the garbage collector likes: a `finally` may issue commands.
        if len(self._generators) >= self._generators_max:
            self._generators = self.open_generators()
            self._generators_max = len(self._generators) + _GENERATORS_KEPT
        if isinstance(generator, AsyncGeneratorType):
            self._generators.append(generator)

    def open_generators(self) -> list[_AsyncGenerator]:
        """Asynchronous generators that were begun and have not ended."""
        return [one for one in self._generators if one.ag_frame is not None]

    def get_debug(self) -> bool:
        """Never: debug mode reads clocks."""
        return False

    def is_running(self) -> bool:
        """Always, as far as its own code can tell."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def get_task_factory(self) -> None:
        """None: tasks are made one way."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:  # Any: asyncio's own type
        """Hand an error that nobody awaited to the host."""
        self.host.report(context)


def _refuse(name: str, reason: str) -> Callable[..., Any]:
    def refuse(*_args: object, **_options: object) -> Any:  # Any: it never returns
        raise RuntimeError(f"loop.{name} does not exist in workflow code, {reason}")

    return refuse


_OUTSIDE = (
    "which must be deterministic: threads, sockets, files and processes belong in an activity"
)
_OWNED = "whose loop is run, and stopped, by the worker; its tasks always begin in turn"

for _name in [
    "run_in_executor",
    "set_default_executor",
    "call_soon_threadsafe",
    "getaddrinfo",
    "getnameinfo",
    "create_connection",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "sendfile",
    "start_tls",
    "create_datagram_endpoint",
    "connect_read_pipe",
    "connect_write_pipe",
    "subprocess_shell",
    "subprocess_exec",
    "connect_accepted_socket",
    "add_reader",
    "remove_reader",
    "add_writer",
    "remove_writer",
    "sock_recv",
    "sock_recv_into",
    "sock_sendall",
    "sock_connect",
    "sock_accept",
    "sock_sendfile",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendto",
    "add_signal_handler",
    "remove_signal_handler",
]:
    setattr(DurableLoop, _name, _refuse(_name, _OUTSIDE))
for _name in [
    "run_forever",
    "run_until_complete",
    "stop",
    "close",
    "set_task_factory",
    "set_exception_handler",
    "get_exception_handler",
    "default_exception_handler",
    "set_debug",
    "shutdown_asyncgens",
    "shutdown_default_executor",
]:
    setattr(DurableLoop, _name, _refuse(_name, _OWNED))
