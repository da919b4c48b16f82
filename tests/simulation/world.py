"""The whole engine on the memory adapters and a false clock, with faults drawn from a seed.

Every call of a worker to its store may fail before or after its effect, or be the last thing that
its process does; every message may be lost, doubled, or of unknown fate. The same seed gives the
same life.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from msgspec.structs import replace

from orchestrator.adapters.memory.broker import MemoryBroker, MemoryExchange
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.start import StartOptions, start_of
from orchestrator.core.transition import Append, AttemptName
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import OperationId, ProcessName, RunId
from orchestrator.limits import RETENTION_MS
from orchestrator.ports.broker import Outgoing, Published, ReplyTo
from orchestrator.ports.store import Appended
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.testing.checker.operations import Answer, Operation, OperationKind
from orchestrator.testing.checker.workflows import RunName
from orchestrator.wire.events import HistoryEvent, WorkflowExecutionContinuedAsNew
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import SignalReceived, UpdateReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.worker.attempt import Attempt, Beat
from tests.simulation.programs import ALL, measure
from tests.unit.memory_engine import NAMESPACE, QUEUE, RUN, WORKFLOW, TurnedClock, duties_of
from tests.unit.worker.workers import Worker

_LAST_MOMENTS = 8
"""What the last run still has to tell others is told in seconds."""
_STORE_FAULTS = 0.06
_DEATHS = 0.02
_MESSAGE_FAULTS = 0.15
_FAILURES = 0.1


class Faults:
    """What goes wrong, and whether anything may at present."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.active = True
        self.counts: dict[str, int] = {}

    def draw(self, share: float, *kinds: str) -> str:
        """One of the kinds, or an empty text."""
        if not self.active or self.random.random() >= share:
            return ""
        kind = self.random.choice(kinds)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return kind


class FaultyStore:
    """A process's connection to the store, and the place where it dies."""

    def __init__(self, store: MemoryStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self.is_dying = False

    def __getattr__(self, name: str) -> Any:  # Any: whatever the store has
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **options: Any) -> Any:  # Any: as the store's
            return await self._call(lambda: method(*args, **options))

        return call

    async def _call(self, act: Callable[[], Awaitable[object]]) -> object:
        fault = self._faults.draw(_STORE_FAULTS, "call lost", "answer lost")
        death = self._faults.draw(_DEATHS, "death before", "death after")
        if death == "death before":
            await self._die()
        if fault == "call lost":
            raise UnavailableError("the call did not arrive")
        answer = await act()
        if death == "death after":
            await self._die()
        if fault == "answer lost":
            raise UnavailableError("the answer did not arrive")
        return answer

    async def _die(self) -> None:
        self.is_dying = True
        await asyncio.Event().wait()


class FaultyBroker(MemoryBroker):
    """A process's connection to the broker."""

    def __init__(self, exchange: MemoryExchange, faults: Faults) -> None:
        super().__init__(exchange)
        self._faults = faults

    def publish(self, message: Outgoing, done: Callable[[Published], None] | None = None) -> None:
        fault = self._faults.draw(_MESSAGE_FAULTS, "message lost", "message doubled", "unknown")
        if isinstance(message.to, ReplyTo) or not fault:
            super().publish(message, done)
            return
        if fault == "message doubled":
            super().publish(message)
        if fault != "message lost":
            told = None if fault == "unknown" else done
            super().publish(message, told)
        if fault in ("unknown", "message lost") and done is not None:
            outcome = Published.UNKNOWN if fault == "unknown" else Published.CONFIRMED
            asyncio.get_running_loop().call_soon(done, outcome)


class Mortal(Worker):
    """A worker whose activities fail now and then."""

    faults: Faults

    async def _pay(self, attempt: Attempt, beat: Beat) -> Payload | Failure | None:
        kind = self.faults.draw(_FAILURES, "failure", "slowness")
        if kind == "failure":
            return Failure(message="no", detail=ApplicationFailure(error_type="No"))
        if kind == "slowness":
            await self.engine.clock.wait(asyncio.Event(), timeout_ms=3_000)
        return await super()._pay(attempt, beat)


