"""The life of a workflow task: sync, intake, activate, decide, commit, publish, ack.

Whoever holds a wake-up advances its run until the inbox is seen empty. Stale and refused mean: look
again, never "done"; coroutines that have run ahead of history are thrown away. One task per run in
a process: further wake-ups of it wait their turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence

from orchestrator import __version__
from orchestrator.core.attempts import AttemptFacts, RunFacts, task_of
from orchestrator.core.close import started_of
from orchestrator.core.decide import (
    Task,
    activation_time_ms,
    consume,
    decide,
    decide_rest,
    fail_task,
)
from orchestrator.core.fold import fold
from orchestrator.core.intake import intake
from orchestrator.core.shard import shard_of
from orchestrator.core.transition import Transition
from orchestrator.definition.registry import Registry
from orchestrator.exceptions import MalformedMessageError, UnavailableError
from orchestrator.ids import CommitToken, Mark, Namespace, RunId, ShardId, WorkflowId
from orchestrator.limits import (
    ACTIVATIONS_PER_TASK_MAX,
    CLOSE_REFUSALS_MAX,
    DRIVEN_BY_ARMER_MS,
    HAND_BACK_MS,
    HISTORY_EVENTS_SUGGEST,
    STALE_IN_A_ROW_MAX,
    WORKFLOW_TASK_TIMEOUT_MS,
)
from orchestrator.ports.broker import Broker, DeadQueue, Delivery, Outgoing, Published
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Committed, Head, Refused, Stale, Store, Synced, Wake
from orchestrator.relay.certainty import until_known
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.replay.facts import Activation, Commands, TaskFailure
from orchestrator.replay.facts import RunFacts as ReplayFacts
from orchestrator.replay.partition import partition
from orchestrator.replay.run import WorkflowRun
from orchestrator.replay.values import Values
from orchestrator.wire import codec
from orchestrator.wire.events import ActivityTaskScheduled, CommandEvent, HistoryEvent
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.options import RunStatus
from orchestrator.wire.tasks import WorkflowTask
from orchestrator.worker.confirmations import Confirmations
from orchestrator.worker.run_cache import CachedRun, RunCache

Expect = Callable[[ShardId, int], None]
"""Something is due on a shard at a time: drive it."""


class WorkflowTasks:
    """Does the workflow tasks of one worker. Owns a task for each run in work."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        dispatcher: Dispatcher,
        clock: Clock,
        *,
        namespace: Namespace,
        identity: str,
        registry: Registry,
        values: Values,
        cache: RunCache,
        sticky: str | None,
        expect: Expect,
        mint: Callable[[], str],
    ) -> None:
        self._store = store
        self._broker = broker
        self._dispatcher = dispatcher
        self._clock = clock
        self._namespace = namespace
        self._identity = identity
        self._registry = registry
        self._values = values
        self._cache = cache
        self._sticky = sticky
        self._expect = expect
        self._mint = mint
        self._waiting: dict[WorkflowId, deque[tuple[Delivery, WorkflowTask]]] = {}
        self._work: set[asyncio.Task[None]] = set()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch from the queue. Never waits; the prefetch bounds what is in work."""
        for delivery in deliveries:
            try:
                task = codec.workflow_task_decoder.decode(delivery.body)
            except MalformedMessageError as error:
                self._bury(delivery, str(error))
                continue
            if not isinstance(task, WorkflowTask):
                self._bury(delivery, "expected a workflow task, found a query task")
                continue
            self._enqueue(delivery, task)

    async def drain(self) -> None:
        """Wait until nothing is in work."""
        while self._work:
            await asyncio.wait(self._work)

    def abort(self) -> None:
        """Cancel everything in work and forget every run."""
        for work in self._work:
            work.cancel()
        self._cache.clear()

    def _enqueue(self, delivery: Delivery, task: WorkflowTask) -> None:
        workflow_id = WorkflowId(task.workflow_id)
        waiting = self._waiting.get(workflow_id)
        if waiting is not None:
            waiting.append((delivery, task))
            return
        self._waiting[workflow_id] = deque([(delivery, task)])
        work = asyncio.get_running_loop().create_task(self._work_off(workflow_id))
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    async def _work_off(self, workflow_id: WorkflowId) -> None:
        waiting = self._waiting[workflow_id]
        try:
            while waiting:
                delivery, task = waiting.popleft()
                await self._advance_or_give_back(workflow_id, delivery, task)
        finally:
            del self._waiting[workflow_id]

    async def _advance_or_give_back(
        self, workflow_id: WorkflowId, delivery: Delivery, task: WorkflowTask
    ) -> None:
        published = Confirmations(delivery)
        try:
            await self._advance(workflow_id, delivery, task, published)
        except UnavailableError:
            delivery.give_back()
        else:
            published.finish()

    async def _advance(
        self,
        workflow_id: WorkflowId,
        delivery: Delivery,
        task: WorkflowTask,
        published: Confirmations,
    ) -> None:
        """Activate and commit until the inbox is seen empty. Returns: the delivery may be acked."""
        cached, entries = self._inline(workflow_id, delivery, task)
        attempt = 1
        count = task.repeat or delivery.redelivered
        stale = refusals = unseen = 0
        for _ in range(ACTIVATIONS_PER_TASK_MAX):
            if cached is None or entries is None:
                synced = await self._sync(workflow_id, count=count)
                if synced is None or not _has_work(synced):
                    self._keep(workflow_id, cached, synced)
                    return
                attempt, count = _attempt(synced.head), False
                cached = await self._current(workflow_id, synced.head, cached, attempt, published)
                if cached is None:
                    return
                entries = synced.unread
            parts = self._activate(cached, entries, attempt=attempt, unseen=unseen)
            if isinstance(parts, TaskFailure):
                _drop(cached)
                await self._fail(workflow_id, cached.run_id, cached.token, parts, attempt)
                return
            answer = await self._commit(cached, parts, published)
            match answer:
                case Committed(unread=unread):
                    stale, unseen, attempt, entries = 0, 0, 1, unread
                    if parts[-1].close is not None:
                        _drop(cached)
                        return
                    if not unread:
                        self._cache.put(workflow_id, cached)
                        return
                case Stale():
                    _drop(cached)
                    cached, entries, stale = None, None, stale + 1
                    if stale >= STALE_IN_A_ROW_MAX:
                        return
                case Refused():
                    _drop(cached)
                    cached, entries, refusals = None, None, refusals + 1
                    unseen = answer.unseen if refusals >= CLOSE_REFUSALS_MAX else 0
        await self._hand_on(workflow_id, cached, published)

    def _inline(
        self, workflow_id: WorkflowId, delivery: Delivery, task: WorkflowTask
    ) -> tuple[CachedRun | None, tuple[InboxEntry, ...] | None]:
        """A cached run with the entry that follows what it consumed: nothing to read."""
        cached = self._cache.take(workflow_id)
        if cached is None or task.entry is None or task.repeat or delivery.redelivered:
            return cached, None
        if task.entry.number != cached.consumed + 1:
            return cached, None
        try:
            return cached, (codec.decode_inline_entry(task.entry),)
        except MalformedMessageError:
            return cached, None

    async def _sync(self, workflow_id: WorkflowId, *, count: bool) -> Synced | None:
        return await until_known(
            lambda: self._store.sync(
                workflow_id, task_timeout_ms=WORKFLOW_TASK_TIMEOUT_MS, count_attempt=count
            ),
            self._clock,
        )

    def _keep(
        self, workflow_id: WorkflowId, cached: CachedRun | None, synced: Synced | None
    ) -> None:
        if cached is None:
            return
        if synced is not None and cached.stands_on(synced.head):
            self._cache.put(workflow_id, cached)
        else:
            cached.run.evict()

    async def _current(
        self,
        workflow_id: WorkflowId,
        head: Head,
        cached: CachedRun | None,
        attempt: int,
        published: Confirmations,
    ) -> CachedRun | None:
        """The run at `head`. None when it cannot go on here: it was handed back, its code does not
        fit its history (recorded as a failed task), or somebody else finished its task."""
        if cached is not None:
            if cached.stands_on(head):
                return cached
            _drop(cached)
        try:
            history = await self._history(workflow_id, head.run_id)
            state = fold(workflow_id, head.run_id, history)
        except MalformedMessageError:
            state, history = None, []
        definition = None
        if state is not None:
            definition = self._registry.workflows.get(started_of(state).workflow_type)
        if state is None or definition is None:
            await self._store.hand_back(workflow_id, delay_ms=HAND_BACK_MS)
            return None
        facts = ReplayFacts(
            namespace=self._namespace,
            workflow_id=workflow_id,
            run_id=head.run_id,
            started=started_of(state),
            start_time_ms=history[0].time_ms,
        )
        run = WorkflowRun(definition, facts, self._values)
        cut = partition(history)
        loaded = CachedRun(state, run, head.token, head.consumed, tuple(cut.pending))
        for activation in cut.activations:
            completion = run.activate(activation)
            if isinstance(completion, TaskFailure):
                _drop(loaded)
                await self._fail(workflow_id, head.run_id, head.token, completion, attempt)
                return None
            if completion.commands:
                parts = self._rest(loaded, activation, completion)
                if not isinstance(await self._commit(loaded, parts, published), Committed):
                    _drop(loaded)
                    return None
                if parts[-1].close is not None:
                    _drop(loaded)
                    return None
        return loaded

    async def _history(self, workflow_id: WorkflowId, run_id: RunId) -> list[HistoryEvent]:
        pages = self._store.history(workflow_id, run_id)
        return [event async for page in pages for event in page]

    def _activate(
        self, cached: CachedRun, entries: Sequence[InboxEntry], *, attempt: int, unseen: int
    ) -> tuple[Transition, ...] | TaskFailure:
        """Let the code see `entries`; the commits that this makes. `cached` is ahead of the store
        until they are written."""
        state = cached.state
        news = intake(state, entries)
        task = Task(
            identity=self._identity,
            now_ms=activation_time_ms(state, news, estimate_ms=self._clock.now_ms()),
            token=cached.token,
            consumed_to=entries[-1].number if entries else cached.consumed,
            consumed_mark=Mark(entries[-1].mark) if entries else None,
            attempt=attempt,
            sticky=self._sticky,
            unseen_messages=unseen,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            sdk_version=__version__,
        )
        events = (*cached.pending, *news.events)
        if not events:
            return (consume(state, news, task, mint=self._mint),)
        cached.pending = ()
        activation = Activation(
            time_ms=task.now_ms,
            events=events,
            history_length=state.last_event_id + 2,
            history_bytes=task.history_bytes,
            continue_as_new_suggested=state.last_event_id >= HISTORY_EVENTS_SUGGEST,
        )
        completion = cached.run.activate(activation)
        if isinstance(completion, TaskFailure):
            return completion
        return decide(state, news, completion.commands, task, mint=self._mint)

    def _rest(
        self, cached: CachedRun, activation: Activation, completion: Commands
    ) -> tuple[Transition, ...]:
        """The commits that the newest task still lacks."""
        task = Task(
            identity=self._identity,
            now_ms=activation.time_ms,
            token=cached.token,
            consumed_to=cached.consumed,
            consumed_mark=None,
            sticky=self._sticky,
        )
        return decide_rest(cached.state, completion.commands, task, mint=self._mint)

    async def _commit(
        self, cached: CachedRun, parts: Sequence[Transition], published: Confirmations
    ) -> Committed | Stale | Refused:
        """Write the parts in order, publish what each makes necessary; the last answer."""
        answer: Committed | Stale | Refused | None = None
        for part in parts:
            answer = await self._commit_part(part)
            if not isinstance(answer, Committed):
                return answer
            cached.token, cached.consumed = part.new_token, part.consumed_to
            cached.run.accept(
                [event for event in part.events if isinstance(event.attributes, CommandEvent)]
            )
            self._publish(cached, part, answer, published)
        if answer is None:
            raise AssertionError("an activation makes at least one commit")
        return answer

    async def _commit_part(self, part: Transition) -> Committed | Stale | Refused:
        return await until_known(lambda: self._store.commit(part), self._clock)

    def _publish(
        self, cached: CachedRun, part: Transition, answer: Committed, published: Confirmations
    ) -> None:
        started = started_of(cached.state)
        run = RunFacts(
            namespace=self._namespace,
            workflow_id=part.workflow_id,
            run_id=part.run_id,
            workflow_type=started.workflow_type,
            task_queue=started.task_queue,
        )
        scheduled = {event.event_id: event.attributes for event in part.events}
        for activity in part.activities:
            attributes = scheduled[activity.event_id]
            if not isinstance(attributes, ActivityTaskScheduled):
                raise AssertionError("a record stands for a scheduled activity")
            facts = AttemptFacts(
                event_id=activity.event_id,
                key=activity.key,
                attempt=1,
                scheduled_at_ms=activity.scheduled_at_ms,
                attempt_scheduled_at_ms=activity.scheduled_at_ms,
            )
            published.expect()
            self._dispatcher.activity(task_of(run, attributes, facts), published.told)
        if answer.woken is not None:
            published.expect()
            self._dispatcher.wake(part.workflow_id, answer.woken, published.told)
        self._expect_soon(part, answer.now_ms)

    def _expect_soon(self, part: Transition, now_ms: int) -> None:
        shard = shard_of(self._namespace, part.workflow_id, shards=self._store.shards)
        soon = [
            timer.fire_at_ms
            for timer in part.timers
            if timer.fire_at_ms <= now_ms + DRIVEN_BY_ARMER_MS
        ]
        if part.close is not None:
            soon.append(now_ms)
        for due_at_ms in soon:
            self._expect(shard, due_at_ms)

    async def _fail(
        self,
        workflow_id: WorkflowId,
        run_id: RunId,
        token: CommitToken,
        failure: TaskFailure,
        attempt: int,
    ) -> None:
        """Record a failed task on the state that the store has; the run rests."""
        state = fold(workflow_id, run_id, await self._history(workflow_id, run_id))
        task = Task(
            identity=self._identity,
            now_ms=max(state.last_time_ms, self._clock.now_ms()),
            token=token,
            consumed_to=0,
            consumed_mark=None,
            attempt=attempt,
        )
        record = fail_task(
            state, task, cause=failure.cause, failure=failure.failure, mint=self._mint
        )
        answer = await until_known(lambda: self._store.fail_task(record), self._clock)
        shard = shard_of(self._namespace, workflow_id, shards=self._store.shards)
        self._expect(shard, answer.now_ms + record.backoff_ms)

    async def _hand_on(
        self, workflow_id: WorkflowId, cached: CachedRun | None, published: Confirmations
    ) -> None:
        """Unread entries remain: a fresh wake-up, confirmed before the ack."""
        head = await self._sync(workflow_id, count=False)
        if cached is not None:
            self._cache.put(workflow_id, cached)
        if head is not None and _has_work(head):
            published.expect()
            wake = Wake(task_queue=head.head.task_queue)
            self._dispatcher.wake(workflow_id, wake, published.told)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        def buried(outcome: Published) -> None:
            if outcome is Published.CONFIRMED:
                delivery.ack()
            else:
                delivery.give_back()

        self._broker.publish(Outgoing(to=DeadQueue(), body=delivery.body, reason=reason), buried)


def _attempt(head: Head) -> int:
    """The number of this attempt in its row of failures; 1 while the newest task did not fail."""
    return 1 if head.problem is None else head.attempt + 1


def _has_work(synced: Synced) -> bool:
    head = synced.head
    return head.status is RunStatus.RUNNING and bool(synced.unread or head.unfinished)


def _drop(cached: CachedRun) -> None:
    """Throw the coroutines away; only history may be continued."""
    cached.run.evict()
