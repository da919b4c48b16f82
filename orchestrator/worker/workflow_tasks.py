"""The tasks of a workflow queue, from delivery to ack: wake-ups and queries, one at a time per run.

A delivery is acked when its effect is definite: its run was seen with nothing unread (or its reason
to rest was written down) and the broker has what its commits made necessary. See `advance` for the
life of a task, `query_tasks` for queries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from orchestrator.converter import DataConverter
from orchestrator.definition.registry import Registry
from orchestrator.exceptions import MalformedMessageError, UnavailableError
from orchestrator.ids import Namespace, WorkflowId
from orchestrator.limits import WORKFLOW_TASKS_MAX
from orchestrator.ports.broker import Broker, Delivery
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.relay.burial import Burials
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.telemetry.log import get_logger
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire import codec
from orchestrator.wire.inbox import InboxEntry
from orchestrator.wire.messages import ErrorResponse
from orchestrator.wire.tasks import QueryTask, WorkflowTask
from orchestrator.worker.advance import Advancer, Errand, Isolate
from orchestrator.worker.border import Border
from orchestrator.worker.confirmations import Confirmations
from orchestrator.worker.context import Expect, WorkerContext
from orchestrator.worker.execution import ActivityExecution
from orchestrator.worker.extensions import Extensions
from orchestrator.worker.local_attempts import LocalAttempts
from orchestrator.worker.query_tasks import QueryTasks
from orchestrator.worker.run_cache import CachedRun, RunCache
from orchestrator.worker.run_loader import RunLoader
from orchestrator.worker.user_code import CodeOptions, Guard, UserCode, unguarded

_log = get_logger(__name__)


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
        build_id: str = "",
        registry: Registry,
        values: DataConverter,
        cache: RunCache,
        sticky: str | None,
        expect: Expect,
        mint: Callable[[], str],
        slots: int = WORKFLOW_TASKS_MAX,
        guard: Guard = unguarded,
        isolate: Isolate | None = None,
        counters: Counters | None = None,
        code: CodeOptions = CodeOptions(),
        local_execution: ActivityExecution | None = None,
        local_slots: int | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            local_execution: Runs local activities, so many at once; without it there are none.
            slots: Tasks in work at a time; prefetch alone bounds each queue, and there are two.
            guard: Calls user code and cuts off what blocks.
            isolate: Tries a run in a process of its own, when it seems to take workers down.
            counters: activations, cached_activations, replays, commits, stale, refused,
                task_failures, queries, dropped_entries.
            code: How workflow code is run.
        """
        self._cache, self._slots = cache, asyncio.Semaphore(slots)
        context = self._context = WorkerContext(
            store=store,
            dispatcher=dispatcher,
            clock=clock,
            namespace=namespace,
            identity=identity,
            build_id=build_id,
            sticky=sticky,
            expect=expect,
            mint=mint,
            counters=Counters() if counters is None else counters,
        )
        user_code = UserCode(registry, values, guard, namespace=namespace, options=code)
        loader = self._loader = RunLoader(context, user_code, border := Border(values))
        self._extensions = Extensions(store, clock)
        self._local = LocalAttempts(local_execution, clock, mint=mint, slots=local_slots)
        self._advancer = Advancer(
            context,
            user_code=user_code,
            border=border,
            loader=loader,
            extensions=self._extensions,
            cache=cache,
            isolate=isolate,
            local_attempts=self._local,
        )
        self._queries = QueryTasks(
            context,
            broker,
            user_code=user_code,
            border=border,
            loader=loader,
            advancer=self._advancer,
            cache=cache,
        )
        self._burials = Burials(broker, clock)
        self._waiting: dict[WorkflowId, deque[tuple[Delivery, WorkflowTask | QueryTask]]] = {}
        self._work: set[asyncio.Task[None]] = set()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch from the queue. Never waits; the prefetch bounds what is in work."""
        for delivery in deliveries:
            try:
                task = codec.workflow_task_decoder.decode(delivery.body)
            except MalformedMessageError as error:
                self._bury(delivery, str(error))
                continue
            self._enqueue(delivery, task)

    async def drain(self) -> None:
        """Wait until nothing is in work."""
        while self._work:
            await asyncio.wait(self._work)
        await self._burials.drain()
        self._extensions.stop()

    def abort(self) -> None:
        """Cancel everything in work and forget every run; the deliveries come again, elsewhere."""
        for work in self._work:
            work.cancel()
        self._burials.abort()
        self._extensions.stop()
        self._cache.clear()

    def _enqueue(self, delivery: Delivery, task: WorkflowTask | QueryTask) -> None:
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
        """One task per run in a process: further ones wait their turn."""
        waiting = self._waiting[workflow_id]
        try:
            while waiting:
                async with self._slots:
                    delivery, task = waiting.popleft()
                    # Not before: what only waits here may be repeated for other workers.
                    self._extensions.begin(workflow_id)
                    await self._do(workflow_id, delivery, task)
        finally:
            self._extensions.end(workflow_id)
            del self._waiting[workflow_id]

    async def _do(
        self, workflow_id: WorkflowId, delivery: Delivery, task: WorkflowTask | QueryTask
    ) -> None:
        published = Confirmations(delivery)
        try:
            if isinstance(task, QueryTask):
                await self._queries.answer(delivery, task, published)
            else:
                await self._wake(workflow_id, delivery, task, published)
        except UnavailableError as error:
            self._context.bind(_log, workflow_id).warning("delivery_given_back", reason=str(error))
            delivery.give_back()
        except Exception as error:  # the last boundary: a delivery must never be left in hand
            self._context.bind(_log, workflow_id).error("delivery_dropped", exc_info=error)
            delivery.ack()
        else:
            published.finish()

    async def _wake(
        self,
        workflow_id: WorkflowId,
        delivery: Delivery,
        task: WorkflowTask,
        published: Confirmations,
    ) -> None:
        run = self._cache.take(workflow_id)
        again = task.repeat or delivery.redelivered
        if not again and run is None and task.first is not None and task.entry is not None:
            # A run that was made just now: its message tells all. A doubled or late message tells
            # what is over; then the commit is stale, and the run is read.
            run = await self._loader.first(workflow_id, task.first, consumed=task.entry.number - 1)
        errand = Errand(
            workflow_id,
            published,
            run,
            entries=None if again else _inline(run, task),
            count=again,
            publish_again=delivery.redelivered,
        )
        standing = await self._advancer.advance(errand)
        if isinstance(standing, CachedRun):
            self._cache.put(workflow_id, standing)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        """Let a person have what nobody can read, with the reason; whoever asked is told."""
        _log.warning("message_buried", namespace=self._context.namespace, reason=reason)
        self._queries.reply(delivery, ErrorResponse(code="invalid_argument", message=reason))
        self._burials.bury(delivery, reason)


def _inline(run: CachedRun | None, task: WorkflowTask) -> tuple[InboxEntry, ...] | None:
    """The entry that came along, if a cached run has consumed all before it: nothing to read."""
    if run is None or task.entry is None or task.entry.number != run.consumed + 1:
        return None
    try:
        return (codec.decode_inline_entry(task.entry),)
    except MalformedMessageError:
        return None
