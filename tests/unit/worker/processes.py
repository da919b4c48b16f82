"""An activity worker of one process on the memory adapters, and an activity for it."""

from __future__ import annotations

import asyncio
import secrets

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.ids import ProcessName
from orchestrator.ports.broker import ActivityQueue, Outgoing
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire import codec
from orchestrator.wire.commands import ScheduleActivityTask
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.payload import Payload
from orchestrator.worker.activity_tasks import ActivityTasks
from orchestrator.worker.attempt import Attempt, Beat, Outcome
from tests.unit.memory_engine import NAMESPACE, QUEUE, RUN, WORKFLOW, Engine

BOOM = Failure(message="boom", detail=ApplicationFailure(error_type="Boom"))
PAID = Payload.of_json(b'"paid"')


class Process:
    """An activity worker of one process; its user code ends when the test says so."""

    def __init__(self, engine: Engine, name: str, *, slots: int | None = None) -> None:
        self.engine = engine
        self.name = ProcessName(name)
        self.broker = MemoryBroker(engine.broker._exchange)
        self.attempts: list[Attempt] = []
        self.outcomes: asyncio.Queue[Outcome | Exception] = asyncio.Queue()
        self.counters = Counters()
        self.expected: list[int] = []
        self.tasks = ActivityTasks(
            engine.store,
            self.broker,
            engine.dispatcher,
            engine.clock,
            namespace=NAMESPACE,
            process=self.name,
            execute=self._execute,
            expect=engine.duties.expect,
            mint=lambda: secrets.token_hex(8),
            slots=slots,
            counters=self.counters,
        )

    async def open(self) -> None:
        await self.broker.open()
        await self.live()
        await self.broker.consume(ActivityQueue(QUEUE), self.tasks.take, prefetch=10)

    async def live(self) -> None:
        """Renew the sign of life."""
        await self.engine.store.announce(self.name)
        await self.engine.store.listen(self.name, self.tasks.cancel)

    async def die(self) -> None:
        """As by kill -9: nothing is finished, the connections are gone."""
        self.tasks.abort()
        await self.engine.store.withdraw(self.name)
        await self.broker.close()
        await self.engine.settle()

    async def _execute(self, attempt: Attempt, beat: Beat) -> Outcome:
        self.attempts.append(attempt)
        outcome = await self.outcomes.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def schedule(engine: Engine, **fields: object) -> None:
    await engine.start()
    command = ScheduleActivityTask(
        **{  # type: ignore[arg-type]  # fields of the Struct
            "activity_id": "1",
            "activity_type": "pay",
            "task_queue": QUEUE,
            "start_to_close_timeout_ms": 10_000,
            **fields,
        }
    )
    await engine.commit(command)
    await engine.pass_time(2_000)


async def ready(engine: Engine) -> int | None:
    return await engine.broker.ready(ActivityQueue(QUEUE))


def task_body(process: Process) -> bytes:
    """The message of the newest attempt of `process`."""
    return codec.encode(process.attempts[-1].task)


def deliver(engine: Engine, body: bytes) -> None:
    """Put a task message into the queue."""
    engine.broker.publish(Outgoing(to=ActivityQueue(QUEUE), body=body))


async def states(engine: Engine) -> list[tuple[int, str, str | None]]:
    """Attempt, state and holder of each activity."""
    records = await engine.store.records(WORKFLOW, RUN)
    return [(one.attempt, one.state.value, one.holder) for one in records]
