"""A worker that runs real activity functions, on the memory adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.converter import DataConverter
from orchestrator.core.transition import Heartbeat
from orchestrator.definition.registry import Registry
from orchestrator.ids import ProcessName
from orchestrator.ports.broker import ActivityQueue
from orchestrator.ports.store import AttemptRecord, Beaten, Gone
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.payload import Payload
from orchestrator.worker.activity_tasks import ActivityTasks
from orchestrator.worker.execution import ActivityExecution, check_registry
from orchestrator.worker.shared_state import SharedStateManager
from tests.unit.memory_engine import NAMESPACE, QUEUE, RUN, WORKFLOW, Engine
from tests.unit.worker.processes import schedule

VALUES = DataConverter()
Open = Callable[..., Any]


class Runner:
    """One worker with the given activities; `beats` are the heartbeats that it sent."""

    def __init__(
        self,
        engine: Engine,
        *activities: Callable[..., Any],
        executor: Executor | None = None,
        shared_state: SharedStateManager | None = None,
        name: str = "p1",
    ) -> None:
        registry = Registry(activities=activities)
        check_registry(registry, executor, shared_state)
        self.engine = engine
        self.name = ProcessName(name)
        self.broker = MemoryBroker(engine.broker._exchange)
        self.counters = Counters()
        self.fatal: list[Exception] = []
        self.beats: list[tuple[int, list[Any]]] = []
        self.execution = ActivityExecution(
            registry,
            VALUES,
            engine.clock,
            executor=executor,
            shared_state=shared_state,
            on_fatal=self.fatal.append,
        )
        numbers = iter(range(1, 1_000))
        self.tasks = ActivityTasks(
            engine.store,
            self.broker,
            engine.dispatcher,
            engine.clock,
            namespace=NAMESPACE,
            process=self.name,
            execute=self.execution.execute,
            expect=engine.duties.expect,
            mint=lambda: f"{name}-{next(numbers)}",
            counters=self.counters,
        )

    async def open(self) -> Runner:
        await self.broker.open()
        await self.engine.store.announce(self.name)
        await self.engine.store.listen(self.name, self.tasks.cancel)
        await self.broker.consume(ActivityQueue(QUEUE), self.tasks.take, prefetch=10)
        heartbeat = self.engine.store.heartbeat

        async def noted(beat: Heartbeat) -> Beaten | Gone:
            self.beats.append((self.engine.clock.ms, VALUES.from_payloads(beat.details or ())))
            return await heartbeat(beat)

        self.engine.store.heartbeat = noted  # type: ignore[method-assign]  # listened to
        return self

    async def close(self) -> None:
        self.execution.shut_down()
        await self.tasks.drain(grace_ms=0)
        await self.execution.close()
        await self.broker.close()


async def run(engine: Engine, activity_type: str, *args: object, **fields: object) -> None:
    """Schedule an activity and let it go as far as it goes without time."""
    await schedule(
        engine, activity_type=activity_type, input=tuple(VALUES.to_payloads(args)), **fields
    )
    await engine.settle()


async def entry(engine: Engine) -> InboxEntry:
    """The one outcome in the inbox; waits for threads and processes."""
    for _ in range(5_000):
        synced = await engine.store.sync(WORKFLOW, task_timeout_ms=10_000, count_attempt=False)
        assert synced is not None
        if synced.unread:
            (found,) = synced.unread
            return found
        await asyncio.sleep(0.001)
    raise AssertionError("the activity has no outcome")


async def result(engine: Engine) -> Any:
    """What the activity returned."""
    found = await entry(engine)
    assert found.type == "ActivityCompleted", found
    payload = found.body.result  # type: ignore[union-attr]  # completed
    assert isinstance(payload, Payload)
    return VALUES.from_payloads([payload])[0]


async def failure(engine: Engine) -> Failure:
    """How the activity failed for good."""
    found = await entry(engine)
    assert found.type == "ActivityFailed", found
    failed = found.body.failure  # type: ignore[union-attr]  # failed
    assert isinstance(failed, Failure)
    return failed


async def record(engine: Engine) -> AttemptRecord:
    (found,) = await engine.store.records(WORKFLOW, RUN)
    return found


async def last_failure(engine: Engine) -> Failure:
    failed = (await record(engine)).last_failure
    assert failed is not None
    return failed


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread or another process does."""
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")
