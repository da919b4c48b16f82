"""One run in memory: activate it with events, get commands; nothing else comes in or goes out.

All news of an activation is applied first (signals, then the rest), then the loop runs until
nothing is ready and no condition has become true. See `loop`, `command_log` and `resolve`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import (
    CancelledError,
    ConversionError,
    FailureError,
    PayloadTooLargeError,
    is_cancelled_exception,
)
from orchestrator.replay.command_log import CommandLog
from orchestrator.replay.control import (
    ContinueAsNewError,
    NondeterminismError,
    ReadOnlyContextError,
    WorkflowEvicted,
)
from orchestrator.replay.facts import Activation, Commands, Completion, RunFacts, TaskFailure
from orchestrator.replay.handlers import Handlers, decode
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.resolve import PendingActivity, settle
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload

_log = logging.getLogger("orchestrator.replay")
_EVICTION_ROUNDS_MAX = 20
"""Code that swallows cancellation more often than this stays, and the caller is told."""


class WorkflowRun:
    """The live coroutines of one run; used by one thread at a time."""

    def __init__(
        self, definition: WorkflowDefinition, facts: RunFacts, data_converter: Values
    ) -> None:
        self.definition = definition
        self.facts = facts
        self.values = data_converter
        self.loop = DurableLoop(self)  # type: ignore[abstract]  # the rest is set to refuse
        self.activation = Activation(time_ms=facts.start_time_ms)
        self.random = random.Random(facts.run_id)
        self.read_only = False
        self.evicting = False
        self.cancel_requested = False
        self.handlers_running = 0
        self.handlers: Handlers | None = None
        self._log = CommandLog(self._bind)
        self._primary: asyncio.Task[None] | None = None
        self._conditions: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._activities: dict[str, PendingActivity] = {}
        self._activity_ids: dict[int, str] = {}
        self._last_activity = 0
        self._last_timer = 0
        self._error: BaseException | None = None

    def activate(self, activation: Activation) -> Completion:
        """Apply the news and run until quiet. Errors of user code are answers, not raised."""
        self.activation = activation
        with self.loop.running():
            try:
                self._apply_all(activation.events)
                self._run_until_quiet()
            except Exception as error:  # the boundary of user code: __init__ and conditions
                self._end_with(error)
        if self._error is not None:
            return self._task_failure(self._error)
        try:
            commands = self._log.finish(activation.recorded, complete=activation.recorded_complete)
        except NondeterminismError as error:
            return self._task_failure(error)
        return Commands(commands=commands)

    def accept(self, events: Sequence[e.HistoryEvent]) -> None:
        """Learn the ids of the events that the last activation's commands became."""
        self._log.accept(events)

    def query(self, name: str, payloads: Sequence[Payload]) -> Payload | Failure:
        """Ask a query's method under the read-only flag; conditions are not evaluated."""
        with self.loop.running():
            self.read_only = True
            try:
                if name == "__stack_trace":
                    return self.values.to_payloads([self.stack()])[0]
                if self.handlers is None:
                    raise FailureError("the run's first task has not run yet; ask again")
                return self.handlers.query(name, payloads)
            except Exception as error:  # the boundary of user code
                return self.values.to_failure(error)
            finally:
                self.read_only = False

    def evict(self) -> bool:
        """Unwind all tasks, commands suppressed. False: some swallow cancellation and stay."""
        self.evicting = True
        with self.loop.running():
            for _ in range(_EVICTION_ROUNDS_MAX):
                for task in list(self.loop.tasks):
                    task.cancel()
                self.loop.drain(stop=lambda: False)
                if not self.loop.tasks:
                    return True
        return False

    def abandon(self) -> None:
        """Close the coroutines that an eviction has left. The garbage collector would do it too,
        but anywhere: in the middle of another run, whose commands theirs would become."""
        with self.loop.running():
            for task in list(self.loop.tasks):
                try:
                    task.get_coro().close()
                except RuntimeError:
                    pass  # It ignores even this; there is nothing left to be done about it.

    def stack(self) -> str:
        """Where each task waits, outermost line first."""
        texts: list[str] = []
        for task in self.loop.tasks:
            lines = [f"{task.get_name()}:"]
            awaited: Any = task.get_coro()  # Any: coroutines, generators and futures in a chain
            while awaited is not None and getattr(awaited, "cr_frame", None) is not None:
                code, line = awaited.cr_code, awaited.cr_frame.f_lineno
                lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
                awaited = awaited.cr_await
            texts.append("\n".join(lines))
        return "\n\n".join(texts)

    # What the loop asks of its host ---------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """The time of the activation."""
        return self.activation.time_ms

    def start_timer(self, delay_ms: int) -> str:
        """Number a timer and wish for it."""
        self._last_timer += 1
        timer_id = str(self._last_timer)
        self._add(c.StartTimer(timer_id=timer_id, start_to_fire_ms=delay_ms))
        return timer_id

    def cancel_timer(self, timer_id: str) -> None:
        """Take a timer back; nothing is left of one started in this activation."""
        if self.evicting or self._log.drop_start(c.StartTimer, timer_id):
            return
        self._add(c.CancelTimer(timer_id=timer_id))

    def check_writable(self, act: str) -> None:
        """Raises ReadOnlyContextError inside of a query."""
        if self.read_only:
            raise ReadOnlyContextError(f"a query must not change the workflow: tried to {act}")

    def report(self, context: dict[str, Any]) -> None:  # Any: asyncio's own type
        """Log an error that nobody awaited; quiet while replaying."""
        if self.evicting or self.activation.replaying:
            return
        error = context.get("exception")
        if isinstance(error, Exception):
            _log.warning("%s", context.get("message"), exc_info=error)

    # What the face asks ---------------------------------------------------------------------------

    def start_activity(
        self,
        command: Callable[[str], c.ScheduleActivityTask],
        *,
        activity_id: str | None,
        result_type: Any,  # Any: an annotation
        cancellation_type: ActivityCancellationType,
    ) -> ActivityHandle[Any]:  # Any: the face knows the result's type
        """Wish for the activity that `command(activity_id)` describes.

        Raises:
            RuntimeError: an activity of this id is pending.
        """
        self._last_activity += 1
        identity = activity_id or str(self._last_activity)
        if identity in self._activities:
            raise RuntimeError(f"an activity with id {identity!r} is pending; choose another id")
        wish = command(identity)
        self._add(wish)
        pending = PendingActivity(
            activity_id=identity,
            activity_type=wish.activity_type,
            future=self.loop.create_future(),
            result_type=result_type,
        )
        self._activities[identity] = pending
        handle: ActivityHandle[Any] = ActivityHandle(
            pending.future,
            request_cancel=lambda: self._cancel_activity(pending, cancellation_type),
            evicting=lambda: self.evicting,
            loop=self.loop,
            name=f"activity {wish.activity_type} {identity}",
        )
        self.loop.keep(handle)
        return handle

    async def wait_condition(self, condition: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `condition()`; it is evaluated whenever nothing is ready.

        Raises:
            asyncio.TimeoutError: `timeout` seconds passed first.
        """
        self.check_writable("wait")
        future: asyncio.Future[None] = self.loop.create_future()
        self._conditions.append((condition, future))
        await asyncio.wait_for(future, timeout)

    # Inside ---------------------------------------------------------------------------------------

    def _add(self, command: c.Command) -> None:
        if self.evicting:
            raise WorkflowEvicted
        self.check_writable(f"issue {type(command).__name__}")
        self._log.add(command)

    def _cancel_activity(self, pending: PendingActivity, kind: ActivityCancellationType) -> None:
        if self.evicting or pending.future.done() or pending.cancel_requested:
            return
        self.check_writable("cancel an activity")
        pending.cancel_requested = True
        unsent = self._log.drop_start(c.ScheduleActivityTask, pending.activity_id)
        if unsent:
            del self._activities[pending.activity_id]
        elif kind is not ActivityCancellationType.ABANDON:
            self._add(c.RequestCancelActivityTask(activity_id=pending.activity_id))
        if unsent or kind is not ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
            pending.fail("Activity cancelled", CancelledError("Cancelled"))

    def _bind(self, command: c.Command, event_id: int) -> None:
        if isinstance(command, c.ScheduleActivityTask):
            self._activity_ids[event_id] = command.activity_id
            pending = self._activities.get(command.activity_id)
            if pending is not None:
                pending.scheduled_event_id = event_id

    def _apply_all(self, events: Sequence[e.HistoryEvent]) -> None:
        args: list[Any] = []  # Any: user's values
        instance: object = None
        run = self.definition.run
        start = any(isinstance(event.attributes, e.WorkflowExecutionStarted) for event in events)
        if start:
            args = decode(self.values, self.facts.started.input, self.definition.arg_types)
            instance = self.definition.cls(*(args if self.definition.takes_init_args else ()))
            self.handlers = Handlers(self.definition, instance, self.values, self._start_signal)
        for event in events:
            if isinstance(event.attributes, e.WorkflowExecutionSignaled) and self.handlers:
                self.handlers.signal(event.attributes)
        if start:
            self._primary = self.loop.create_task(
                self._top_level(lambda: run(instance, *args), is_run=True),
                name=f"run {self.definition.name}",
            )
        for event in events:
            self._apply(event.attributes)

    def _apply(self, event: e.EventAttributes) -> None:
        match event:
            case (
                e.ActivityTaskCompleted()
                | e.ActivityTaskFailed()
                | e.ActivityTaskTimedOut()
                | e.ActivityTaskCanceled()
            ):
                identity = self._activity_ids.pop(event.scheduled_event_id, None)
                pending = None if identity is None else self._activities.pop(identity, None)
                if pending is None:
                    raise NondeterminismError(
                        f"history ends the activity of event {event.scheduled_event_id}, which "
                        "this code did not schedule"
                    )
                settle(pending, event, self.values)
            case e.TimerFired():
                self.loop.fire(event.timer_id)
            case e.WorkflowExecutionCancelRequested():
                self.cancel_requested = True
                if self._primary is not None:
                    self.loop.call_soon(self._primary.cancel)
            case _:
                pass

    def _run_until_quiet(self) -> None:
        while True:
            self.loop.drain(stop=lambda: self._error is not None)
            if self._error is not None:
                return
            waiting, self._conditions = self._conditions, []
            for condition, future in waiting:
                if future.done():
                    continue
                try:
                    if condition():
                        future.set_result(None)
                        continue
                except Exception as error:  # the boundary of user code: it belongs to the waiter
                    future.set_exception(error)
                    continue
                self._conditions.append((condition, future))
            if not self.loop.has_ready:
                return

    def _start_signal(self, call: Callable[[], Any]) -> None:  # Any: sync or async handlers
        self.handlers_running += 1
        self.loop.create_task(self._top_level(call, is_run=False), name="signal")

    async def _top_level(
        self, call: Callable[[], Any | Coroutine[Any, Any, Any]], *, is_run: bool
    ) -> None:  # Any: user code
        try:
            result = call()
            if inspect.isawaitable(result):
                result = await result
            if is_run:
                payload = self.values.to_payloads([result])[0]
                self._add(c.CompleteWorkflowExecution(result=payload))
        except ContinueAsNewError as error:
            if not self.evicting:
                self._add(error.command)
        except (GeneratorExit, WorkflowEvicted):
            raise
        except BaseException as error:  # the boundary of user code
            if self.evicting:
                raise
            self._end_with(error)
        finally:
            if not is_run:
                self.handlers_running -= 1

    def _end_with(self, error: BaseException) -> None:
        if self.cancel_requested and is_cancelled_exception(error):
            self._add(c.CancelWorkflowExecution())
        elif isinstance(error, asyncio.CancelledError):
            failure = self.values.to_failure(CancelledError("Cancelled without a request"))
            self._add(c.FailWorkflowExecution(failure=failure))
        elif isinstance(error, FailureError | asyncio.TimeoutError):
            self._add(c.FailWorkflowExecution(failure=self.values.to_failure(error)))
        elif self._error is None:
            self._error = error

    def _task_failure(self, error: BaseException) -> TaskFailure:
        cause = e.WorkflowTaskFailureCause.WORKFLOW_CODE
        if isinstance(error, NondeterminismError):
            cause = e.WorkflowTaskFailureCause.NONDETERMINISM
        elif isinstance(error, ConversionError | PayloadTooLargeError):
            cause = e.WorkflowTaskFailureCause.PAYLOAD
        return TaskFailure(cause=cause, failure=self.values.to_failure(error))
