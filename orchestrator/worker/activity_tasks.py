"""One attempt of an activity, from its delivery to its ack.

    begin    scheduled → running, before user code; whoever loses this race runs nothing
    execute  user code, through the function given by the worker
    finish   the outcome into the run's inbox, or a retry
    wake     the run's wake-up, if this was the first news
    ack      last: when the wake-up is confirmed, or there was nothing to publish

A delivery that comes again while its attempt runs here is adopted: it is acknowledged with the
first. One whose holder is gone makes its row due at once; the loss is judged where all losses are,
by the duties.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.core.attempts import completed, failed, name_of
from orchestrator.core.shard import shard_of
from orchestrator.core.timeouts import running_due_in_ms
from orchestrator.core.transition import AttemptName, BeginAttempt, FinishAttempt, Heartbeat
from orchestrator.exceptions import MalformedMessageError, UnavailableError
from orchestrator.ids import AttemptToken, Namespace, ProcessName, ShardId, WorkflowId
from orchestrator.limits import ASK_HOLDER_MS
from orchestrator.ports.broker import Broker, DeadQueue, Delivery, Outgoing, Published
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import (
    AlreadyDone,
    AlreadyRunning,
    Begun,
    Finished,
    Gone,
    RetryAt,
    Store,
)
from orchestrator.relay.certainty import until_known
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.wire import codec
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import AttemptStarted
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import ActivityTask

Execute = Callable[["Attempt"], Awaitable["Payload | Failure | None"]]
"""Runs user code; a failure is an answer, not an exception."""
Expect = Callable[[ShardId, int], None]
"""Something is due on a shard at a time: drive it."""


@dataclass(slots=True)
class Attempt:
    """An attempt that runs here. `cancelled` is set when it shall stop."""

    task: ActivityTask
    name: AttemptName
    token: AttemptToken
    begun: Begun
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class ActivityTasks:
    """Does the activity tasks of one worker. Owns a task for each delivery in work."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        dispatcher: Dispatcher,
        clock: Clock,
        *,
        namespace: Namespace,
        process: ProcessName,
        execute: Execute,
        expect: Expect,
        mint: Callable[[], str],
    ) -> None:
        self._store = store
        self._broker = broker
        self._dispatcher = dispatcher
        self._clock = clock
        self._namespace = namespace
        self._process = process
        self._execute = execute
        self._expect = expect
        self._mint = mint
        self._running: dict[AttemptName, Attempt] = {}
        self._work: set[asyncio.Task[None]] = set()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch from the queue. Never waits; the prefetch bounds what is in work."""
        for delivery in deliveries:
            try:
                task = codec.activity_task_decoder.decode(delivery.body)
            except MalformedMessageError as error:
                self._bury(delivery, str(error))
                continue
            work = asyncio.get_running_loop().create_task(self._do(delivery, task))
            self._work.add(work)
            work.add_done_callback(self._work.discard)

    def cancel(self, name: AttemptName) -> None:
        """Ask an attempt that runs here to stop; no effect on others."""
        attempt = self._running.get(name)
        if attempt is not None:
            attempt.cancelled.set()

    async def heartbeat(self, attempt: Attempt, details: tuple[Payload, ...] | None) -> bool:
        """Tell that an attempt lives; whether it may go on.

        Raises:
            UnavailableError: the store does not answer.
        """
        beat = Heartbeat(
            name=attempt.name,
            token=attempt.token,
            details=details,
            due_in_ms=running_due_in_ms(attempt.task),
        )
        answer = await self._store.heartbeat(beat)
        if isinstance(answer, Gone) or answer.cancel_requested:
            attempt.cancelled.set()
            return False
        return True

    async def drain(self) -> None:
        """Wait until nothing is in work."""
        while self._work:
            await asyncio.wait(self._work)

    def abort(self) -> None:
        """Cancel everything in work: what is unfinished is delivered again, elsewhere."""
        for work in self._work:
            work.cancel()

    async def _do(self, delivery: Delivery, task: ActivityTask) -> None:
        try:
            await self._attempt(delivery, task)
        except UnavailableError:
            delivery.give_back()

    async def _attempt(self, delivery: Delivery, task: ActivityTask) -> None:
        name = name_of(task)
        running = self._running.get(name)
        if running is not None:
            running.deliveries.append(delivery)
            return
        token = AttemptToken(self._mint())
        begin = BeginAttempt(
            name=name, token=token, holder=self._process, due_in_ms=running_due_in_ms(task)
        )
        answer = await until_known(lambda: self._store.begin(begin), self._clock)
        match answer:
            case Begun():
                await self._run(Attempt(task, name, token, answer, [delivery]))
            case AlreadyRunning():
                await self._meet(delivery, task, answer)
            case AlreadyDone(wake=wake):
                self._dispatcher.wake(
                    name.workflow_id, wake, lambda confirmed: _settle([delivery], confirmed)
                )
            case Gone():
                delivery.ack()

    async def _meet(self, delivery: Delivery, task: ActivityTask, found: AlreadyRunning) -> None:
        """Another delivery's attempt runs: here (adopt), elsewhere (its row asks from now on), or
        nowhere any more (its row is due now)."""
        name = name_of(task)
        running = self._running.get(name)
        if running is not None and running.token == found.token:
            running.deliveries.append(delivery)
            return
        lives = await until_known(lambda: self._store.is_alive(found.holder), self._clock)
        due_in_ms = 0
        if lives and found.holder != self._process:
            due_in_ms = min(running_due_in_ms(task) or ASK_HOLDER_MS, ASK_HOLDER_MS)
        await until_known(lambda: self._store.postpone(name, due_in_ms=due_in_ms), self._clock)
        self._expect(self._shard(name.workflow_id), found.now_ms + due_in_ms)
        delivery.ack()

    async def _run(self, attempt: Attempt) -> None:
        self._running[attempt.name] = attempt
        try:
            if not attempt.task.hold:
                _settle(attempt.deliveries, done=True)
                attempt.deliveries.clear()
            outcome = await self._execute(attempt)
            finish = self._finish_of(attempt, outcome)
            answer = await until_known(lambda: self._store.finish(finish), self._clock)
        finally:
            del self._running[attempt.name]
        deliveries = attempt.deliveries
        workflow_id = attempt.name.workflow_id
        match answer:
            case Finished(wake=wake) if wake is not None:
                self._dispatcher.wake(
                    workflow_id, wake, lambda confirmed: _settle(deliveries, confirmed)
                )
            case RetryAt(at_ms=at_ms):
                self._expect(self._shard(workflow_id), at_ms)
                _settle(deliveries, done=True)
            case Finished() | Gone():
                _settle(deliveries, done=True)

    def _finish_of(self, attempt: Attempt, outcome: Payload | Failure | None) -> FinishAttempt:
        started = AttemptStarted(
            attempt=attempt.begun.attempt,
            time_ms=attempt.begun.now_ms,
            identity=self._process,
            last_failure=attempt.begun.last_failure,
        )
        if isinstance(outcome, Failure):
            policy = attempt.task.retry_policy
            return failed(attempt.name, attempt.token, started, outcome, policy)
        return completed(attempt.name, attempt.token, started, outcome)

    def _shard(self, workflow_id: WorkflowId) -> ShardId:
        return shard_of(self._namespace, workflow_id, shards=self._store.shards)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        def buried(outcome: Published) -> None:
            _settle([delivery], outcome is Published.CONFIRMED)

        self._broker.publish(Outgoing(to=DeadQueue(), body=delivery.body, reason=reason), buried)


def _settle(deliveries: Sequence[Delivery], done: bool) -> None:
    for delivery in deliveries:
        if done:
            delivery.ack()
        else:
            delivery.give_back()
