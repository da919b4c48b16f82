"""Workers of one process each on the memory adapters, and what a client does to a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.converter import DataConverter
from orchestrator.core.transition import Append
from orchestrator.definition.registry import Registry
from orchestrator.ids import OperationId, RunId
from orchestrator.ports.broker import ActivityQueue, Queue, StickyQueue, WorkflowQueue
from orchestrator.ports.store import Appended, RunView
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire import codec
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import SignalReceived
from orchestrator.wire.messages import QueryResponse, Response
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import QueryTask
from orchestrator.worker.activity_tasks import ActivityTasks
from orchestrator.worker.advance import Isolate
from orchestrator.worker.attempt import Attempt, Beat
from orchestrator.worker.execution import ActivityExecution
from orchestrator.worker.run_cache import RunCache
from orchestrator.worker.user_code import Guard, unguarded
from orchestrator.worker.workflow_tasks import WorkflowTasks
from tests.unit.memory_engine import NAMESPACE, QUEUE, WORKFLOW, Engine
from tests.unit.worker import shop


class Worker:
    """A worker of one process. Its only activity pays at once, or with `pays` False never."""

    def __init__(
        self,
        engine: Engine,
        name: str = "w1",
        *,
        cached: int = 100,
        slots: int = 100,
        workflows: Sequence[type] = shop.ALL,
        guard: Guard = unguarded,
        isolate: Isolate | None = None,
        sticky: bool = False,
        takes_activities: bool = True,
        pays: bool = True,
        local: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self.engine = engine
        self.name = name
        self.broker = MemoryBroker(engine.broker._exchange)
        self.cache = RunCache(cached)
        self.counters = Counters()
        self.sticky = name if sticky else None
        self.paid: list[Attempt] = []
        self._takes_activities = takes_activities
        self._pays = pays
        numbers = count(1)
        self.workflows = WorkflowTasks(
            engine.store,
            self.broker,
            engine.dispatcher,
            engine.clock,
            namespace=NAMESPACE,
            identity=name,
            registry=Registry(workflows=workflows),
            values=DataConverter(),
            cache=self.cache,
            sticky=self.sticky,
            expect=engine.duties.expect,
            mint=lambda: f"{name}-w{next(numbers)}",
            slots=slots,
            guard=guard,
            isolate=isolate,
            counters=self.counters,
            local_execution=ActivityExecution(
                Registry(activities=local), DataConverter(), engine.clock
            ),
        )
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

    async def open(self) -> Worker:
        await self.broker.open()
        queues: list[Queue] = [WorkflowQueue(QUEUE)]
        if self.sticky is not None:
            queues.append(StickyQueue(self.sticky, QUEUE))
        for queue in queues:
            await self.broker.consume(queue, self.workflows.take, prefetch=10)
        if self._takes_activities:
            await self.broker.consume(ActivityQueue(QUEUE), self.activities.take, prefetch=1_000)
        return self

    async def die(self) -> None:
        """As by kill -9: nothing is finished, the connections are gone."""
        self.workflows.abort()
        self.activities.abort()
        await self.broker.close()
        await self.engine.settle()

    def in_hand(self) -> int:
        """Deliveries that are neither acked nor given back."""
        return sum(len(consumer.in_hand) for consumer in self.broker._consumers)

    async def _pay(self, attempt: Attempt, beat: Beat) -> Payload | Failure | None:
        self.paid.append(attempt)
        if not self._pays:
            await asyncio.Event().wait()
        return Payload.of_json(b'"paid"')


async def start(engine: Engine, workflow_type: str = "Order", *args: str, **fields: object) -> None:
    """Start a run and let everything that is due then go on."""
    input_ = tuple(Payload.of_json(f'"{text}"'.encode()) for text in args)
    await engine.start(workflow_type=workflow_type, input=input_, **fields)
    await engine.pass_time(2_000)


async def order(engine: Engine) -> None:
    """An order that is paid and waits."""
    await start(engine, "Order", "pizza")


async def signal(
    engine: Engine, item: str, *, name: str = "add", operation: str | None = None
) -> Appended | None:
    """Send a signal as a client does: append, publish the wake-up."""
    answer = await append_signal(engine, item, name=name, operation=operation)
    if answer is not None and answer.wake is not None:
        engine.dispatcher.wake(WORKFLOW, answer.wake)
    await engine.settle()
    return answer


async def append_signal(
    engine: Engine, item: str, *, name: str = "add", operation: str | None = None
) -> Appended | None:
    """Send a signal whose wake-up is lost."""
    append = Append(
        workflow_id=WORKFLOW,
        body=SignalReceived(signal_name=name, input=(Payload.of_json(f'"{item}"'.encode()),)),
        message=True,
        operation_id=OperationId(operation) if operation else None,
    )
    answer = await engine.store.append(append)
    return answer if isinstance(answer, Appended) else None


async def ask(engine: Engine, query: str, *args: str, **fields: object) -> Response:
    """Ask as a client does, and wait for the answer."""
    question = QueryTask(
        **{  # type: ignore[arg-type]  # fields of the Struct
            "namespace": NAMESPACE,
            "workflow_id": WORKFLOW,
            "query": query,
            "input": tuple(Payload.of_json(f'"{text}"'.encode()) for text in args),
            "request_id": "q1",
            "expires_at_ms": engine.clock.ms + 10_000,
            **fields,
        }
    )
    body = codec.encode(question)
    answer = await engine.broker.request(WorkflowQueue(QUEUE), body, timeout_ms=2_000)
    return codec.response_decoder.decode(answer)


async def ask_for_text(engine: Engine, query: str, **fields: object) -> str:
    """The result of a query, as JSON."""
    answer = await ask(engine, query, **fields)
    assert isinstance(answer, QueryResponse), answer
    assert answer.result is not None, answer
    return answer.result.content().decode()


async def view(engine: Engine, run_id: RunId | None = None) -> RunView:
    """A run as stored."""
    found = await engine.store.run(WORKFLOW, run_id)
    assert found is not None
    return found


async def result(engine: Engine) -> str:
    """What a completed run returned, as JSON."""
    run = await view(engine)
    assert run.status is RunStatus.COMPLETED, (run, await engine.types())
    assert run.closing is not None
    return run.closing.attributes.result.content().decode()  # type: ignore[union-attr]  # completed
