"""`orchestrator worker`: runs the workflows and activities of an app module."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter, validators

from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import Connection, connected
from orchestrator.limits import GRACEFUL_SHUTDOWN_MS

if TYPE_CHECKING:
    from orchestrator.cli.app_modules import AppModule
    from orchestrator.client import Client
    from orchestrator.worker import Worker

_AMOUNTS = Group("How much at a time", sort_key=10)
_LOGS = Group("Logs", sort_key=20)
_AT_LEAST_1 = validators.Number(gte=1)
_NOT_NEGATIVE = validators.Number(gte=0)


@Parameter(name="*")
@dataclass(frozen=True)
class Amounts:
    """Bounds of one worker process."""

    max_concurrent_activities: Annotated[
        int | None,
        Parameter(group=_AMOUNTS, validator=_AT_LEAST_1, help="Activities at a time [100]."),
    ] = None
    max_concurrent_workflow_tasks: Annotated[
        int | None,
        Parameter(group=_AMOUNTS, validator=_AT_LEAST_1, help="Workflow tasks at a time [100]."),
    ] = None
    max_cached_workflows: Annotated[
        int | None,
        Parameter(
            group=_AMOUNTS,
            validator=_NOT_NEGATIVE,
            help="Runs kept in memory between their steps; 0 replays each step [1000].",
        ),
    ] = None
    graceful_shutdown_timeout: Annotated[
        float,
        Parameter(
            group=_AMOUNTS,
            validator=_NOT_NEGATIVE,
            help="Seconds that running activities get to finish after SIGTERM.",
        ),
    ] = GRACEFUL_SHUTDOWN_MS / 1000


@Parameter(name="*")
@dataclass(frozen=True)
class Logs:
    """How a long-running command logs, on standard error."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Parameter(group=_LOGS, help="Least level that is written."),
    ] = "info"
    log_json: Annotated[
        bool | None,
        Parameter(group=_LOGS, help="One JSON object a line; default: unless at a terminal."),
    ] = None

    def configure(self) -> None:
        """Write logs as asked from now on."""
        from orchestrator.telemetry.log import configure

        configure(json=self.log_json, level=self.log_level)


async def worker(
    module: str,
    /,
    *,
    task_queue: str | None = None,
    workflows_only: Annotated[bool, Parameter(negative="")] = False,
    activities_only: Annotated[bool, Parameter(negative="")] = False,
    no_engine: Annotated[bool, Parameter(negative="")] = False,
    amounts: Amounts = Amounts(),
    logs: Logs = Logs(),
    connection: Connection = Connection(),
) -> None:
    """Run the workflows and activities of an app module until SIGTERM or Ctrl-C.

    An app module has three names: task_queue (a text), workflows (a list of classes decorated with
    @workflow.defn) and activities (a list of functions decorated with @activity.defn). Start as
    many workers as you like, on as many machines: they share the work. The first signal ends the
    worker in good order; a second one ends it at once.

    Parameters
    ----------
    module
        Where the app is: orders.app, workers/orders/app.py or orders.app:attribute. Looked up from
        the current folder, then from ./workers.
    task_queue
        Take the tasks of this queue instead of the module's own.
    workflows_only
        Run no activities.
    activities_only
        Run no workflows.
    no_engine
        Leave timers, repeats and start messages to other processes.
    """
    from orchestrator.cli.app_modules import load_app
    from orchestrator.worker.process import run_until_signal

    logs.configure()
    app = load_app(module, folder=Path.cwd())
    app = _chosen(app, module, workflows_only, activities_only, task_queue)
    async with connected(connection) as client:
        with _threads(client, amounts) as executor:
            service = _make_worker(client, app, module, amounts, executor, not no_engine)
            await run_until_signal(service)


def _chosen(
    app: AppModule,
    module: str,
    workflows_only: bool,
    activities_only: bool,
    task_queue: str | None,
) -> AppModule:
    """The part of the app that was asked for.

    Raises:
        CommandError: it is empty.
    """
    if workflows_only and activities_only:
        raise CommandError("--workflows-only and --activities-only exclude each other")
    chosen = replace(
        app,
        task_queue=task_queue or app.task_queue,
        workflows=() if activities_only else app.workflows,
        activities=() if workflows_only else app.activities,
    )
    if not chosen.workflows and not chosen.activities:
        kinds = "workflows" if workflows_only else "activities"
        what = kinds if workflows_only or activities_only else "workflows and no activities"
        raise CommandError(f"there is nothing to run: {module} has no {what}")
    return chosen


@contextmanager
def _threads(client: Client, amounts: Amounts) -> Generator[Executor, None, None]:
    """Threads for sync activities, as many as may run at a time. At the end those that are still
    busy are left behind: their attempts will be taken over."""
    settings = client.services.settings.worker
    most = amounts.max_concurrent_activities or settings.max_concurrent_activities
    executor = ThreadPoolExecutor(most, thread_name_prefix="activity")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _make_worker(
    client: Client,
    app: AppModule,
    module: str,
    amounts: Amounts,
    executor: Executor,
    engine_duties: bool,
) -> Worker:
    from orchestrator.worker import Worker

    try:
        return Worker(
            client,
            task_queue=app.task_queue,
            workflows=app.workflows,
            activities=app.activities,
            activity_executor=executor,
            max_concurrent_workflow_tasks=amounts.max_concurrent_workflow_tasks,
            max_concurrent_activities=amounts.max_concurrent_activities,
            max_cached_workflows=amounts.max_cached_workflows,
            graceful_shutdown_timeout=timedelta(seconds=amounts.graceful_shutdown_timeout),
            engine_duties=engine_duties,
        )
    except (ValueError, TypeError) as error:
        raise CommandError(f"{module}: {error}") from error
