"""Where the demo plays: real servers and worker processes, or (see `embedded`) all in one process.

A scene starts everything it needs and ends it again, whatever happens in between; only what it
started itself is ever signalled. What happens on it is decided in `play`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from orchestrator.adapters.rabbitmq.plain_requests import PlainRequests
from orchestrator.adapters.redis.plain_view import history_key, xrange_lines
from orchestrator.cli.demo.orders import PlacedOrder
from orchestrator.cli.demo.processes import WorkerProcess, WorkerProcesses
from orchestrator.cli.exits import CommandError
from orchestrator.client import Client
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import Namespace
from orchestrator.testing.audit import Interruption
from orchestrator.testing.ledger import Row
from orchestrator.testing.servers import Servers

NAMESPACE = "demo"
_CANCEL_AGAIN_SECONDS = 0.5
Answer = tuple[str, Mapping[str, Any]]  # Any: JSON
"""Request id and what the gateway said."""
_Result = TypeVar("_Result")


class Scene(Protocol):
    """What a play needs."""

    @property
    def client(self) -> Client:
        """For looking on."""
        ...

    @property
    def interruptions(self) -> Sequence[Interruption]:
        """What was done to processes."""
        ...

    @property
    def answers(self) -> asyncio.Queue[Answer]:
        """One for each request, in the order of their arrival."""
        ...

    @property
    def workers(self) -> int:
        """How many workers are running."""
        ...

    def rows(self) -> Sequence[Row]:
        """The ledger: what activities did so far."""
        ...

    def ask(self, orders: Sequence[PlacedOrder]) -> None:
        """Publish the start messages, again and again until they are answered."""
        ...

    def repeats(self) -> int:
        """How many start messages were published again."""
        ...

    async def start_worker(self) -> str:
        """Start one more worker, and say which."""
        ...

    async def kill_worker(self) -> str:
        """End a worker without warning, and say which."""
        ...

    def check(self) -> None:
        """Raises UnavailableError when a worker has ended that nobody ended."""
        ...

    async def stop_workers(self) -> None:
        """End all workers in good order."""
        ...

    async def look_inside(self, order: PlacedOrder) -> tuple[str, Sequence[str]]:
        """The history of an order as it is stored, with a title."""
        ...


class RealScene:
    """RabbitMQ and Redis of the demo's own, and worker processes."""

    def __init__(self, servers: Servers, client: Client, processes: WorkerProcesses) -> None:
        """Made by `real_scene`."""
        self.servers = servers
        self.client = client
        self.answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._processes = processes
        self._requests = PlainRequests(
            client.services.settings.connection.broker,
            Namespace(client.namespace),
            routing_key="start",
            on_answer=lambda request_id, answer: self.answers.put_nowait((request_id, answer)),
        )

    @property
    def interruptions(self) -> Sequence[Interruption]:
        """What was done to worker processes."""
        return self._processes.interruptions

    @property
    def workers(self) -> int:
        """How many worker processes there are."""
        return len(self._processes.running())

    async def publish(self) -> None:
        """Publish what is asked until cancelled."""
        await self._requests.run()

    def rows(self) -> Sequence[Row]:
        """The ledger: what activities did so far."""
        return self._processes.ledger.read().rows

    def ask(self, orders: Sequence[PlacedOrder]) -> None:
        """Publish the start messages, again and again until they are answered."""
        self._requests.ask({order.request_id: order.start_message() for order in orders})

    def repeats(self) -> int:
        """How many start messages were published again."""
        return self._requests.unanswered.repeats

    async def start_worker(self) -> str:
        """Start one more process."""
        return _name(self._processes.start())

    async def kill_worker(self) -> str:
        """Kill the worker that has been there longest, with SIGKILL."""
        worker = self._processes.running()[0]
        await in_thread(lambda: self._processes.kill(worker))
        return _name(worker)

    def check(self) -> None:
        """Raises UnavailableError when a worker has ended that nobody ended."""
        self._processes.check()

    async def stop_workers(self) -> None:
        """SIGTERM, and wait."""
        await in_thread(self._processes.stop)

    async def kill_redis(self) -> None:
        """SIGKILL, and start it again on its data."""
        await in_thread(self.servers.redis.restart)

    async def kill_rabbitmq(self) -> None:
        """SIGKILL, and start it again on its data."""
        await in_thread(self.servers.rabbitmq.restart)

    async def wipe_rabbitmq(self) -> None:
        """SIGKILL, delete all its data, and start it again."""

        def wipe() -> None:
            self.servers.rabbitmq.wipe()
            self.servers.rabbitmq.start()

        await in_thread(wipe)

    async def look_inside(self, order: PlacedOrder) -> tuple[str, Sequence[str]]:
        """The stream that is the order's history, and how to print it oneself."""
        services = self.client.services
        key = history_key(
            services.namespace, services.store.shards, order.workflow_id, order.request_id
        )
        url = services.settings.connection.store
        return f"redis-cli -u {url} XRANGE '{key}' - +", await xrange_lines(url, key)


class NoServersError(CommandError):
    """The servers that were found do not start."""


@asynccontextmanager
async def real_scene(servers: Servers, folder: Path) -> AsyncGenerator[RealScene]:
    """Start `servers` and connect; `folder` is where `workers/` is. Everything ends with it.

    Raises:
        NoServersError: they do not start.
    """
    async with AsyncExitStack() as stack:
        logs = Path(tempfile.mkdtemp(prefix="orchestrator-demo-"))
        stack.callback(shutil.rmtree, logs, ignore_errors=True)
        stack.push_async_callback(in_thread, servers.stop)
        try:
            await in_thread(servers.__enter__)
        except (UnavailableError, MisconfiguredError) as error:
            raise NoServersError(f"the servers do not start: {error}") from error
        broker, store = servers.rabbitmq.url, servers.redis.url
        client = await Client.connect(broker=broker, store=store, namespace=NAMESPACE)
        await stack.enter_async_context(client)
        processes = WorkerProcesses(
            folder=folder, logs=logs, broker=broker, store=store, namespace=NAMESPACE
        )
        stack.push_async_callback(in_thread, processes.stop)
        scene = RealScene(servers, client, processes)
        publishing = asyncio.create_task(scene.publish(), name="publisher")
        stack.push_async_callback(end, publishing)
        yield scene


def find_workers(folder: Path) -> Path:
    """The folder with `workers/orders`: this one, or the checkout that the package comes from.

    Raises:
        CommandError: there is none.
    """
    checkout = Path(__file__).resolve().parents[3]
    for candidate in (folder, checkout):
        if (candidate / "workers" / "orders" / "app.py").is_file():
            return candidate
    raise CommandError(
        f"the demo's orders are in workers/orders, which is neither in {folder} nor beside the "
        "installed package; run the demo from a checkout of the project"
    )


async def in_thread(call: Callable[[], _Result]) -> _Result:
    """Do what blocks in a thread. Who is cancelled meanwhile still waits for its end: nothing
    that was begun to be started or stopped is left half done."""
    work = asyncio.create_task(asyncio.to_thread(call))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended: `wait_for` of Python 3.11, which libraries use, forgets a
    cancellation that comes in the moment of its result."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(task, return_exceptions=True)


def _name(worker: WorkerProcess) -> str:
    return f"worker {worker.number} (process {worker.pid})"
