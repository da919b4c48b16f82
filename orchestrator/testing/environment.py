"""An engine for tests, in this process: on a clock that skips idle time, or on the real one.

Time is skipped while the end of a run is waited for and nothing is under way: no message in
anybody's hand, no attempt running. Then it jumps to the next row that is due. Everything else is
the engine that also runs on real servers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from types import TracebackType
from typing import Self

from orchestrator.adapters.memory.broker import MemoryBroker, MemoryExchange
from orchestrator.adapters.memory.clock import SkippingClock
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.client import Client, Interceptor
from orchestrator.config import EMBEDDED, Settings, load_settings
from orchestrator.converter import DataConverter
from orchestrator.ids import Namespace, TaskQueue
from orchestrator.limits import IDLE_POLL_MS
from orchestrator.ports.broker import WorkflowQueue
from orchestrator.units import to_datetime, to_ms
from orchestrator.wiring import Services

_QUIET_TURNS = 20
"""Turns of the event loop without anything under way, before time is skipped: what a test does
between two awaits has then been done."""
_LOOK_SECONDS = 0.001
"""How often an environment in which nothing can be skipped looks again, in real time."""


class WorkflowEnvironment:
    """Has a `client` for workers and tests. Use it as `async with`, or call `shutdown`."""

    def __init__(self, client: Client, skipper: _Skipper | None, *, owns_client: bool) -> None:
        """Made by the class methods."""
        self.client = client
        self._skipper = skipper
        self._owns_client = owns_client

    @classmethod
    async def start_time_skipping(
        cls,
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        namespace: str = "default",
    ) -> Self:
        """The embedded engine on a clock of its own, which skips idle time."""
        clock, exchange = SkippingClock(), MemoryExchange()
        store = MemoryStore(
            now_ms=clock.now_ms,
            random=Random(secrets.randbits(64)),
            namespace=Namespace(namespace),
        )
        skipper = _Skipper(clock, exchange, store)
        services = Services(
            settings=_embedded(namespace),
            store=store,
            broker=MemoryBroker(exchange),
            clock=clock,
            waiting=skipper.unlocked,
        )
        await services.open()
        skipper.start()
        client = Client(services, data_converter=data_converter, interceptors=interceptors)
        return cls(client, skipper, owns_client=True)

    @classmethod
    async def start_local(
        cls,
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        namespace: str = "default",
    ) -> Self:
        """The embedded engine on the real clock."""
        client = await Client.connect(
            broker=EMBEDDED,
            store=EMBEDDED,
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
        )
        return cls(client, None, owns_client=True)

    @classmethod
    def from_client(cls, client: Client) -> Self:
        """Around a client that stays its owner's: tests written for an environment then run on the
        servers of that client."""
        return cls(client, None, owns_client=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()

    async def shutdown(self) -> None:
        """End the environment; workers must have ended before."""
        if self._skipper is not None:
            await self._skipper.stop()
        if self._owns_client:
            await self.client.close()

    @property
    def supports_time_skipping(self) -> bool:
        """Whether idle time is skipped."""
        return self._skipper is not None

    async def sleep(self, duration: timedelta | float) -> None:
        """Let time pass, skipped as far as nothing is under way."""
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        if self._skipper is None:
            await asyncio.sleep(seconds)
        else:
            await self._skipper.sleep(to_ms(timedelta(seconds=seconds)))

    async def get_current_time(self) -> datetime:
        """The time of the environment, UTC."""
        return to_datetime(self.client.services.clock.now_ms())

    @contextmanager
    def auto_time_skipping_disabled(self) -> Generator[None, None, None]:
        """Inside, waiting for the end of a run skips no time."""
        if self._skipper is None:
            yield
            return
        with self._skipper.disabled():
            yield


class _Skipper:
    """Moves the clock while somebody waits and nothing is under way."""

    def __init__(self, clock: SkippingClock, exchange: MemoryExchange, store: MemoryStore) -> None:
        self._clock = clock
        self._exchange = exchange
        self._store = store
        self._waiting = 0
        self._disabled = 0
        self._sleepers: list[int] = []
        self._overdue_ms = 0
        self._may_skip = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="time skipping")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextmanager
    def unlocked(self) -> Generator[None, None, None]:
        """Somebody waits for the end of a run."""
        self._waiting += 1
        self._changed()
        try:
            yield
        finally:
            self._waiting -= 1
            self._changed()

    @contextmanager
    def disabled(self) -> Generator[None, None, None]:
        """Nobody's wait counts."""
        self._disabled += 1
        self._changed()
        try:
            yield
        finally:
            self._disabled -= 1
            self._changed()

    async def sleep(self, duration_ms: int) -> None:
        until_ms = self._clock.now_ms() + duration_ms
        self._sleepers.append(until_ms)
        try:
            with self.unlocked():
                await self._clock.wait(asyncio.Event(), timeout_ms=duration_ms)
        finally:
            self._sleepers.remove(until_ms)

    def _changed(self) -> None:
        if self._sleepers or (self._waiting and not self._disabled):
            self._may_skip.set()
        else:
            self._may_skip.clear()

    async def _run(self) -> None:
        while True:
            await self._may_skip.wait()
            if not (await self._is_quiet() and self._may_skip.is_set() and self._skip()):
                await asyncio.sleep(_LOOK_SECONDS)

    async def _is_quiet(self) -> bool:
        for _ in range(_QUIET_TURNS):
            if not self._exchange.is_quiet or self._store.runs_attempts():
                return False
            await asyncio.sleep(0)
        return True

    def _skip(self) -> bool:
        """Jump to what is due next; False when there is nothing to jump to."""
        due_ms = self._store.next_due_ms(waits=self._waits)
        targets = [*self._sleepers, *([] if due_ms is None else [due_ms])]
        target_ms = min(targets, default=None)
        if target_ms is not None and target_ms <= self._clock.now_ms():
            target_ms = self._next_look_ms(target_ms)
        if target_ms is None:
            return False
        self._clock.skip_to(target_ms)
        return True

    def _next_look_ms(self, overdue_ms: int) -> int | None:
        """When the duty that has overlooked something looks again; asked once for each such thing,
        since in an environment without a worker nobody looks."""
        if overdue_ms == self._overdue_ms:
            return None
        self._overdue_ms = overdue_ms
        wake_ms = self._clock.next_wake_ms()
        soon = wake_ms is not None and wake_ms <= self._clock.now_ms() + IDLE_POLL_MS
        return wake_ms if soon else None

    def _waits(self, task_queue: TaskQueue) -> bool:
        return bool(self._exchange.ready(WorkflowQueue(task_queue)))


def _embedded(namespace: str) -> Settings:
    return load_settings({"broker": EMBEDDED, "store": EMBEDDED, "namespace": namespace})
