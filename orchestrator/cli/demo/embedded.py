"""The demo's scene without servers: broker, store and workers in this process.

Each worker has a connection of its own to the broker and a line of its own to the store. To tear
one down without warning is to cut both: from then on nothing that it does reaches anybody, as with
a process that was killed. In the ledger's rows a worker's number stands for its process id.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any, NoReturn, cast

from msgspec.structs import replace

from orchestrator import activity
from orchestrator.adapters.memory.broker import MemoryBroker, MemoryExchange
from orchestrator.adapters.memory.clock import SystemClock
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.redis.plain_view import render
from orchestrator.cli.app_modules import AppModule, load_app
from orchestrator.cli.demo.orders import PlacedOrder
from orchestrator.cli.demo.processes import ACTIVITIES_AT_A_TIME, APP
from orchestrator.cli.demo.scene import NAMESPACE, Answer
from orchestrator.client import Client
from orchestrator.config import EMBEDDED, load_settings
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import Namespace, ProcessName
from orchestrator.ports.broker import RequestsQueue
from orchestrator.ports.store import Store
from orchestrator.testing.audit import Interruption
from orchestrator.testing.ledger import ActivityName, Ledger, Row, now_us
from orchestrator.wire.codec import event_fields
from orchestrator.wiring import Services
from orchestrator.worker import Worker

_AttemptName = tuple[ActivityName, int]
_LEDGER = "ORDERS_LEDGER"
_ANSWER_MS = 3_000
"""An unanswered start message is published again after this time."""


class _Line:
    """A worker's line to the store. Once it is cut, whoever calls is cancelled: in a process that
    was killed nothing goes on either, neither what was under way nor an orderly end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:  # Any: whatever the store has
        return _cancel_caller if self.is_cut else getattr(self._store, name)


def _cancel_caller(*args: object, **kwargs: object) -> NoReturn:
    raise asyncio.CancelledError


class _EmbeddedWorker:
    """One worker, with what it takes to cut it off."""

    def __init__(
        self,
        number: int,
        client: Client,
        exchange: MemoryExchange,
        app: AppModule,
        owners: dict[_AttemptName, int],
    ) -> None:
        shared = client.services
        self.number = number
        self._store = shared.store
        self._line = _Line(shared.store)
        self._broker = MemoryBroker(exchange)
        services = Services(
            settings=shared.settings,
            store=cast("Store", self._line),
            broker=self._broker,
            clock=shared.clock,
        )
        self._owners = owners
        self.worker = Worker(
            Client(services),
            task_queue=app.task_queue,
            workflows=app.workflows,
            activities=[self._signed(function) for function in app.activities],
            max_concurrent_activities=ACTIVITIES_AT_A_TIME,
        )
        self._running: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"worker {self.number}"

    @property
    def is_running(self) -> bool:
        """Whether it has neither ended nor been cut off."""
        running = self._running
        return running is not None and not running.done() and not self._line.is_cut

    async def start(self) -> None:
        """Take tasks from now on."""
        await self._broker.open()
        self._running = asyncio.create_task(self.worker.run(), name=self.name)

    async def tear_down(self) -> None:
        """End it without warning."""
        self._line.is_cut = True
        await self._broker.close()
        await self._store.withdraw(ProcessName(self.worker.process))
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def stop(self) -> None:
        """End it in good order."""
        await self.worker.shutdown()
        if self._running is not None:
            await self._running
        await self._broker.close()

    def _signed(self, function: Callable[..., Any]) -> Callable[..., Any]:  # Any: user functions
        """The activity `function`, which notes that this worker runs it."""

        @wraps(function)
        async def run(*args: Any) -> Any:  # Any: as above
            info = activity.info()
            workflow_id, run_id = info.workflow_id or "", info.workflow_run_id or ""
            name = ActivityName(workflow_id, run_id, info.scheduled_event_id)
            self._owners[name, info.attempt] = self.number
            return await function(*args)

        return run

    def check(self) -> None:
        """Raises UnavailableError when it has ended by itself."""
        running = self._running
        if running is not None and running.done() and not self._line.is_cut:
            error = None if running.cancelled() else running.exception()
            if error is not None:
                raise UnavailableError(f"{self.name} ended by itself: {error!r}") from error


