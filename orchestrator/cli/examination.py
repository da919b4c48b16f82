"""The examination behind `orchestrator doctor`: asks both servers, tries a message, finds the task
queues that matter, and hands the facts to the rules of `findings`.

A process that begins looks at a part of it: what its Redis will not keep.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.cli.exits import ExitCode
from orchestrator.cli.findings import (
    Finding,
    Level,
    error,
    of_rabbitmq,
    of_redis,
    of_task_queue,
    ok,
    unreachable,
)
from orchestrator.config import EMBEDDED, Settings
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.ids import TaskQueue
from orchestrator.ports.broker import Broker, Delivery, Outgoing, Published, StickyQueue
from orchestrator.ports.visibility import RunFilter
from orchestrator.telemetry.log import get_logger
from orchestrator.wire.options import RunStatus
from orchestrator.wiring import Services, rabbitmq_facts, redis_facts, services_of

_OPEN_RUNS_LOOKED_AT = 1_000
"""The newest; their task queues are looked at."""
_PROBE_SECONDS = 5.0


async def examine(
    settings: Settings, task_queues: Sequence[TaskQueue]
) -> tuple[Sequence[Finding], ExitCode]:
    """All findings, and how the program ends by the worst of them."""
    services = services_of(settings)
    try:
        store, open_runs = await _examine_store(services)
        counts = {**dict.fromkeys(task_queues, 0), **open_runs}
        findings = [*store, *await _examine_broker(services, counts)]
    finally:
        await services.close()
    if any(one.is_unreachable for one in findings):
        return findings, ExitCode.UNAVAILABLE
    worst = any(one.level is Level.ERROR for one in findings)
    return findings, ExitCode.FAILED if worst else ExitCode.DONE


async def warn_of_store(settings: Settings) -> None:
    """Log where Redis keeps less than the class of durability promises.

    It is no reason not to work, and whoever does not know of it learns it from a loss. Clients are
    not told: they come and go, and a process that does the work has a log that somebody reads.
    """
    if settings.connection.store == EMBEDDED:
        return
    try:
        facts = await redis_facts(settings)
    except (UnavailableError, MisconfiguredError):
        return  # Whoever connects is told; this is a second connection.
    for finding in of_redis(facts, settings.engine.durability):
        if finding.level is Level.ERROR:
            get_logger("cli").warning(
                "redis_keeps_less_than_promised",
                subject=finding.subject,
                found=finding.found,
                remedy=finding.remedy,
            )


async def _examine_store(services: Services) -> tuple[Sequence[Finding], Mapping[TaskQueue, int]]:
    """Findings, and how many open runs each task queue has."""
    try:
        facts = await redis_facts(services.settings)
    except UnavailableError as problem:
        return [unreachable("redis", str(problem), "start it, or set ORCHESTRATOR_STORE")], {}
    except MisconfiguredError as problem:
        return [error("redis set-up", str(problem), "see the text")], {}
    findings = list(of_redis(facts, services.settings.engine.durability))
    try:
        await services.store.open()
        page = await services.store.list_page(
            RunFilter(status=RunStatus.RUNNING), limit=_OPEN_RUNS_LOOKED_AT
        )
    except UnavailableError as problem:
        return [*findings, unreachable("redis", str(problem), "see Redis's log")], {}
    except MisconfiguredError as problem:
        return [*findings, error("namespace", str(problem), "use the namespace's settings")], {}
    findings.append(ok("namespace", f"{services.namespace}, {services.store.shards} shards"))
    return findings, Counter(row.task_queue for row in page.rows)


async def _examine_broker(
    services: Services, open_runs: Mapping[TaskQueue, int]
) -> Iterable[Finding]:
    try:
        await services.broker.open()
        facts = await rabbitmq_facts(services.settings, tuple(open_runs))
    except UnavailableError as problem:
        return [unreachable("rabbitmq", str(problem), "start it, or set ORCHESTRATOR_BROKER")]
    except MisconfiguredError as problem:
        return [error("rabbitmq set-up", str(problem), "see the text")]
    findings = list(of_rabbitmq(facts))
    try:
        trip_ms = await _probe(services.broker, services.mint())
        findings.append(ok("rabbitmq round trip", f"{trip_ms:.1f} ms, published, confirmed, taken"))
    except (UnavailableError, MisconfiguredError) as problem:
        findings.append(error("rabbitmq round trip", str(problem), "see RabbitMQ's log and alarms"))
    for task_queue, count in sorted(open_runs.items()):
        findings.extend(of_task_queue(task_queue, facts, open_runs=count))
    return findings


async def _probe(broker: Broker, random: str) -> float:
    """Send a message through a queue of our own; the milliseconds until it was confirmed and taken.

    Raises:
        UnavailableError: it was not, in time.
        MisconfiguredError: this user may not.
    """
    queue = StickyQueue(f"doctor-{random}", TaskQueue("doctor"))
    taken, outcome = asyncio.Event(), asyncio.get_running_loop().create_future()

    def take(batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            delivery.ack()
        taken.set()

    def done(published: Published) -> None:
        if not outcome.done():
            outcome.set_result(published)

    await broker.declare(queue)
    consumer = await broker.consume(queue, take, prefetch=1)
    try:
        begun = time.monotonic()
        broker.publish(Outgoing(to=queue, body=b'{"type":"probe"}'), done)
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                published = await outcome
                if published is Published.CONFIRMED:
                    await taken.wait()
        except TimeoutError:
            raise UnavailableError(
                f"a probe message did not arrive within {_PROBE_SECONDS:g} s"
            ) from None
        if published is not Published.CONFIRMED:
            raise UnavailableError(f"a probe message was not confirmed: {published.value}")
        return (time.monotonic() - begun) * 1000
    finally:
        await consumer.stop()
        await broker.delete(queue)
