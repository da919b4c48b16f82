"""One attempt of an activity, from its delivery to its ack.

    begin    scheduled → running, before user code; whoever loses this race runs nothing
    execute  user code, through the function given by the worker
    finish   the outcome into the run's inbox, or a retry
    wake     the run's wake-up, if this was the first news
    ack      last: when the wake-up is confirmed, or there was nothing to publish

A delivery that comes again while its attempt is in work here is adopted: it is settled with the
first. One whose holder is gone is taken over at once if this is the first loss in a row; all other
losses are judged by the duties, whose row is made due now. While the store does not answer, the
same call is repeated and the delivery kept: what has run is never run again for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.core.attempts import (
    AskHolder,
    judge_running,
    may_take_over,
    name_of,
)
from orchestrator.core.shard import shard_of
from orchestrator.core.timeouts import running_due_in_ms
from orchestrator.core.transition import AttemptName, BeginAttempt
from orchestrator.engine.timers import facts_of
from orchestrator.exceptions import MalformedMessageError
from orchestrator.ids import AttemptToken, Namespace, ProcessName, ShardId, WorkflowId
from orchestrator.limits import DRIVEN_BY_ARMER_MS, IDLE_POLL_MS, MEETINGS_MAX, SLOT_WAIT_MS
from orchestrator.ports.broker import Broker, Delivery
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import (
    AlreadyDone,
    AlreadyRunning,
    Begun,
    Finished,
    Gone,
    RetryAt,
    Store,
    Wake,
)
from orchestrator.relay.burial import Burials
from orchestrator.relay.certainty import until_known
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire import codec
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker.admission import Admission, Admitted
from orchestrator.worker.attempt import (
    Abandoned,
    Attempt,
    Detached,
    Execute,
    Outcome,
    Work,
    hindered,
)
from orchestrator.worker.endings import Endings
from orchestrator.worker.reports import Reports
from orchestrator.worker.slots import Slots

Expect = Callable[[ShardId, int], None]  # something is due on a shard at a time: drive it
_T = TypeVar("_T")


class ActivityTasks:
    """Does the activity tasks of one worker. Owns a task for each attempt in work."""

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
        slots: int | None = None,
        admission: Admission | None = None,
        counters: Counters | None = None,
    ) -> None:
        """`process` must be this worker's own name: what the store says it runs and is not in work
        here counts as lost. `slots` bounds attempts in work; None leaves it to the prefetch, which
        does not see those that are acknowledged early. `admission` says when attempts may begin."""
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._namespace = namespace
        self._process = process
        self._execute = execute
        self._admission = admission
        self._expect = expect
        self._mint = mint
        self._slots = Slots(slots, clock)
        self._reports = Reports(Counters() if counters is None else counters, namespace)
        self._endings = Endings(store, clock, self._reports, process=process)
        self._certain = self._endings.certain
        self._burials = Burials(broker, clock)
        self._in_work: dict[AttemptName, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._draining = asyncio.Event()
        self._grace_is_over = False

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch from the queue. Never waits, and runs no user code."""
        for delivery in deliveries:
            try:
                task = codec.activity_task_decoder.decode(delivery.body)
            except MalformedMessageError as error:
                self._reports.buried(str(error))
                self._burials.bury(delivery, str(error))
                continue
            if self._draining.is_set():
                delivery.give_back()
                continue
            self._take(delivery, task)

    def cancel(self, name: AttemptName) -> None:
        """Ask an attempt that is in work here to stop; no effect on others."""
        if (work := self._in_work.get(name)) is None:
            return
        work.cancel_asked = True
        if work.attempt is not None:
            work.attempt.stop(ActivityCancellationDetails(cancel_requested=True))

    async def heartbeat(self, attempt: Attempt, details: tuple[Payload, ...] | None) -> bool:
        """Tell that an attempt lives; whether it may go on.

        Raises:
            UnavailableError: the store does not answer.
        """
        answer = await self._store.heartbeat(attempt.beating(details, now_ms=self._clock.now_ms()))
        if isinstance(answer, Gone):
            attempt.stop(ActivityCancellationDetails(not_found=True))
        elif answer.cancel_requested:
            attempt.stop(ActivityCancellationDetails(cancel_requested=True))
        elif answer.paused or answer.reset:
            attempt.stop(ActivityCancellationDetails(paused=answer.paused, reset=answer.reset))
        return attempt.stopping is None

    async def drain(self, *, grace_ms: int | None = None) -> None:
        """Begin nothing more and wait until nothing is in work.

        What still runs after `grace_ms` is asked to stop, and waited for all the same: code that
        neither ends nor lets itself be cancelled is ended by `abort` only. None: nothing is asked
        to stop.
        """
        self._draining.set()
        if grace_ms is not None:
            if self._tasks and grace_ms > 0:
                self._idle.clear()
                await self._clock.wait(self._idle, timeout_ms=grace_ms)
            self._grace_is_over = True
            for work in list(self._in_work.values()):
                if work.attempt is not None:
                    work.attempt.stop(ActivityCancellationDetails(worker_shutdown=True))
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._burials.drain()

    def abort(self) -> None:
        """Cancel everything in work: what is unfinished is delivered again, elsewhere."""
        self._draining.set()
        for task in self._tasks:
            task.cancel()
        self._burials.abort()

    async def repeat_finishes(self) -> None:
        """Tell the ends of the last 30 s once more: a fail-over of the store may have lost them.
        The store answers what it knows already as it did before.

        Raises:
            UnavailableError: the store does not answer; call again.
        """
        for finish in self._endings.lately():
            answer = await until_known(partial(self._store.finish, finish), self._clock)
            name = finish.name
            if isinstance(answer, Finished) and answer.wake is not None:
                self._dispatcher.wake(name.workflow_id, answer.wake)
            elif isinstance(answer, RetryAt):
                self._expect_soon(name, answer.at_ms, now_ms=answer.now_ms)

    # Inside ---------------------------------------------------------------------------------------

    def _take(self, delivery: Delivery, task: ActivityTask) -> None:
        name = name_of(task)
        work = self._in_work.get(name)
        if work is None:
            work = self._in_work[name] = Work(task, name, [delivery])
            self._own(self._do(work))
            return
        self._reports.adopted()
        if work.attempt is not None and not work.attempt.task.hold:
            delivery.ack()  # as the first one was
        else:
            work.deliveries.append(delivery)

    def _own(self, act: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(act, name="activity task")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    async def _do(self, work: Work) -> None:
        again = work.deliveries[0].redelivered
        try:
            if not await self._slots.acquire(timeout_ms=SLOT_WAIT_MS):
                work.settle(done=False)
                return
            try:
                if await self._may_begin(work):
                    await self._begin(work)
            finally:
                self._slots.release()
        except asyncio.CancelledError:
            work.keep_places()  # What comes after this process goes on in them.
            raise
        except Exception:  # the boundary of one attempt: the others, and this slot, must go on
            self._reports.unexpected(work.task, "working on a delivery")
            # Another worker may do better, once; a delivery that fails again is left to its row.
            await self._clock.wait(asyncio.Event(), timeout_ms=IDLE_POLL_MS)
            work.settle(done=again or work.attempt is not None)
        finally:
            if self._in_work.get(work.name) is work:
                del self._in_work[work.name]
            if self._admission is not None and work.places is not None:
                self._own(self._admission.leave(work.places))

    async def _may_begin(self, work: Work) -> bool:
        """Whether the attempt may begin now; else its row brings it back."""
        if self._admission is None:
            return True
        ask = partial(self._admission.ask, work.task, work.name, leaving=self._draining)
        answer = await self._certain(ask)
        if isinstance(answer, Admitted):
            work.places = answer.places
            return True
        self._expect_soon(work.name, answer.until_ms, now_ms=self._clock.now_ms())
        work.settle(done=True)
        return False

    async def _begin(self, work: Work) -> None:
        take_over: AttemptToken | None = None
        task = work.task
        for _ in range(MEETINGS_MAX):
            if self._draining.is_set():
                break
            if take_over is not None:
                # The delivery names the attempt before: it is of no use to a third one, so that the
                # row has to ask for this one's holder.
                task = msgspec.structs.replace(work.task, hold=False)
            begin = BeginAttempt(
                name=work.name,
                token=AttemptToken(self._mint()),
                holder=self._process,
                due_in_ms=running_due_in_ms(task),
                take_over=take_over,
                limits=() if work.places is None else work.places.names,
            )
            asked_ms = self._clock.now_ms()
            answer = await self._certain(partial(self._store.begin, begin))
            match answer:
                case Begun():
                    await self._run(work, task, begin, answer, asked_ms)
                    return
                case AlreadyDone(wake=wake):
                    self._wake(work, work.name.workflow_id, wake)
                    return
                case Gone():
                    work.drop(done=True)
                    return
                case AlreadyRunning():
                    take_over = await self._meet(work, answer)
                    if take_over is None:
                        work.keep_places()
                        work.settle(done=True)
                        return
        work.drop(done=False)

    async def _meet(self, work: Work, found: AlreadyRunning) -> AttemptToken | None:
        """Another attempt runs, elsewhere or not any more. The token to take over from; None when
        its row looks after it from now on."""
        name, task = work.name, work.task
        # What is in work here was adopted: an attempt under our own name is lost.
        lives = found.holder != self._process and await self._certain(
            partial(self._store.is_alive, found.holder)
        )
        record = await self._certain(
            partial(self._store.record, name.workflow_id, name.run_id, name.event_id)
        )
        if record is None or record.token != found.token:
            return found.token  # It has moved on: beginning finds out what it is now.
        facts, due_in_ms = facts_of(record), 0
        if lives:
            verdict = judge_running(name, task, facts, now_ms=found.now_ms)
            due_in_ms = verdict.due_in_ms if isinstance(verdict, AskHolder) else 0
        else:
            self._reports.lost(task, found.holder)
            if may_take_over(task, facts, now_ms=found.now_ms):
                return found.token
        await self._certain(partial(self._store.postpone, name, due_in_ms=due_in_ms))
        self._expect_soon(name, found.now_ms + due_in_ms, now_ms=found.now_ms)
        return None

    async def _run(
        self, work: Work, task: ActivityTask, begin: BeginAttempt, begun: Begun, asked_ms: int
    ) -> None:
        if begun.attempt != task.attempt:
            task = msgspec.structs.replace(task, attempt=begun.attempt)
            del self._in_work[work.name]
            work.name = name_of(task)
            self._in_work[work.name] = work
        attempt = work.attempt = Attempt(task, work.name, begin.token, begun, asked_ms)
        self._reports.begun()
        if self._admission is not None and work.places is not None:
            await self._certain(partial(self._admission.begun, work.places, begun.attempt))
        if not task.hold:
            work.settle(done=True)
        if begin.take_over is not None:
            # A cancel that was told to the lost holder meanwhile is not told again: ask.
            await self._certain(partial(self.heartbeat, attempt, None))
        if work.cancel_asked:
            attempt.stop(ActivityCancellationDetails(cancel_requested=True))
        if self._grace_is_over:
            attempt.stop(ActivityCancellationDetails(worker_shutdown=True))
        outcome = await self._outcome(attempt)
        if isinstance(outcome, Abandoned):
            self._reports.abandoned(attempt)
            now_ms = self._clock.now_ms()
            self._expect_soon(attempt.name, now_ms, now_ms=now_ms)
            work.settle(done=True)
            return
        if isinstance(outcome, Detached):
            left = attempt.left_to_others(now_ms=self._clock.now_ms())
            await self._certain(partial(self._store.heartbeat, left))
            work.keep_places()
            self._reports.detached()
            work.settle(done=True)
            return
        told, answer = await self._endings.finish(attempt, outcome)
        self._reports.ended(attempt, told, answer)
        match answer:
            case Finished(wake=wake) if wake is not None:
                self._wake(work, attempt.name.workflow_id, wake)
            case RetryAt(at_ms=at_ms, now_ms=now_ms):
                self._expect_soon(attempt.name, at_ms, now_ms=now_ms)
                work.settle(done=True)
            case Finished() | Gone():
                work.settle(done=True)

    async def _outcome(self, attempt: Attempt) -> Outcome:
        try:
            return await self._execute(attempt, partial(self._beat, attempt))
        except Exception as error:  # the boundary of execution: a bug still ends the attempt
            self._reports.unexpected(attempt.task, "executing")
            return hindered("the worker could not execute the activity", error)

    async def _beat(self, attempt: Attempt, details: tuple[Payload, ...] | None) -> None:
        await self.heartbeat(attempt, details)

    def _wake(self, work: Work, workflow_id: WorkflowId, wake: Wake) -> None:
        """Call the run; the deliveries are acked when the broker has taken that."""

        def told(confirmed: bool) -> None:
            if confirmed:
                work.settle(done=True)
            else:
                self._own(self._give_back(work))

        self._dispatcher.wake(workflow_id, wake, told)

    async def _give_back(self, work: Work) -> None:
        """After a pause: a delivery whose wake-up cannot be published would else come, and fail,
        again at once."""
        if not self._draining.is_set():
            await self._clock.wait(self._draining, timeout_ms=IDLE_POLL_MS)
        work.settle(done=False)

    def _expect_soon(self, name: AttemptName, due_at_ms: int, *, now_ms: int) -> None:
        """Drive what is due soon; the rest is the shard's owner's."""
        if due_at_ms - now_ms <= DRIVEN_BY_ARMER_MS:
            shard = shard_of(self._namespace, name.workflow_id, shards=self._store.shards)
            self._expect(shard, due_at_ms)
