"""Runs the user's function of an attempt: where, with which context, and what its end means.

Nothing that user code raises gets out; a failure is an answer. How a cancellation ends:

    code returns                      completed, whoever asked it to stop
    workflow asked, code lets through cancelled
    worker goes, code lets through    failed as `WorkerShutdown`, the next attempt begins at once
    its time is over, or it is gone   abandoned: the store's row has decided or will
    nobody asked                      failed, as by any other error of user code
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from orchestrator.converter import DataConverter
from orchestrator.definition.activity import ActivityDefinition
from orchestrator.definition.registry import Registry
from orchestrator.exceptions import ApplicationError
from orchestrator.limits import (
    HEARTBEAT_THROTTLE_DEFAULT_MS,
    HEARTBEAT_THROTTLE_MAX_MS,
    NAMES_SHOWN_MAX,
)
from orchestrator.metering import MetricMeter
from orchestrator.ports.clock import Clock
from orchestrator.worker.activity_context import LocalOccurrence
from orchestrator.worker.attempt import Attempt, Beat, Outcome
from orchestrator.worker.deadlines import Deadlines
from orchestrator.worker.executors import (
    AsyncJob,
    Call,
    Job,
    PoolProcessJob,
    PoolUnusableError,
    ThreadJob,
    is_thread_pool,
)
from orchestrator.worker.heartbeats import throttle_ms
from orchestrator.worker.intercepted import InterceptedJob
from orchestrator.worker.interceptors import Interceptor
from orchestrator.worker.interruption import Interruption
from orchestrator.worker.running import RunningAttempt, meter_of
from orchestrator.worker.shared_state import SERVER_GONE, SharedEvent, SharedStateManager

OnFatal = Callable[[Exception], None]
"""Told that the worker cannot run its activities any more; called for each attempt that met it."""


def check_registry(
    registry: Registry,
    executor: Executor | None,
    shared_state: SharedStateManager | None = None,
) -> None:
    """Check that each activity has a place to run.

    Raises:
        ValueError: a sync activity has no executor, a process pool has no shared state or gets
            something that cannot be pickled, or a method was given without its instance.
    """
    for definition in registry.all_activities:
        if definition.is_unbound:
            raise ValueError(
                f"activity {definition.name!r} is a method without its instance; make one and "
                "register the bound method"
            )
        if definition.is_async:
            continue
        if executor is None:
            raise ValueError(
                f"activity {definition.name!r} is not async and needs a place to run: pass "
                "activity_executor=ThreadPoolExecutor(…), or make it async"
            )
        if not is_thread_pool(executor):
            _check_for_processes(definition, shared_state)


def _check_for_processes(
    definition: ActivityDefinition, shared_state: SharedStateManager | None
) -> None:
    if shared_state is None:
        raise ValueError(
            f"activity {definition.name!r} would run in another process, which needs "
            "shared_state_manager=SharedStateManager.create_from_multiprocessing("
            "multiprocessing.Manager())"
        )
    try:
        pickle.dumps(definition.function)
    except Exception as error:  # the boundary of pickling: objects may do anything
        raise ValueError(
            f"activity {definition.name!r} cannot be sent to another process ({error}); define "
            "the function at the top of a module"
        ) from error


class ActivityExecution:
    """Executes the activities of one worker. `execute` is what `ActivityTasks` is given."""

    def __init__(
        self,
        registry: Registry,
        values: DataConverter,
        clock: Clock,
        *,
        executor: Executor | None = None,
        shared_state: SharedStateManager | None = None,
        max_heartbeat_throttle_ms: int = HEARTBEAT_THROTTLE_MAX_MS,
        default_heartbeat_throttle_ms: int = HEARTBEAT_THROTTLE_DEFAULT_MS,
        on_fatal: OnFatal | None = None,
        client: object = None,
        interceptors: Sequence[Interceptor] = (),
        metric_meter: MetricMeter = MetricMeter.noop,
    ) -> None:
        """Run `check_registry` before.

        Args:
            registry: What can be run.
            values: Converts arguments, results, details and errors.
            clock: What time limits run by.
            executor: Where sync activities run; stays its owner's.
            shared_state: For an executor that is not a pool of threads.
            max_heartbeat_throttle_ms: Heartbeats are sent at least this often, if there are any.
            default_heartbeat_throttle_ms: The same without a heartbeat time-out.
            client: What async activities get as `activity.client()`.
            on_fatal: Told when the executor is broken or closed.
            interceptors: Stand around the calls, outermost first.
            metric_meter: Makes the instruments of activity code.
        """
        self._registry = registry
        self._values = values
        self._clock = clock
        self._executor = executor
        self._shared_state = shared_state
        self._max_throttle_ms = max_heartbeat_throttle_ms
        self._default_throttle_ms = default_heartbeat_throttle_ms
        self._on_fatal = on_fatal
        self._client = client
        self._interceptors = interceptors
        self._meter = metric_meter
        self._deadlines = Deadlines(clock)
        self._worker_shutdown = LocalOccurrence()
        self._shared_shutdown: asyncio.Task[SharedEvent] | None = None
        self._telling: asyncio.Task[None] | None = None

    def knows(self, activity_type: str) -> bool:
        """Whether an activity of this type is registered here."""
        return self._registry.activity(activity_type) is not None

    async def execute(self, attempt: Attempt, beat: Beat) -> Outcome:
        """Run one attempt to its end. Cancelled itself (a worker that is torn down), it cancels the
        user's code and does not wait for it.

        Unknown types and arguments that do not fit fail the attempt so that it is tried again:
        another worker or release may know better. A result that cannot travel is final.
        """
        definition = self._registry.activity(attempt.task.activity_type)
        if definition is None:
            return self._values.to_failure(self._unknown(attempt.task.activity_type))
        try:
            running = self._running(attempt, beat, definition)
        except Exception as error:  # the boundary of converters, which users may write
            return self._values.to_failure(error)
        try:
            return await running.run(await self._start(definition, running), self._deadlines)
        except PoolUnusableError as error:
            if self._on_fatal is not None:
                self._on_fatal(error)
            return self._values.to_failure(error)

    def shut_down(self) -> None:
        """Let running activities, and those to come, see that the worker goes."""
        self._worker_shutdown.set()
        if self._shared_shutdown is not None and self._telling is None:
            tell = self._tell_processes(self._shared_shutdown)
            self._telling = asyncio.get_running_loop().create_task(tell)

    async def close(self) -> None:
        """Give up what watches attempts. Call it when none is running any more."""
        await self._deadlines.close()
        if self._telling is not None:
            await asyncio.wait((self._telling,))

    def _running(
        self, attempt: Attempt, beat: Beat, definition: ActivityDefinition
    ) -> RunningAttempt:
        interruption = None
        if self._runs_in_thread(definition) and not definition.no_thread_cancel_exception:
            interruption = Interruption()
        return RunningAttempt(
            attempt,
            self._values,
            self._clock,
            beat,
            throttle_ms=throttle_ms(
                attempt.task.heartbeat_timeout_ms,
                default_ms=self._default_throttle_ms,
                max_ms=self._max_throttle_ms,
            ),
            worker_shutdown=self._worker_shutdown,
            interruption=interruption,
            client=self._client if definition.is_async else None,
            beats_by_itself=definition.auto_heartbeat and not attempt.is_local,
        )

    async def _start(self, definition: ActivityDefinition, running: RunningAttempt) -> Job:
        call = Call(definition, running.attempt.task.input, self._values)
        if not self._meter.is_noop:
            running.context.metric_meter = meter_of(self._meter, running.attempt.task)
        start_sync = partial(self._start_sync, running)
        if self._interceptors:
            header, executor = running.attempt.task.header, self._executor
            return InterceptedJob(
                call, running.context, self._interceptors, start_sync, header, executor
            )
        if definition.is_async:
            return AsyncJob(call, running.context)
        return await start_sync(call)

    async def _start_sync(self, running: RunningAttempt, call: Call) -> Job:
        definition = call.definition
        if self._executor is None:
            raise PoolUnusableError(f"activity {definition.name!r} is not async: no executor")
        if self._runs_in_thread(definition):
            return ThreadJob(call, running.context, self._executor)
        if self._shared_state is None:
            raise PoolUnusableError(f"activity {definition.name!r}: no shared state manager")
        try:
            shutdown = await self._shutdown_for_processes(self._shared_state)
            return await PoolProcessJob.start(
                call, running.context, self._executor, self._shared_state, shutdown, running.note
            )
        except SERVER_GONE as error:
            raise PoolUnusableError(f"the shared state manager is gone: {error!r}") from error

    def _runs_in_thread(self, definition: ActivityDefinition) -> bool:
        executor = self._executor
        return not definition.is_async and executor is not None and is_thread_pool(executor)

    async def _shutdown_for_processes(self, shared_state: SharedStateManager) -> SharedEvent:
        """One event for all attempts of this worker."""
        if self._shared_shutdown is None:
            make = asyncio.to_thread(shared_state.new_event)
            self._shared_shutdown = asyncio.get_running_loop().create_task(make)
            if self._worker_shutdown.is_set():
                self.shut_down()
        return await asyncio.shield(self._shared_shutdown)

    async def _tell_processes(self, made: asyncio.Task[SharedEvent]) -> None:
        try:
            event = await made
            await asyncio.to_thread(event.set)
        except SERVER_GONE:
            pass  # The attempts that would be told have lost their process's other end too.

    def _unknown(self, activity_type: str) -> ApplicationError:
        names = sorted(self._registry.activities)
        shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "none"
        more = f" and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
        return ApplicationError(
            f"activity {activity_type!r} is not registered on this worker, which has: "
            f"{shown}{more}; register it, or use another task queue",
            type="NotFoundError",
        )
