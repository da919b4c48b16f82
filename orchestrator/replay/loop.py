"""The durable event loop: asyncio without selector, clock or thread.

A deque of handles, first in, first out, and timers that are durable: `call_later` asks the host for
one, cancelling its handle takes it back. Everything that would leave the deterministic world
(threads, sockets, processes) raises at the call.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Protocol


class LoopHost(Protocol):
    """Who gives the loop its time and its durable timers."""

    @property
    def now_ms(self) -> int: ...

    def start_timer(self, delay_ms: int) -> str: ...

    def cancel_timer(self, timer_id: str) -> None: ...

    def check_writable(self, act: str) -> None: ...

    def report(self, context: dict[str, Any]) -> None:  # Any: asyncio's own type
        ...


class DurableLoop(asyncio.AbstractEventLoop):
    """Runs user code until nothing is ready. Owned by one run, used by one thread at a time."""

    def __init__(self, host: LoopHost) -> None:
        self.host = host
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._timer_ids: dict[int, str] = {}
        self.tasks: dict[asyncio.Task[Any], None] = {}  # Any: tasks of any result

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Be the running loop, whatever loop ran before; asynchronous generators stay ours."""
        outer = asyncio._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(None, None)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)

    def drain(self, *, stop: Callable[[], bool]) -> None:
        """Run handles in order until none is ready or `stop()`. Call it inside of `running`."""
        while self._ready and not stop():
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    @property
    def has_ready(self) -> bool:
        """Whether a handle waits to run."""
        return bool(self._ready)

    def fire(self, timer_id: str) -> None:
        """Make the handle of a timer ready; one that was cancelled is gone and ignored."""
        handle = self._timers.pop(timer_id, None)
        if handle is not None:
            del self._timer_ids[id(handle)]
            self._ready.append(handle)

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
        self.host.check_writable("schedule a callback")
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
        self.host.check_writable("start a timer")
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        if delay <= 0:
            self._ready.append(handle)
            return handle
        timer_id = self.host.start_timer(max(1, round(delay * 1000)))
        self._timers[timer_id] = handle
        self._timer_ids[id(handle)] = timer_id
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
        timer_id = self._timer_ids.pop(id(handle), None)
        if timer_id is not None:
            del self._timers[timer_id]
            self.host.cancel_timer(timer_id)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,  # Any: typeshed's types differ between Pythons
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task, kept alive until it is done."""
        self.host.check_writable("create a task")
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]  # any object is a name
        self.keep(task)
        return task

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold `task` until it is done: asyncio itself holds waiting tasks weakly."""
        self.tasks[task] = None
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    def get_debug(self) -> bool:
        """Never: debug mode reads clocks."""
        return False

    def is_running(self) -> bool:
        """Always, as far as its own code can tell."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:  # Any: asyncio's own type
        """Hand an error that nobody awaited to the host."""
        self.host.report(context)


def _refuse(name: str) -> Callable[..., Any]:
    def refuse(*_args: object, **_options: object) -> Any:  # Any: it never returns
        raise RuntimeError(
            f"loop.{name} does not exist in workflow code, which must be deterministic: threads, "
            "sockets, files and processes belong in an activity"
        )

    return refuse


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
    "run_forever",
    "run_until_complete",
    "stop",
    "close",
    "set_task_factory",
    "set_exception_handler",
    "set_debug",
    "shutdown_asyncgens",
    "shutdown_default_executor",
]:
    setattr(DurableLoop, _name, _refuse(_name))