class EmbeddedScene:
    """Everything in this process."""

    def __init__(
        self, client: Client, exchange: MemoryExchange, app: AppModule, ledger: Ledger
    ) -> None:
        """Made by `embedded_scene`."""
        self.client = client
        self.interruptions: list[Interruption] = []
        self._ledger = ledger
        self._owners: dict[_AttemptName, int] = {}
        self.answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._exchange = exchange
        self._app = app
        self._workers: list[_EmbeddedWorker] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._repeats = 0

    @property
    def workers(self) -> int:
        """How many workers are running."""
        return sum(worker.is_running for worker in self._workers)

    def rows(self) -> Sequence[Row]:
        """The ledger: what activities did so far."""
        return [
            replace(row, pid=self._owners.get((row.activity, row.attempt), row.pid))
            for row in self._ledger.read().rows
        ]

    def ask(self, orders: Sequence[PlacedOrder]) -> None:
        """Publish the start messages, again and again until they are answered."""
        for order in orders:
            asking = asyncio.create_task(self._ask(order), name=f"ask for {order.workflow_id}")
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)

    def repeats(self) -> int:
        """How many start messages were published again."""
        return self._repeats

    async def start_worker(self) -> str:
        """Start one more worker."""
        worker = _EmbeddedWorker(
            len(self._workers) + 1, self.client, self._exchange, self._app, self._owners
        )
        self._workers.append(worker)
        await worker.start()
        return worker.name

    async def kill_worker(self) -> str:
        """Tear down the worker that has been there longest."""
        worker = next(worker for worker in self._workers if worker.is_running)
        torn_down = Interruption(pid=worker.number, kind="killed", from_us=now_us())
        await worker.tear_down()
        self.interruptions.append(torn_down)
        return worker.name

    def check(self) -> None:
        """Raises UnavailableError when a worker has ended that nobody ended."""
        for worker in self._workers:
            worker.check()

    async def stop_workers(self) -> None:
        """End all workers in good order."""
        for worker in self._workers:
            if worker.is_running:
                await worker.stop()

    async def look_inside(self, order: PlacedOrder) -> tuple[str, Sequence[str]]:
        """The history of an order, as Redis would hold it and redis-cli would print it."""
        handle = self.client.get_workflow_handle(order.workflow_id, run_id=order.request_id)
        entries: list[list[bytes | list[bytes]]] = []
        async for event in handle.fetch_history_events():
            kind, time, data = event_fields(event)
            texts = ("type", kind, "time", time, "data")
            fields = [*(text.encode() for text in texts), data]
            entries.append([f"{event.event_id}-0".encode(), fields])
        return f"the history of {order.workflow_id}, as redis-cli would show it", render(entries)

    async def close(self) -> None:
        """End what still runs."""
        for asking in list(self._asking):
            asking.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for worker in self._workers:
            if worker.is_running:
                await worker.tear_down()

    async def _ask(self, order: PlacedOrder) -> None:
        broker = self.client.services.broker
        while True:
            try:
                body = await broker.request(
                    RequestsQueue(), order.start_message(), timeout_ms=_ANSWER_MS
                )
            except UnavailableError:
                self._repeats += 1
                continue
            self.answers.put_nowait((order.request_id, json.loads(body)))
            return


@asynccontextmanager
async def embedded_scene(folder: Path) -> AsyncGenerator[EmbeddedScene]:
    """An engine in this process; `folder` is where `workers/` is."""
    app = load_app(APP, folder=folder)
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-demo-"))
    ledger, before = Ledger(directory / "ledger.jsonl"), os.environ.get(_LEDGER)
    os.environ[_LEDGER] = str(ledger.path)
    try:
        clock, exchange = SystemClock(), MemoryExchange()
        store = MemoryStore(
            now_ms=clock.now_ms,
            random=Random(secrets.randbits(64)),
            namespace=Namespace(NAMESPACE),
        )
        settings = load_settings({"broker": EMBEDDED, "store": EMBEDDED, "namespace": NAMESPACE})
        services = Services(
            settings=settings, store=store, broker=MemoryBroker(exchange), clock=clock
        )
        await services.open()
        async with Client(services) as client:
            scene = EmbeddedScene(client, exchange, app, ledger)
            try:
                yield scene
            finally:
                await scene.close()
    finally:
        del os.environ[_LEDGER]
        if before is not None:
            os.environ[_LEDGER] = before
        shutil.rmtree(directory, ignore_errors=True)
