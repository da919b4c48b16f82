"""One run of the bench: workers, loads, raw costs, and what each took."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from orchestrator.adapters.rabbitmq.raw_cost import pass_messages
from orchestrator.adapters.redis.raw_cost import call_scripts
from orchestrator.cli.bench import app
from orchestrator.cli.bench.meter import Meter, Reading, listener_of
from orchestrator.cli.bench.workload import Latencies, burning, in_flight, one_activity
from orchestrator.client import Client
from orchestrator.ids import Namespace
from orchestrator.worker import Worker

_WARM_UP_RUNS = 50
SCRIPTS_PER_RUN = 5
MESSAGES_PER_RUN = 3
"""What a workflow of one activity costs on a cached run; the raw cost is of as many calls."""
_BURN_ACTIVITIES = 16
_BURN_MS = 250


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `worker_processes` 0 means: in the client's process."""

    runs: int = 1000
    in_flight: int = 100
    idle_runs: int = 200
    worker_processes: int = 1


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One load: how fast, and microseconds of CPU for each of its operations, by process."""

    count: int
    per_second: float
    cpu_us: dict[str, float]
    total_us: float

    @staticmethod
    def of(reading: Reading, count: int) -> Measured:
        """`count` operations that took `reading`."""
        return Measured(
            count=count,
            per_second=count / reading.wall_s,
            cpu_us={name: used / count for name, used in reading.cpu_us.items()},
            total_us=reading.total_us() / count,
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a bench found. Latencies are milliseconds: p50, p95, p99."""

    plan: Plan
    loaded: Measured
    loaded_ms: dict[str, float]
    idle: Measured
    idle_ms: dict[str, float]
    raw: Measured
    """Per workflow: as many scripts and messages as it costs, with nothing around them."""
    ratio: float
    """CPU of a workflow over its raw cost, in this run."""
    calls: dict[str, float]
    """Calls of the client's process for each workflow, where the workers run in it."""


class Burned(msgspec.Struct, frozen=True, kw_only=True):
    """Activities that each need a core: seconds until all were done, by number of processes."""

    activities: int
    each_ms: int
    seconds: dict[int, float]


async def measure(client: Client, plan: Plan, tell: Callable[[str], None]) -> Report:
    """Run the loads on the servers of `client`, in its namespace."""
    connection = client.services.settings.connection
    prefix = f"bench-{secrets.token_hex(4)}"
    async with _workers(client, plan.worker_processes) as pids:
        processes = {
            "client": [os.getpid()],
            "workers": pids,
            "redis": listener_of(connection.store),
            "rabbitmq": listener_of(connection.broker),
        }
        tell("warming up")
        await in_flight(one_activity(client, f"{prefix}-warm"), count=_WARM_UP_RUNS, at_a_time=10)
        tell(f"{plan.runs} workflows, {plan.in_flight} in flight")
        before = client.services.counters.snapshot()
        loaded, loaded_ms = await _metered(
            processes,
            plan.runs,
            in_flight(
                one_activity(client, f"{prefix}-load"), count=plan.runs, at_a_time=plan.in_flight
            ),
        )
        after = client.services.counters.snapshot()
        tell(f"{plan.idle_runs} workflows, one after another")
        idle, idle_ms = await _metered(
            processes,
            plan.idle_runs,
            in_flight(one_activity(client, f"{prefix}-idle"), count=plan.idle_runs, at_a_time=1),
        )
    tell("the raw cost of the same calls")
    raw = await _raw(client, processes, plan)
    return Report(
        plan=plan,
        loaded=loaded,
        loaded_ms=_percentiles(loaded_ms),
        idle=idle,
        idle_ms=_percentiles(idle_ms),
        raw=raw,
        ratio=loaded.total_us / raw.total_us if raw.total_us else 0.0,
        calls={name: (after[name] - before.get(name, 0)) / plan.runs for name in after},
    )


async def burn(client: Client, processes: Sequence[int], tell: Callable[[str], None]) -> Burned:
    """How long activities that need a core take on so many worker processes each time."""
    seconds: dict[int, float] = {}
    for count in processes:
        tell(f"{_BURN_ACTIVITIES} × {_BURN_MS} ms of CPU on {count} worker process(es)")
        async with _workers(client, count):
            workflow_id = f"burn-{secrets.token_hex(4)}"
            await in_flight(one_activity(client, f"{workflow_id}-warm"), count=10, at_a_time=10)
            seconds[count] = await burning(
                client, workflow_id, count=_BURN_ACTIVITIES, milliseconds=_BURN_MS
            )
    return Burned(activities=_BURN_ACTIVITIES, each_ms=_BURN_MS, seconds=seconds)


async def _metered(
    processes: dict[str, Sequence[int]], count: int, load: Awaitable[Latencies]
) -> tuple[Measured, Latencies]:
    with Meter(processes) as meter:
        latencies = await load
    return Measured.of(meter.reading, count), latencies


async def _raw(client: Client, processes: dict[str, Sequence[int]], plan: Plan) -> Measured:
    connection = client.services.settings.connection
    namespace = Namespace(connection.namespace)
    at_a_time = min(plan.in_flight, 50)  # as many connections to Redis
    with Meter(processes) as meter:
        await asyncio.gather(
            call_scripts(
                connection.store,
                namespace,
                count=plan.runs * SCRIPTS_PER_RUN,
                in_flight=at_a_time,
            ),
            pass_messages(
                connection.broker,
                namespace,
                count=plan.runs * MESSAGES_PER_RUN,
                in_flight=at_a_time,
            ),
        )
    return Measured.of(meter.reading, plan.runs)


def _percentiles(latencies: Latencies) -> dict[str, float]:
    return {f"p{percent}": latencies.percentile(percent) for percent in (50, 95, 99)}


@asynccontextmanager
async def _workers(client: Client, processes: int) -> AsyncGenerator[Sequence[int], None]:
    """Workers of the bench's workflows, and their process ids."""
    async with AsyncExitStack() as stack:
        if processes == 0:
            executor = stack.enter_context(ThreadPoolExecutor(4))
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=app.task_queue,
                    workflows=app.workflows,
                    activities=app.activities,
                    activity_executor=executor,
                )
            )
        pids: list[int] = []
        for _ in range(processes):
            pids.append(await stack.enter_async_context(_worker_process(client)))
        yield pids


@asynccontextmanager
async def _worker_process(client: Client) -> AsyncGenerator[int, None]:
    connection = client.services.settings.connection
    environment = {
        **os.environ,
        "ORCHESTRATOR_BROKER": connection.broker,
        "ORCHESTRATOR_STORE": connection.store,
        "ORCHESTRATOR_NAMESPACE": connection.namespace,
    }
    command = (sys.executable, "-m", "orchestrator", "worker", "orchestrator.cli.bench.app")
    process = await asyncio.create_subprocess_exec(
        *command, "--log-level", "warning", env=environment
    )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