class Process:
    """One process: a worker that is mortal, and the duties of an engine."""

    def __init__(self, world: World, name: str) -> None:
        self.store = FaultyStore(world.store, world.faults)
        self.broker = FaultyBroker(world.exchange, world.faults)
        self.dispatcher = Dispatcher(self.broker, NAMESPACE)
        self.clock = world.clock
        self.duties = duties_of(
            self.store,  # type: ignore[arg-type]  # it has all that the store has
            self.broker,
            self.clock,
            process=name,
            on_error=world.note,
            retention_ms=RETENTION_MS,
        )
        self.settle = world.settle
        self.worker = Mortal(
            self,  # type: ignore[arg-type]  # all that a worker takes from an engine
            name,
            workflows=ALL,
            local=[measure],
            cached=world.random.choice([0, 1, 100]),
            sticky=world.random.random() < 0.5,
        )
        self.worker.faults = world.faults
        self._looking: asyncio.Task[int] | None = None

    async def open(self) -> None:
        await self.broker.open()
        await self.worker.open()
        await self.store.listen(ProcessName(self.worker.name), _ignore)
        await self.store.announce(ProcessName(self.worker.name))

    def look(self) -> None:
        """Do the duties, unless they are still being done."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.duties.once())
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def die(self) -> None:
        """As by kill -9."""
        if self._looking is not None:
            self._looking.cancel()
        await self.worker.die()
        await self.broker.close()


class World:
    """Processes that come and go, and a client that sends items."""

    def __init__(self, seed: int, workflow_type: str) -> None:
        self.workflow_type = workflow_type
        self.random = Random(seed)
        self.faults = Faults(self.random)
        self.clock = TurnedClock()
        self.store = MemoryStore(now_ms=self.clock.now_ms, random=Random(seed), shards=4)
        self.exchange = MemoryExchange(call_later=self._call_later)
        self.client = MemoryBroker(self.exchange)
        self.sent: list[str] = []
        self.log: list[Operation] = []
        self.problems: list[str] = []
        self.processes: list[Process] = []
        self._alarms: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count(1)

    async def begin(self) -> None:
        """Start the workflow, and two processes."""
        await self.client.open()
        options = StartOptions(
            workflow_id=WORKFLOW,
            workflow_type=self.workflow_type,
            task_queue=QUEUE,
            request_id=RUN,
            input=(Payload.of_json(b"[]"),),
        )
        await self.store.start(start_of(options, now_ms=self.clock.ms))
        self._note_operation(OperationKind.START, RUN, Answer.DONE)
        for _ in range(2):
            await self.hire()

    async def hire(self) -> None:
        """A new process begins."""
        process = Process(self, f"w{next(self._numbers)}")
        active, self.faults.active = self.faults.active, False
        await process.open()
        self.faults.active = active
        self.processes.append(process)

    async def live(self, moments: int) -> None:
        """Let things happen and go wrong."""
        for _ in range(moments):
            if self.random.random() < 0.2:
                await self.send(f"item {next(self._numbers)}")
            await self.pass_time(self.random.choice([1, 50, 700, 2_000]))

    async def send(self, item: str) -> None:
        """Send an item as a client does that repeats what it is not sure of: by a signal, or by an
        update, which the workflow may refuse."""
        how = self.random.choice(["signal", "update", "bad"])
        if how == "signal" or self.workflow_type != "Updated":
            self.sent.append(item)
            await self._append(_signal("add", item), f"add {item}")
            return
        if how == "update":
            self.sent.append(item)
        update_id = f"put {item}"
        body = UpdateReceived(
            update_id=update_id,
            update_name="put",
            input=_input(item if how == "update" else f"bad {item}"),
        )
        await self._append(body, update_id)

    async def finish(self, moments_max: int = 400) -> None:
        """Nothing goes wrong any more; the workflow is asked to end, and does."""
        self.faults.active = False
        await self._append(_signal("finish"), "finish")
        await self._wait_for_the_end(moments_max)
        for _ in range(_LAST_MOMENTS):
            await self.pass_time(1_000)

    async def _wait_for_the_end(self, moments_max: int) -> None:
        for _ in range(moments_max):
            view = await self.store.run(WORKFLOW)
            assert view is not None
            if view.status is not RunStatus.RUNNING:
                return
            await self.pass_time(2_000)
        raise AssertionError(f"the workflow does not end: {view.problem}")

    async def pass_time(self, ms: int) -> None:
        """Time passes; who is dying is dead then, and replaced."""
        self.clock.ms += ms
        while self._alarms and self._alarms[0][0] <= self.clock.ms:
            heappop(self._alarms)[2]()
        for process in list(self.processes):
            if process.store.is_dying:
                self.processes.remove(process)
                await process.die()
                await self.hire()
            process.look()
            active, self.faults.active = self.faults.active, False
            await process.store.announce(ProcessName(process.worker.name))
            self.faults.active = active
        await self.settle()

    async def settle(self) -> None:
        """Let everything that can go on without time passing go on."""
        for _ in range(25):
            await asyncio.sleep(0)

    async def runs(self) -> dict[RunId, list[HistoryEvent]]:
        """The histories of all runs of the chain, the first one first."""
        found: dict[RunId, list[HistoryEvent]] = {}
        run_id: RunId | None = RUN
        while run_id is not None:
            pages = self.store.history(WORKFLOW, run_id)
            events = [event async for page in pages for event in page]
            found[run_id] = events
            last = events[-1].attributes
            continued = isinstance(last, WorkflowExecutionContinuedAsNew)
            run_id = RunId(last.new_run_id) if continued else None
        return found

    async def histories(self) -> dict[RunName, list[HistoryEvent]]:
        """The histories of all runs of all workflows."""
        found: dict[RunName, list[HistoryEvent]] = {}
        async for rows in self.store.list_runs():
            for row in rows:
                pages = self.store.history(row.workflow_id, row.run_id)
                events = [event async for page in pages for event in page]
                found[RunName(row.workflow_id, row.run_id)] = events
        return found

    def note(self, doing: str, error: Exception) -> None:
        """An error that the duties met; servers that do not answer are what the world is about."""
        if not isinstance(error, UnavailableError):
            self.problems.append(f"{doing}: {error!r}")

    async def _append(self, body: SignalReceived | UpdateReceived, operation: str) -> None:
        append = Append(
            workflow_id=WORKFLOW,
            body=replace(body, operation_id=operation),
            message=True,
            operation_id=OperationId(operation),
        )
        begun_us = self._moment_us()
        for _ in range(self.random.choice([1, 1, 2])):
            answer = await self.store.append(append)
            if isinstance(answer, Appended) and answer.wake is not None:
                publishing = FaultyBroker(self.exchange, self.faults)
                await publishing.open()
                Dispatcher(publishing, NAMESPACE).wake(WORKFLOW, answer.wake)
        is_signal = isinstance(body, SignalReceived)
        refused = not is_signal and operation.removeprefix("put ") not in self.sent
        self._note_operation(
            OperationKind.SIGNAL if is_signal else OperationKind.UPDATE,
            operation,
            Answer.REFUSED if refused else Answer.DONE,
            begun_us,
        )

    def _note_operation(
        self, kind: OperationKind, key: str, answer: Answer, begun_us: int = 0
    ) -> None:
        operation = Operation(
            kind=kind,
            workflow_id=WORKFLOW,
            key=key,
            answer=answer,
            from_us=begun_us,
            to_us=self._moment_us(),
        )
        self.log.append(operation)

    def _moment_us(self) -> int:
        """Moments that the clock does not tell apart are told apart by their order."""
        return self.clock.ms * 1000 + len(self.log)

    def _call_later(self, delay_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        alarm = [callback]
        entry = (self.clock.ms + delay_ms, next(self._numbers), lambda: alarm[0]())
        heappush(self._alarms, entry)

        def cancel() -> None:
            alarm[0] = _nothing

        return cancel


def _signal(name: str, *args: str) -> SignalReceived:
    return SignalReceived(signal_name=name, input=_input(*args))


def _input(*args: str) -> tuple[Payload, ...]:
    return tuple(Payload.of_json(f'"{text}"'.encode()) for text in args)


def _ignore(name: AttemptName) -> None:
    """A cancel reaches nothing that runs: activities end at once."""


def _nothing() -> None:
    """What a cancelled alarm does."""
