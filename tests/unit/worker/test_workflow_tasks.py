"""Runs from start to end on the memory adapters, with workers that die, rival and lack the code."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.converter import DataConverter
from orchestrator.core.transition import Append
from orchestrator.definition.registry import Registry
from orchestrator.ids import OperationId
from orchestrator.ports.broker import ActivityQueue, WorkflowQueue
from orchestrator.ports.store import Appended
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import SignalReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.worker.activity_tasks import ActivityTasks, Attempt
from orchestrator.worker.run_cache import RunCache
from orchestrator.worker.workflow_tasks import WorkflowTasks
from tests.unit.memory_engine import NAMESPACE, QUEUE, WORKFLOW, Engine
from tests.unit.worker.shop import Broken, Order


class Worker:
    """A worker of one process on the memory adapters."""

    def __init__(self, engine: Engine, name: str, *, cached: int = 100, knows: bool = True) -> None:
        self.engine = engine
        self.broker = MemoryBroker(engine.broker._exchange)
        numbers = count(1)
        self.cache = RunCache(cached)
        self.workflows = WorkflowTasks(
            engine.store,
            self.broker,
            engine.dispatcher,
            engine.clock,
            namespace=NAMESPACE,
            identity=name,
            registry=Registry(workflows=[Order, Broken] if knows else []),
            values=DataConverter(),
            cache=self.cache,
            sticky=None,
            expect=engine.duties.expect,
            mint=lambda: f"{name}-w{next(numbers)}",
        )
        self.paid: list[Attempt] = []
        self.activities = ActivityTasks(
            engine.store,
            self.broker,
            engine.dispatcher,
            engine.clock,
            namespace=NAMESPACE,
            process=name,  # type: ignore[arg-type]  # a plain text is a name
            execute=self._pay,
            expect=engine.duties.expect,
            mint=lambda: f"{name}-a{next(numbers)}",
        )

    async def open(self) -> None:
        await self.broker.open()
        await self.broker.consume(WorkflowQueue(QUEUE), self.workflows.take, prefetch=10)
        await self.broker.consume(ActivityQueue(QUEUE), self.activities.take, prefetch=10)

    async def _pay(self, attempt: Attempt) -> Payload | Failure | None:
        self.paid.append(attempt)
        return Payload.of_json(b'"paid"')


@pytest.fixture
async def bare(engine: Engine) -> Engine:
    """An engine whose queues nobody reads yet."""
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    return engine


async def order(engine: Engine) -> None:
    await engine.start(input=(Payload.of_json(b'"pizza"'),))
    await engine.pass_time(2_000)


async def signal(engine: Engine, item: str, *, operation: str | None = None) -> None:
    append = Append(
        workflow_id=WORKFLOW,
        body=SignalReceived(signal_name="add", input=(Payload.of_json(f'"{item}"'.encode()),)),
        message=True,
        operation_id=OperationId(operation) if operation else None,
    )
    answer = await engine.store.append(append)
    if isinstance(answer, Appended) and answer.wake is not None:
        engine.dispatcher.wake(WORKFLOW, answer.wake)
    await engine.settle()


async def result(engine: Engine) -> str:
    run = await engine.store.run(WORKFLOW)
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    assert run.closing is not None
    return run.closing.attributes.result.content().decode()  # type: ignore[union-attr]  # completed


async def test_an_order_runs_from_start_to_end(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await order(bare)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert len(worker.paid) == 1


async def test_a_durable_timer_ends_the_wait(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await order(bare)
    await bare.pass_time(3_599_000)
    await bare.pass_time(3_000)
    assert await result(bare) == '"paid, nothing added"'


async def test_without_a_cache_every_task_replays_the_history(bare: Engine) -> None:
    worker = Worker(bare, "w1", cached=0)
    await worker.open()
    await order(bare)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_another_worker_goes_on_where_a_killed_one_was(bare: Engine) -> None:
    first = Worker(bare, "w1")
    await first.open()
    await order(bare)
    first.workflows.abort()
    await first.broker.close()
    second = Worker(bare, "w2")
    await second.open()
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert second.paid == []


async def test_two_workers_with_the_run_cached_have_one_outcome(bare: Engine) -> None:
    first, second = Worker(bare, "w1"), Worker(bare, "w2")
    await first.open()
    await order(bare)
    await second.open()
    await asyncio.gather(signal(bare, "cola"), signal(bare, "salad"))
    await bare.pass_time(2_000)
    run = await bare.store.run(WORKFLOW)
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    types = await bare.types()
    assert types.count("WorkflowExecutionSignaled") == 2
    assert types.count("WorkflowExecutionCompleted") == 1


async def test_a_repeated_signal_counts_once(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await bare.start(input=(Payload.of_json(b'"pizza"'),))
    await signal(bare, "cola", operation="s1")
    await signal(bare, "cola", operation="s1")
    await bare.pass_time(2_000)
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_a_bug_fails_the_task_and_not_the_run(bare: Engine) -> None:
    worker = Worker(bare, "w1")
    await worker.open()
    await bare.start(workflow_type="Broken")
    await bare.pass_time(2_000)
    run = await bare.store.run(WORKFLOW)
    assert run is not None
    assert run.status is RunStatus.RUNNING
    assert run.problem is not None
    assert "a bug" in run.problem
    await bare.pass_time(2_000)
    await bare.pass_time(4_000)
    assert (await bare.types()).count("WorkflowTaskFailed") == 1


async def test_a_worker_that_lacks_the_type_hands_the_run_back_uncounted(bare: Engine) -> None:
    stranger = Worker(bare, "w1", knows=False)
    await stranger.open()
    await order(bare)
    assert await bare.types() == ["WorkflowExecutionStarted"]
    await stranger.broker.close()
    worker = Worker(bare, "w2")
    await worker.open()
    await bare.pass_time(5_000)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
