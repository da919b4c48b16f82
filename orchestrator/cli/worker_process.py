"""One worker process: loads the app module, runs its worker until told to stop.

The same code runs in the foreground and as a child of a supervisor. A child gets its plan as the
first line of standard input, so that no URL with a password is shown in a list of processes, and
reads on: when standard input ends, its supervisor is gone, and it ends in good order too.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from orchestrator.cli.app import bounded
from orchestrator.cli.app_modules import AppModule, load_app
from orchestrator.cli.codecs import load_converter
from orchestrator.cli.examination import warn_of_store
from orchestrator.cli.exits import CommandError
from orchestrator.client import Client
from orchestrator.limits import DRAIN_MS
from orchestrator.telemetry.health import HealthServer
from orchestrator.telemetry.log import configure
from orchestrator.worker import Worker
from orchestrator.worker.process import health_port, leave, run_until_signal


class WorkerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process runs and how. None: the setting, or the module's own."""

    module: str
    task_queue: str | None = None
    workflows: bool = True
    activities: bool = True
    engine: bool = True
    max_concurrent_activities: int | None = None
    max_concurrent_workflow_tasks: int | None = None
    max_cached_workflows: int | None = None
    graceful_shutdown_ms: int
    log_level: str
    log_json: bool | None = None
    broker: str | None = None
    store: str | None = None
    namespace: str | None = None
    codec: str | None = None
    health_host: str | None = None
    health_port: int | None = None
    health_socket: int | None = None
    """A bound socket's descriptor, which a child answers its supervisor on."""
    debug: bool = False


async def run_worker(plan: WorkerPlan, *, stop: asyncio.Event | None = None) -> None:
    """Run the worker of `plan` until the process is signalled or `stop` is set.

    Raises:
        CommandError: the app module, or what it offers, is wrong.
        UnavailableError: a server does not answer within 5 s, or the health port cannot be had.
        MisconfiguredError: a setting is bad, or a server cannot keep the promises.
    """
    configure(json=plan.log_json, level=plan.log_level, whole_process=True)
    app = _chosen(load_app(plan.module, folder=Path.cwd()), plan)
    client = await Client.connect(
        broker=plan.broker,
        store=plan.store,
        namespace=plan.namespace,
        data_converter=load_converter(plan.codec, folder=Path.cwd()),
        settings={"health_host": plan.health_host, "health_port": plan.health_port},
    )
    async with client:
        await warn_of_store(client.services.settings)
        with _threads(client, plan) as executor:
            worker = _make_worker(client, app, plan, executor)
            async with _health(worker, client, plan):
                in_order = await run_until_signal(
                    worker, within_ms=plan.graceful_shutdown_ms + DRAIN_MS, stop=stop
                )
    leave(in_order=in_order)


async def _run_child(plan: WorkerPlan, reader: asyncio.StreamReader) -> None:
    stop = asyncio.Event()

    async def watch_supervisor() -> None:
        await reader.read()
        stop.set()

    watching = asyncio.create_task(watch_supervisor(), name="supervisor")
    try:
        await run_worker(plan, stop=stop)
    finally:
        watching.cancel()


async def _child() -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    plan = msgspec.json.decode(await reader.readline(), type=WorkerPlan)
    await _run_child(plan, reader)


@asynccontextmanager
async def _health(worker: Worker, client: Client, plan: WorkerPlan) -> AsyncGenerator[None, None]:
    if plan.health_socket is None:
        wanted = client.services.settings.health
        async with health_port(worker.problems, host=wanted.health_host, port=wanted.health_port):
            yield
        return
    server = HealthServer(worker.problems)
    await server.start_on(socket.socket(fileno=plan.health_socket))
    try:
        yield
    finally:
        await server.stop()


def _chosen(app: AppModule, plan: WorkerPlan) -> AppModule:
    """The part of the app that was asked for.

    Raises:
        CommandError: it is empty.
    """
    workflows = app.workflows if plan.workflows else ()
    activities = app.activities if plan.activities else ()
    if not workflows and not activities:
        asked = [name for name in ("workflows", "activities") if getattr(plan, name)]
        none = " and no ".join(asked)
        raise CommandError(f"there is nothing to run: {plan.module} has no {none}")
    return AppModule(plan.task_queue or app.task_queue, workflows, activities)


@contextmanager
def _threads(client: Client, plan: WorkerPlan) -> Generator[Executor, None, None]:
    """Threads for sync activities, as many as may run at a time. Those still busy at the end are
    left behind."""
    settings = client.services.settings.worker
    most = plan.max_concurrent_activities or settings.max_concurrent_activities
    executor = ThreadPoolExecutor(most, thread_name_prefix="activity")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _make_worker(client: Client, app: AppModule, plan: WorkerPlan, executor: Executor) -> Worker:
    try:
        return Worker(
            client,
            task_queue=app.task_queue,
            workflows=app.workflows,
            activities=app.activities,
            activity_executor=executor,
            max_concurrent_workflow_tasks=plan.max_concurrent_workflow_tasks,
            max_concurrent_activities=plan.max_concurrent_activities,
            max_cached_workflows=plan.max_cached_workflows,
            graceful_shutdown_timeout=timedelta(milliseconds=plan.graceful_shutdown_ms),
            engine_duties=plan.engine,
        )
    except (ValueError, TypeError) as error:
        raise CommandError(f"{plan.module}: {error}") from error


if __name__ == "__main__":
    sys.exit(bounded(lambda: asyncio.run(_child()), debug="--debug" in sys.argv))
