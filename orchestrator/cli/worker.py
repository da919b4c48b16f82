"""`orchestrator worker`: runs the workflows and activities of an app module."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter, validators

from orchestrator.cli.app import DEBUG
from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import (
    Connection,
    Flag,
    HealthPort,
    Logs,
    check_shared,
    settings_of,
)
from orchestrator.limits import GRACEFUL_SHUTDOWN_MS, WORKER_PROCESSES_MAX

if TYPE_CHECKING:
    from orchestrator.cli.worker_process import WorkerPlan

_AMOUNTS = Group("How much at a time", sort_key=10)
_PROCESSES = validators.Number(gte=1, lte=WORKER_PROCESSES_MAX)
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


async def worker(
    module: str,
    /,
    *,
    processes: Annotated[int, Parameter(validator=_PROCESSES)] = 1,
    task_queue: str | None = None,
    workflows_only: Flag = False,
    activities_only: Flag = False,
    no_engine: Flag = False,
    amounts: Amounts = Amounts(),
    health: HealthPort = HealthPort(),
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
    processes
        Worker processes to run; one that dies is started again. Python uses one core a process.
    task_queue
        Take the tasks of this queue instead of the module's own.
    workflows_only
        Run no activities.
    activities_only
        Run no workflows.
    no_engine
        Leave timers, repeats and start messages to other processes.
    """
    from orchestrator.cli.worker_process import WorkerPlan, run_worker

    if workflows_only and activities_only:
        raise CommandError("--workflows-only and --activities-only exclude each other")
    check_shared(settings_of(connection))
    plan = WorkerPlan(
        module=module,
        task_queue=task_queue,
        workflows=not activities_only,
        activities=not workflows_only,
        engine=not no_engine,
        max_concurrent_activities=amounts.max_concurrent_activities,
        max_concurrent_workflow_tasks=amounts.max_concurrent_workflow_tasks,
        max_cached_workflows=amounts.max_cached_workflows,
        graceful_shutdown_ms=int(amounts.graceful_shutdown_timeout * 1000),
        log_level=logs.log_level,
        log_json=logs.log_json,
        broker=connection.broker,
        store=connection.store,
        namespace=connection.namespace,
        codec=connection.codec,
        health_host=health.health_host,
        health_port=health.health_port,
        debug=DEBUG in sys.argv,
    )
    if processes == 1:
        await run_worker(plan)
    else:
        await _supervise(plan, processes, health, logs, connection)


async def _supervise(
    plan: WorkerPlan, processes: int, health: HealthPort, logs: Logs, connection: Connection
) -> None:
    from orchestrator.cli.supervisor import Supervisor
    from orchestrator.worker.process import health_port, run_until_signal

    settings = settings_of(
        connection, health_host=health.health_host, health_port=health.health_port
    ).health
    logs.configure()
    supervisor = Supervisor(plan, processes)
    async with health_port(
        supervisor.problems, host=settings.health_host, port=settings.health_port
    ):
        await run_until_signal(supervisor, within_ms=None, at_once=supervisor.kill)
