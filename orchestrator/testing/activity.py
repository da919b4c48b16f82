"""An activity in a test, without a worker: its function is called with a context that the test
controls.

Nothing is converted, retried or timed: what the function returns or raises is what the test gets.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar, cast

from orchestrator.activity import ActivityCancellationDetails, Info, current_context
from orchestrator.common import RetryPolicy
from orchestrator.converter import DataConverter, PayloadConverter
from orchestrator.definition.activity import is_interruptible
from orchestrator.worker.activity_context import LocalContext, LocalOccurrence
from orchestrator.worker.interruption import Interruption

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(eq=False)
class _Call:
    """One call under way, and how to interrupt it."""

    context: LocalContext
    interrupt: Callable[[], object]


class _Canceller:
    """Cancels the task that made it, from any thread."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in a task
        self._task: asyncio.Task[Any] = task  # Any: whatever the test returns
        self._loop = asyncio.get_running_loop()
        self._is_done = False
        self._cancelled = 0

    def __call__(self) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._cancel()
        else:
            self._loop.call_soon_threadsafe(self._cancel)

    def done(self) -> None:
        """The activity has ended: its cancellation is not the test's."""
        self._is_done = True
        for _ in range(self._cancelled):
            self._task.uncancel()

    def _cancel(self) -> None:
        if not self._is_done:
            self._cancelled += 1
            self._task.cancel()


class ActivityEnvironment:
    """Runs activity functions. `info`, `on_heartbeat` and `payload_converter` may be replaced
    before `run`."""

    def __init__(self, *, client: Any = None) -> None:  # Any: a Client, or what stands for one
        """`client` is what async activities get as `activity.client()`; without it, none."""
        self.client = client
        self.info: Info = self.default_info()
        self.on_heartbeat: Callable[..., None] = _ignore
        """Called with the details of each heartbeat, in the thread of the activity."""
        self.payload_converter: PayloadConverter = DataConverter.default.payload_converter
        self._worker_shutdown = LocalOccurrence()
        self._cancellation: ActivityCancellationDetails | None = None
        self._calls: set[_Call] = set()

    @staticmethod
    def default_info() -> Info:
        """Made-up values; `dataclasses.replace` makes others of them."""
        start = datetime.fromtimestamp(0, UTC)
        return Info(
            activity_id="test",
            activity_type="unknown",
            attempt=1,
            current_attempt_scheduled_time=start,
            heartbeat_details=(),
            heartbeat_timeout=None,
            is_local=False,
            retry_policy=RetryPolicy(),
            schedule_to_close_timeout=timedelta(seconds=1),
            scheduled_event_id=5,
            scheduled_time=start,
            start_to_close_timeout=timedelta(seconds=1),
            started_time=start,
            task_queue="test",
            task_token=b"test",
            workflow_id="test",
            workflow_namespace="default",
            workflow_run_id="test-run",
            workflow_type="test",
        )

    def run(self, fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call `fn` as an activity: a sync function in this thread, its result is returned; an
        async one when the returned coroutine is awaited."""
        if _is_async(fn):
            call = cast("Callable[..., Coroutine[Any, Any, Any]]", fn)  # Any: the user's types
            return cast("_T", self._run_async(call, args, kwargs))
        interruption = Interruption() if is_interruptible(fn) else None
        context = self._context(interruption)
        call_in_context = copy_context()
        call_in_context.run(current_context.set, context)
        under_way = _Call(context, _ignore if interruption is None else interruption.ask)
        self._calls.add(under_way)
        try:
            if interruption is None:
                return call_in_context.run(fn, *args, **kwargs)
            return interruption.run(lambda: call_in_context.run(fn, *args, **kwargs))
        finally:
            self._calls.discard(under_way)

    def cancel(
        self,
        cancellation_details: ActivityCancellationDetails = ActivityCancellationDetails(
            cancel_requested=True
        ),
    ) -> None:
        """Cancel what runs, as a worker would, from any thread; a second call does nothing.

        What is run afterwards finds itself cancelled, but nothing is raised in it.
        """
        if self._cancellation is not None:
            return
        self._cancellation = cancellation_details
        for call in list(self._calls):
            if call.context.cancel(cancellation_details):
                call.interrupt()

    def worker_shutdown(self) -> None:
        """Let activities see that the worker goes; from any thread."""
        self._worker_shutdown.set()

    async def _run_async(
        self,
        fn: Callable[..., Coroutine[Any, Any, Any]],  # Any: the user's types
        args: tuple[Any, ...],  # Any: as above
        kwargs: dict[str, Any],  # Any: as above
    ) -> Any:  # Any: as above
        """In the task that awaits it, as the caller's own code."""
        context = self._context(None)
        interrupt = _Canceller()
        call = _Call(context, interrupt)
        self._calls.add(call)
        token = current_context.set(context)
        try:
            return await fn(*args, **kwargs)
        finally:
            current_context.reset(token)
            self._calls.discard(call)
            interrupt.done()

    def _context(self, interruption: Interruption | None) -> LocalContext:
        context = LocalContext(
            self.info,
            self.payload_converter,
            on_heartbeat=self.on_heartbeat,
            worker_shutdown=self._worker_shutdown,
            interruption=interruption,
            client=self.client,
        )
        if self._cancellation is not None:
            context.cancel(self._cancellation)
        return context


def _is_async(fn: Callable[..., object]) -> bool:
    called = fn if inspect.isroutine(fn) else type(fn).__call__
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(called)


def _ignore(*details: object) -> None:
    """Take no notice."""
