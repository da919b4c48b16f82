"""One engine on the memory adapters, with a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.decide import Task, decide
from orchestrator.core.fold import fold
from orchestrator.core.intake import intake
from orchestrator.core.start import StartOptions, start_of
from orchestrator.engine.redrive import Redrive
from orchestrator.engine.service import Duties
from orchestrator.engine.timers import Timers
from orchestrator.ids import ActivityKey, Namespace, ProcessName, RunId, TaskQueue, WorkflowId
from orchestrator.ports.broker import ActivityQueue, Broker, Delivery, WorkflowQueue
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Committed, Started, Store
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.wire import codec
from orchestrator.wire.commands import Command
from orchestrator.wire.tasks import ActivityTask, WorkflowTask

WORKFLOW = WorkflowId("order-1")
RUN = RunId("run-1")
QUEUE = TaskQueue("orders")
NAMESPACE = Namespace("default")


class TurnedClock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self._ms = 1_700_000_000_000
        self._sleepers: dict[asyncio.Future[None], int] = {}

    @property
    def ms(self) -> int:
        return self._ms

    @ms.setter
    def ms(self, ms: int) -> None:
        self._ms = ms
        for sleeper, due_ms in self._sleepers.items():
            if due_ms <= ms and not sleeper.done():
                sleeper.set_result(None)

    def now_ms(self) -> int:
        return self._ms

    async def wait(self, event: asyncio.Event, *, timeout_ms: int) -> None:
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = self._ms + timeout_ms
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait((sleeper, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._sleepers[sleeper]
            waiting.cancel()


def duties_of(
    store: Store,
    broker: Broker,
    clock: Clock,
    *,
    process: str,
    on_error: Callable[[str, Exception], None],
    retention_ms: int = 60_000,
) -> Duties:
    """What a process does for all: timers, repeats, what stands between runs."""
    dispatcher = Dispatcher(broker, NAMESPACE)
    timers = Timers(store, broker, dispatcher, namespace=NAMESPACE, retention_ms=retention_ms)
    return Duties(
        store,
        broker,
        timers,
        Redrive(store, broker, dispatcher),
        clock,
        process=ProcessName(process),
        on_error=on_error,
    )


class Engine:
    """Duties of one process, what they publish, and a hand to move a run with."""

    def __init__(self) -> None:
        self.takes_activities = True
        self.clock = TurnedClock()
        self.store = MemoryStore(now_ms=self.clock.now_ms, random=Random(1), shards=4)
        self.broker = MemoryBroker()
        self.errors: list[str] = []
        self.wakeups: list[WorkflowTask] = []
        self.activities: list[ActivityTask] = []
        self.dispatcher = Dispatcher(self.broker, NAMESPACE)
        self.duties = duties_of(
            self.store,
            self.broker,
            self.clock,
            process="p1",
            on_error=lambda doing, error: self.errors.append(f"{doing}: {error!r}"),
        )

    async def open(self) -> None:
        await self.broker.open()
        await self.broker.declare(WorkflowQueue(QUEUE), ActivityQueue(QUEUE))
        await self.broker.consume(WorkflowQueue(QUEUE), self._take_wakeups, prefetch=100)
        if self.takes_activities:
            await self.broker.consume(ActivityQueue(QUEUE), self._take_activities, prefetch=100)

    def _take_wakeups(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            task = codec.workflow_task_decoder.decode(delivery.body)
            assert isinstance(task, WorkflowTask)
            self.wakeups.append(task)
            delivery.ack()

    def _take_activities(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            self.activities.append(codec.activity_task_decoder.decode(delivery.body))
            delivery.ack()

    async def start(self, **fields: object) -> None:
        options = StartOptions(
            **{  # type: ignore[arg-type]  # fields of the Struct
                "workflow_id": WORKFLOW,
                "workflow_type": "Order",
                "task_queue": QUEUE,
                "request_id": RUN,
                **fields,
            }
        )
        answer = await self.store.start(start_of(options, now_ms=self.clock.ms))
        assert isinstance(answer, Started)

    async def commit(self, *commands: Command) -> None:
        """Advance the run by one task that wishes for `commands`."""
        synced = await self.store.sync(WORKFLOW, task_timeout_ms=10_000, count_attempt=False)
        assert synced is not None
        history = [e async for page in self.store.history(WORKFLOW, RUN) for e in page]
        state = fold(WORKFLOW, RUN, history)
        news = intake(state, synced.unread)
        last = synced.unread[-1] if synced.unread else None
        task = Task(
            identity="worker",
            now_ms=self.clock.ms,
            token=synced.head.token,
            consumed_to=last.number if last else synced.head.consumed,
            consumed_mark=last.mark if last else None,
        )
        numbers = iter(range(10**6))
        texts = iter(lambda: f"{self.clock.ms}-{len(history)}-{next(numbers)}", None)
        for part in decide(state, news, commands, task, mint=lambda: next(texts)):
            assert isinstance(await self.store.commit(part), Committed)

    async def pass_time(self, ms: int) -> None:
        """Let time pass and do the duties that are due then."""
        self.clock.ms += ms
        await self.duties.once()
        await self.settle()

    async def settle(self) -> None:
        """Let everything that can go on without time passing go on."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def types(self) -> list[str]:
        return [e.type async for page in self.store.history(WORKFLOW, RUN) for e in page]

    async def inbox(self) -> list[str]:
        synced = await self.store.sync(WORKFLOW, task_timeout_ms=10_000, count_attempt=False)
        return [] if synced is None else [entry.type for entry in synced.unread]

    async def key(self) -> ActivityKey:
        (record,) = await self.store.records(WORKFLOW, RUN)
        return record.key


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    await made.open()
    yield made
    await made.broker.close()
    assert made.errors == []
