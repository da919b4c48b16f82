"""A worker: takes the tasks of one task queue and does them, and its share of the engine's duties.

It joins what the other modules of this package do: wake-ups and queries to `WorkflowTasks`,
activity tasks to `ActivityTasks`, signs of life, a queue of its own for the runs it has cached, and
an orderly end: take nothing more, finish what is in work, go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, cast

from orchestrator.client import Client
from orchestrator.core.concurrency import ActivityConcurrency, check_concurrency
from orchestrator.core.rates import ActivityRates, check_rates
from orchestrator.core.transition import AttemptName
from orchestrator.definition.registry import Registry
from orchestrator.engine.engine import Engine
from orchestrator.ids import ShardId, check_task_queue
from orchestrator.limits import (
    DRAIN_MS,
    HEARTBEAT_THROTTLE_DEFAULT_MS,
    HEARTBEAT_THROTTLE_MAX_MS,
    LOCAL_ACTIVITIES_MAX,
)
from orchestrator.ports.broker import ActivityQueue, StickyQueue, WorkflowQueue
from orchestrator.relay.subscriptions import Subscription, Subscriptions
from orchestrator.replay.patches import PatchActivation
from orchestrator.telemetry.log import bind, get_logger
from orchestrator.units import to_ms
from orchestrator.wiring import new_process_name
from orchestrator.worker.execution import ActivityExecution, check_registry
from orchestrator.worker.guards import ActivationGuard
from orchestrator.worker.guards_lint import check_workflow, refuse
from orchestrator.worker.health import server_problems
from orchestrator.worker.interceptors import Interceptor, workflow_classes
from orchestrator.worker.parts import Bounds, Parts
from orchestrator.worker.plugins import (
    Plugin,
    WorkerConfig,
    configures_worker,
    plugins_of,
    run_through,
)
from orchestrator.worker.presence import Presence
from orchestrator.worker.recovery import Recovery
from orchestrator.worker.run_cache import RunCache
from orchestrator.worker.shared_state import SharedStateManager
from orchestrator.worker.user_code import CodeOptions


class Worker:
    """Runs workflows and activities of one task queue; see `run`."""

    _given: dict[str, object]  # kept by `configures_worker`

    @configures_worker
    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        workflows: Sequence[type] = (),
        activities: Sequence[Callable[..., Any]] = (),  # Any: user functions of any signature
        activity_executor: Executor | None = None,
        shared_state_manager: SharedStateManager | None = None,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        max_concurrent_local_activities: int | None = None,
        max_cached_workflows: int | None = None,
        max_activities_per_second: float | None = None,
        max_task_queue_activities_per_second: float | None = None,
        max_activities_per_second_by_type: Mapping[str, float] | None = None,
        max_activities_per_second_per_key: float | None = None,
        max_task_queue_concurrent_activities: int | None = None,
        max_concurrent_activities_by_type: Mapping[str, int] | None = None,
        max_concurrent_activities_per_key: int | None = None,
        graceful_shutdown_timeout: timedelta = timedelta(),
        max_heartbeat_throttle_interval: timedelta = timedelta(
            milliseconds=HEARTBEAT_THROTTLE_MAX_MS
        ),
        default_heartbeat_throttle_interval: timedelta = timedelta(
            milliseconds=HEARTBEAT_THROTTLE_DEFAULT_MS
        ),
        interceptors: Sequence[Interceptor] = (),
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        patch_activation_callback: PatchActivation | None = None,
        on_fatal_error: Callable[[Exception], Awaitable[None]] | None = None,
        identity: str | None = None,
        build_id: str | None = None,
        debug_mode: bool = False,
        engine_duties: bool = True,
        plugins: Sequence[Plugin] = (),
    ) -> None:
        """Check what the worker is given; nothing is connected or started yet.

        Args:
            client: Its connections are used; close it after the worker has ended.
            task_queue: Whose tasks are taken.
            workflows: Classes decorated with `@workflow.defn`.
            activities: Functions, methods or instances decorated with `@activity.defn`.
            activity_executor: Where sync activities run; required when there is one. It stays its
                owner's.
            shared_state_manager: Required when that executor is not a pool of threads.
            max_concurrent_workflow_tasks: Tasks in work at a time; default: the setting, 100.
            max_concurrent_activities: Attempts in work at a time; default: the setting, 100.
            max_concurrent_local_activities: Local activities in work at a time; default: 100.
            max_cached_workflows: Runs kept in memory; 0 replays every task; default: 1,000.
            max_activities_per_second: Attempts that begin here; default: no limit, as with the
                next three, which all workers of the queue share: the newest asker's word counts.
            max_task_queue_activities_per_second: Attempts of the queue that begin anywhere.
            max_activities_per_second_by_type: The same for each activity type.
            max_activities_per_second_per_key: The same for each `Priority.fairness_key`; who waits
                for its key's turn is in nobody's way.
            max_task_queue_concurrent_activities: Attempts of the queue in work anywhere at a time;
                shared as the rates are. Who waits holds no slot and is called when there is room,
                the most urgent first and fairness keys by their weight.
            max_concurrent_activities_by_type: The same for each activity type.
            max_concurrent_activities_per_key: The same for each `Priority.fairness_key`.
            graceful_shutdown_timeout: How long activities may go on after `shutdown` before they
                are cancelled and begun again elsewhere.
            max_heartbeat_throttle_interval: Heartbeats are sent at least this often.
            default_heartbeat_throttle_interval: The same without a heartbeat time-out.
            interceptors: Stand around activities and workflow code, outermost first; behind those
                of the client that are interceptors of workers too.
            workflow_failure_exception_types: Exceptions that fail a run instead of its task.
            patch_activation_callback: Asked where a run may take a patch that it has not taken and
                not passed by; False: it goes the old way to its end, and nothing is noted. So new
                code may be everywhere before any run depends on it. A run that is tried in a
                process of its own (it seems to take its workers down) goes the new way there.
            on_fatal_error: Told of what ended the worker, before `run` raises it.
            identity: Who this is, in histories; default: a name of host, process id and chance.
            build_id: Names the release of the code, in each workflow task's record and for
                `workflow.info().get_current_build_id()`; default: none.
            debug_mode: Workflow code that blocks is left alone, so that a debugger may stop in it.
            engine_duties: Whether timers, repeats and start messages are looked after here too.
            plugins: Have changed these arguments already, and stand around `run`; behind those of
                the client that are plugins of workers too.

        Raises:
            ValueError: there is nothing to run, a definition breaks a rule, two have one name, a
                sync activity has no place to run, a bound is not positive, or (`WorkflowCodeError`)
                the code of a workflow cannot do the same again on replay.
        """
        if not workflows and not activities:
            raise ValueError("a worker needs at least one workflow or activity")
        check_rates(
            max_activities_per_second,
            max_task_queue_activities_per_second,
            max_activities_per_second_per_key,
            *(max_activities_per_second_by_type or {}).values(),
        )
        check_concurrency(
            max_task_queue_concurrent_activities,
            max_concurrent_activities_per_key,
            *(max_concurrent_activities_by_type or {}).values(),
        )
        services, settings = client.services, client.services.settings.worker
        self._plugins = plugins_of(client, plugins)
        self._client = client
        self._task_queue = check_task_queue(task_queue)
        self._registry = Registry(workflows=workflows, activities=activities)
        check_registry(self._registry, activity_executor, shared_state_manager)
        refuse(finding for cls in workflows for finding in check_workflow(cls))
        self._process = new_process_name()
        self._grace = graceful_shutdown_timeout
        self._workflow_slots = _at_least_1(
            "max_concurrent_workflow_tasks",
            max_concurrent_workflow_tasks,
            settings.max_concurrent_workflow_tasks,
        )
        self._activity_slots = _at_least_1(
            "max_concurrent_activities",
            max_concurrent_activities,
            settings.max_concurrent_activities,
        )
        cached = settings.max_cached_workflows
        self._cache = RunCache(cached if max_cached_workflows is None else max_cached_workflows)
        self._sticky = str(self._process) if self._cache.limit > 0 and workflows else None
        self._engine = Engine(services, process=self._process) if engine_duties else None
        self._activity_executor = activity_executor
        own = (one for one in client.interceptors if isinstance(one, Interceptor))
        links: list[Interceptor] = [*own, *interceptors]
        self._execution = ActivityExecution(
            self._registry,
            client.data_converter.inner,
            services.clock,
            executor=activity_executor,
            shared_state=shared_state_manager,
            max_heartbeat_throttle_ms=to_ms(max_heartbeat_throttle_interval),
            default_heartbeat_throttle_ms=to_ms(default_heartbeat_throttle_interval),
            on_fatal=self._fail,
            client=client,
            interceptors=links,
            metric_meter=client.metric_meter,
        )
        self._fatal: Exception | None = None
        self._on_fatal_error = on_fatal_error
        self._guard = ActivationGuard(debug=debug_mode)
        parts = Parts(services, self._process, self._registry, self._expect)
        self._workflow_tasks = parts.workflow_tasks(
            values=client.data_converter,
            cache=self._cache,
            sticky=self._sticky,
            identity=identity or self._process,
            build_id=build_id or "",
            slots=self._workflow_slots,
            guard=self._guard,
            code=CodeOptions(
                failure_exception_types=tuple(workflow_failure_exception_types),
                interceptors=workflow_classes(links),
                metric_meter=client.metric_meter,
                patch_activation=patch_activation_callback,
            ),
            local_execution=self._execution,
            local_slots=_at_least_1(
                "max_concurrent_local_activities",
                max_concurrent_local_activities,
                LOCAL_ACTIVITIES_MAX,
            ),
        )
        self._activity_tasks = parts.activity_tasks(
            self._execution,
            client.data_converter,
            slots=self._activity_slots,
            bounds=Bounds(
                rates=ActivityRates(
                    task_queue=max_task_queue_activities_per_second,
                    by_type=dict(max_activities_per_second_by_type or {}),
                    per_key=max_activities_per_second_per_key,
                ),
                concurrency=ActivityConcurrency(
                    task_queue=max_task_queue_concurrent_activities,
                    by_type=dict(max_concurrent_activities_by_type or {}),
                    per_key=max_concurrent_activities_per_key,
                ),
                own_rate=max_activities_per_second,
            ),
        )
        self._recovery = Recovery(
            services,
            task_queue=self._task_queue,
            repeat_finishes=self._activity_tasks.repeat_finishes,
        )
        self._presence = Presence(
            services.store, services.clock, process=self._process, on_cancel=self._cancel
        )
        self._log = bind(get_logger("worker"), namespace=services.namespace).bind(
            task_queue=task_queue, process=self._process
        )
        self._wanted = self._queues()
        self._subscriptions = Subscriptions(
            services.store, services.broker, services.clock, self._wanted, log=self._log
        )
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def config(self) -> WorkerConfig:
        """What it was made with, before plugins changed it: `Worker(**config)` makes another."""
        return cast("WorkerConfig", dict(self._given))

    @property
    def task_queue(self) -> str:
        """Whose tasks are taken."""
        return self._task_queue

    @property
    def process(self) -> str:
        """The name under which this worker is known in attempts and histories."""
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it takes tasks."""
        return self._started.is_set() and not self._stopping.is_set()

    @property
    def is_shutdown(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    async def problems(self) -> Sequence[str]:
        """Why it cannot take tasks now, one sentence each; empty when it can. Asks both servers."""
        if not self.is_running:
            return ["the worker is ending" if self._stopping.is_set() else "it has not begun"]
        found = [*await server_problems(self._client.services, self._process)]
        if not self._subscriptions.is_consuming:
            found.append(f"the worker is not subscribed to task queue {self._task_queue!r}")
        if self._engine is not None:
            found.extend(self._engine.problems())
        return found

    async def run(self) -> None:
        """Take tasks until `shutdown`, or until cancelled, which ends it in the same orderly way.

        Servers that go away are waited for.

        Raises:
            UnavailableError: a server does not answer at the start.
            PoolUnusableError: the executor of sync activities broke or was closed; the worker has
                ended in order.
            RuntimeError: it was run before.
        """
        await run_through(self._plugins, self, Worker._run)

    async def _run(self) -> None:
        if self._started.is_set() or self._ended.is_set():
            raise RuntimeError("a worker runs once; make another one")
        try:
            async with asyncio.TaskGroup() as group:
                await self._presence.begin()
                group.create_task(self._presence.run(), name="presence")
                if self._engine is not None:
                    group.create_task(self._engine.run(), name="engine")
                group.create_task(self._recovery.run(), name="recovery")
                try:
                    await self._begin()
                    group.create_task(self._subscriptions.run(), name="subscriptions")
                    await self._stopping.wait()
                finally:
                    await self._end()
        except BaseExceptionGroup as errors:
            raise _first_of(errors) from errors
        finally:
            self._ended.set()
        if self._fatal is not None:
            if self._on_fatal_error is not None:
                await self._on_fatal_error(self._fatal)
            raise self._fatal

    async def shutdown(self) -> None:
        """Take nothing more, finish what is in work, and return when `run` has ended."""
        self._stopping.set()
        if self._started.is_set():
            await self._ended.wait()

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.run(), name="worker")
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait((self._running, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._running.done():
            await self._running
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()
        if self._running is not None:
            await self._running

    # Inside ---------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        queues = [one.queue for one in self._wanted]
        made = await self._client.services.broker.declare(*queues)
        await self._subscriptions.begin()
        self._recovery.queues_made(made)
        self._started.set()
        self._warn_of_few_threads()
        self._log.info(
            "worker_started",
            workflows=sorted(self._registry.workflows),
            activities=sorted(self._registry.activities),
        )

    def _warn_of_few_threads(self) -> None:
        """An attempt that waits for a thread has begun, and its time-outs run."""
        executor = self._activity_executor
        threads: object = getattr(executor, "_max_workers", None)
        sync = [one for one in self._registry.activities.values() if not one.is_async]
        if sync and isinstance(threads, int) and threads < self._activity_slots:
            self._log.warning(
                "activity_executor_is_small",
                workers=threads,
                max_concurrent_activities=self._activity_slots,
                remedy="give the executor as many workers, or lower max_concurrent_activities",
            )

    def _queues(self) -> list[Subscription]:
        take, slots = self._workflow_tasks.take, self._workflow_slots
        wanted: list[Subscription] = []
        if self._registry.has_workflows:
            wanted.append(Subscription(WorkflowQueue(self._task_queue), take, slots))
        if self._sticky is not None:
            wanted.append(Subscription(StickyQueue(self._sticky, self._task_queue), take, slots))
        if self._registry.has_activities:
            tasks = ActivityQueue(self._task_queue)
            wanted.append(Subscription(tasks, self._activity_tasks.take, self._activity_slots))
        return wanted

    async def _end(self) -> None:
        """Take nothing more, give what is in work its time, then go; each step whatever became of
        the one before."""
        self._stopping.set()
        self._log.info("worker_draining")
        await self._try("stopping its consumers", self._subscriptions.stop())
        if self._sticky is not None:
            # Now, not at the end: wake-ups of what ends meanwhile go to the shared queue then.
            own = StickyQueue(self._sticky, self._task_queue)
            await self._try("removing its queue", self._client.services.broker.delete(own))
        self._execution.shut_down()
        grace_ms = to_ms(self._grace)
        await self._within(
            grace_ms + DRAIN_MS,
            self._activity_tasks.drain(grace_ms=grace_ms),
            self._activity_tasks.abort,
        )
        await self._try("ending the activities", self._execution.close())
        await self._within(DRAIN_MS, self._workflow_tasks.drain(), self._workflow_tasks.abort)
        self._cache.clear()
        if self._engine is not None:
            self._engine.stop()
        self._presence.stop()
        self._recovery.stop()
        self._guard.close()
        self._log.info("worker_ended")

    async def _within(
        self, timeout_ms: int, drain: Awaitable[None], abort: Callable[[], None]
    ) -> None:
        """Code that neither ends nor lets itself be cancelled is left; its attempts are lost here
        and taken over elsewhere."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await drain
        except TimeoutError:
            abort()

    async def _try(self, doing: str, act: Awaitable[None]) -> None:
        try:
            await act
        except Exception as error:  # the boundary of an orderly end: the next step must come
            self._log.warning("worker_end_hindered", doing=doing, error=str(error))

    def _fail(self, error: Exception) -> None:
        """It cannot run its activities any more: end, so that others get them."""
        if self._fatal is None:
            self._fatal = error
            self._log.error("worker_failed", error=str(error))
        self._stopping.set()

    def _expect(self, shard: ShardId, due_at_ms: int) -> None:
        if self._engine is not None:
            self._engine.expect(shard, due_at_ms)

    def _cancel(self, name: AttemptName) -> None:
        self._activity_tasks.cancel(name)


def _first_of(error: BaseException) -> BaseException:
    """What went wrong first; the rest is its cause's."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _at_least_1(name: str, given: int | None, default: int) -> int:
    value = default if given is None else given
    if value < 1:
        raise ValueError(f"{name}: expected 1 or more, found {value}")
    return value
