"""One run in memory: activate it with events, get commands; nothing else comes in or goes out.

All news of an activation is applied first (signals and updates, then the rest), then the loop runs
until nothing is ready and no condition has become true; timers that have fired follow, one by one.
See `loop`, `command_log`, `activities`, `timers`, `handlers`, `updates` and `endings`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from functools import cached_property, partial
from typing import Any, TypeVar

from msgspec.structs import replace

from orchestrator.core.updates import UpdateRequest
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import FailureError
from orchestrator.metering import MetricMeter
from orchestrator.replay.beginning import arguments_of, failure_types_of, instance_of
from orchestrator.replay.command_log import CommandLog, closes
from orchestrator.replay.conditions import Conditions
from orchestrator.replay.control import (
    ContinueAsNewError,
    NondeterminismError,
    ReadOnlyContextError,
)
from orchestrator.replay.endings import Endings, explained
from orchestrator.replay.eviction import close, unwind
from orchestrator.replay.facts import (
    Activation,
    Commands,
    Completion,
    RunFacts,
    TaskFailure,
    is_whole,
    messages_of,
    recorded_ends,
)
from orchestrator.replay.handlers import Handlers
from orchestrator.replay.interception import Interception
from orchestrator.replay.interceptors import (
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)
from orchestrator.replay.local_activities import LocalActivities
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.metadata import BUILT_IN_QUERIES
from orchestrator.replay.operations import Operations
from orchestrator.replay.patches import PatchActivation, Patches
from orchestrator.replay.properties import Properties
from orchestrator.replay.randomness import Randomness
from orchestrator.replay.run_info import Info, info_of
from orchestrator.replay.source import (
    Source,
    caller,
    describe,
    raised_at,
    stacks_of,
    waiting_place,
)
from orchestrator.replay.timers import Timers
from orchestrator.replay.top_level import start_run, start_signal
from orchestrator.replay.updates import Updates
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Header, Payload

_log = logging.getLogger("orchestrator.replay")
_T = TypeVar("_T")


class WorkflowRun:
    """The live coroutines of one run; used by one thread at a time.

    `failure_exception_types` are the worker's, beside those of the definition: what leaves the code
    as one of them fails the run instead of its task. `interceptors` are outermost first.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        facts: RunFacts,
        data_converter: Values,
        *,
        failure_exception_types: Sequence[type[BaseException]] = (),
        interceptors: Sequence[type[WorkflowInboundInterceptor]] = (),
        metric_meter: MetricMeter = MetricMeter.noop,
        patch_activation: PatchActivation | None = None,
    ) -> None:
        self.definition = definition
        self.facts = facts
        self.values = data_converter
        self.activation = Activation(time_ms=facts.start_time_ms)
        self.randomness = Randomness(facts.run_id)
        self.loop = DurableLoop(self, seed=self.randomness.seed)  # type: ignore[abstract]  # the rest is set to refuse
        self.endings = Endings(
            data_converter, (*definition.failure_exception_types, *failure_exception_types)
        )
        self.timers = Timers(self)
        self.operations = Operations(self, self.loop, data_converter)
        self.local = LocalActivities(self, self.loop, data_converter)
        self.handlers = Handlers(
            data_converter, partial(start_signal, self), lambda: self.replaying_history
        )
        self.updates = Updates(self)
        self.properties = Properties(self, facts.started)
        self.patches = Patches(self, self.properties.upsert_search_attributes, patch_activation)
        self.interception: Interception | None = None
        self._interceptors = interceptors
        self._meter = metric_meter
        self.cancel_request: e.WorkflowExecutionCancelRequested | None = None
        self.evicting = False
        self._context = Context()
        self._log = CommandLog(self.operations.bind, self.operations.activities.id_of)
        self.conditions = Conditions(partial(self.ask_read_only, "a condition"))
        self._primary: asyncio.Task[None] | None = None
        self._first_task_ms = facts.start_time_ms
        self._read_only_place = ""
        self.is_activating = self._in_query = False
        self._error: BaseException | None = None
        self._breach: ReadOnlyContextError | None = None
        self._doom: c.FailWorkflowExecution | None = None

    def activate(self, activation: Activation) -> Completion:
        """Apply the news and run until quiet. Errors of user code are answers, not raised."""
        before, self.activation = self.activation, activation
        self.patches.note(activation)
        if self._breach is not None:
            return self.endings.task_failure(self._breach)
        if self._doom is None:
            # A context of its own: what a worker's task keeps there is not the same on replay.
            self._context.run(self._run_code, activation, before)
        completion = self._completion(activation)
        if closes(completion) and not activation.replaying:
            self.handlers.warn_of_unfinished(f"workflow {self.facts.workflow_id!r}")
        return completion

    def end_local(self, ended: c.RecordMarker) -> Completion:
        """A local activity has ended: the code goes on within its task."""
        self._context.run(self._run_on, (ended,))
        completion = self._completion(self.activation)
        if closes(completion):
            self.handlers.warn_of_unfinished(f"workflow {self.facts.workflow_id!r}")
        return completion

    def accept(self, events: Sequence[e.HistoryEvent]) -> None:
        """Learn the ids of the events that the last activation's commands became."""
        self._log.accept(events)

    def query(
        self, name: str, payloads: Sequence[Payload], header: Header | None = None
    ) -> Payload | Failure:
        """Ask a query's method under the read-only flag; conditions are not evaluated.

        A handler that tried to change the run may have half done so: see `tainted`.
        """
        return self._context.run(self._ask, name, payloads, header or {})

    @property
    def outbound(self) -> WorkflowOutboundInterceptor | None:
        """Whom wishes are told, where there are interceptors."""
        return None if self.interception is None else self.interception.outbound

    @property
    def has_begun(self) -> bool:
        """Whether its code was entered."""
        return self._primary is not None

    @property
    def is_doomed(self) -> bool:
        """Whether its code is not that of its history, and the run is configured to fail for it:
        its only command is that failure, in place of whatever history may lack."""
        return self._doom is not None

    def refuse(self, error: NondeterminismError) -> Completion:
        """What comes of code that is not that of its history: the run fails, if it is configured
        to, else its task."""
        if not self.endings.is_failure(error):
            return self.endings.task_failure(error)
        self._doom = c.FailWorkflowExecution(failure=self.values.to_failure(error))
        return Commands(commands=(self._doom,))

    @property
    def tainted(self) -> bool:
        """A read-only place tried to change the run. It must not be activated again, only evicted;
        a replay brings it back as it was."""
        return self._breach is not None

    def evict(self) -> bool:
        """Unwind all tasks, commands suppressed. False: some swallow cancellation and stay."""
        self.evicting = True
        return self._context.run(unwind, self.loop)

    def abandon(self) -> None:
        """Close by force the coroutines that an eviction has left."""
        self._context.run(close, self.loop)

    def stack(self) -> str:
        """Where each task waits, outermost line first."""
        return stacks_of(self.loop.tasks)

    @property
    def now_ms(self) -> int:
        """The time of the activation."""
        return self.activation.time_ms

    def add(self, command: c.Command, source: Source | None = None) -> None:
        """Wish for something; while the run is unwound, wishes are for nobody. `source` is the line
        that asks, unless that is who calls.

        Raises:
            ReadOnlyContextError: the caller is a query or a condition.
        """
        if self._read_only_place:
            self.check_writable(f"issue {type(command).__name__}")
        if not self.evicting:
            self._log.add(command, source)

    def drop_start(self, command: type[c.Command], identity: str) -> bool:
        """Take back a start that was wished for in this activation, if it was."""
        return self._log.drop_start(command, identity)

    def check_writable(self, act: str) -> None:
        """Raises ReadOnlyContextError inside of a query or a condition."""
        if self._read_only_place:
            raise self.note_breach(act)

    def note_breach(self, act: str) -> ReadOnlyContextError:
        """Remember that a read-only place tried to change the run; the error that says so."""
        error = ReadOnlyContextError(
            f"{self._read_only_place} must not change the workflow: tried to {act} at "
            f"{describe(caller())}"
        )
        self._breach = self._breach or error
        return error

    def report(self, context: dict[str, Any]) -> None:  # Any: asyncio's own type
        """Log an error that nobody awaited; quiet while replaying."""
        error = context.get("exception")
        if not self.replaying_history and isinstance(error, Exception):
            _log.warning("%s", context.get("message"), exc_info=error)

    @cached_property
    def info(self) -> Info:
        """What workflow code may know about the run."""
        return info_of(self.facts, self.properties, first_task_ms=self._first_task_ms)

    @cached_property
    def metric_meter(self) -> MetricMeter:
        """The worker's meter, with what the run is; quiet on replay and in queries."""
        if self._meter.is_noop:
            return self._meter
        started = self.facts.started
        attributes = {
            "namespace": self.facts.namespace,
            "task_queue": started.task_queue,
            "workflow_type": started.workflow_type,
        }
        meter = self._meter.with_additional_attributes(attributes)
        return meter.quiet_while(lambda: self.replaying)

    def own_info(self) -> Info:
        """As `info`, past all interceptors."""
        return self.info

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked the run to end."""
        return self.cancel_request is not None

    @property
    def read_only(self) -> bool:
        """Whether a query or a condition is being asked."""
        return bool(self._read_only_place)

    @property
    def replaying(self) -> bool:
        """Whether what the code does now has no effect: history is replayed, a query is answered,
        or the run is unwound."""
        return self._in_query or self.replaying_history

    @property
    def replaying_history(self) -> bool:
        """As `replaying`, but not for a query: whether a log line would be a repetition."""
        return self.evicting or (self.activation.replaying and not self._in_query)

    def _run_code(self, activation: Activation, before: Activation) -> None:
        accepted = self.updates.accepted
        with self._entered():
            self._apply_all(activation)
            if activation.updates and not activation.events:
                self.loop.drain()
                if self.updates.accepted == accepted:
                    # No event, no update let in: no time has passed for the code either.
                    self.activation = before
                    return
            self._run_until_quiet()
            self._fire_timers()
            self.local.hand_over()
        if activation.recorded:
            self._run_on(recorded_ends(activation.recorded))

    def _run_on(self, ends: Sequence[c.RecordMarker]) -> None:
        """Let local activities end, one by one, each as soon as the code is quiet."""
        for ended in ends:
            if self.loop.halted:
                return
            self.activation = replace(
                self.activation, time_ms=max(self.activation.time_ms, ended.time_ms)
            )
            with self._entered():
                self.local.end(ended)
                self._run_until_quiet()
                self.local.hand_over()

    @contextmanager
    def _entered(self) -> Generator[None, None, None]:
        self.is_activating = True
        with self.loop.running():
            try:
                yield
            # The boundary of user code: __init__ and conditions; and SystemExit, with which a task
            # ends its loop, must not end the worker.
            except BaseException as error:
                self.end_with(error)
            finally:
                self.is_activating = False

    def _apply_all(self, activation: Activation) -> None:
        args: list[Any] = []  # Any: user's values
        instance: object = None
        definition, events = self.definition, activation.events
        start = any(isinstance(event.attributes, e.WorkflowExecutionStarted) for event in events)
        if start:
            self._first_task_ms = self.now_ms
            args = arguments_of(definition, self.facts.started.input, self.values)
            instance = instance_of(definition, args)
            if self._interceptors:
                self.interception = Interception(self, instance, self._interceptors)
                self.handlers.interception = self.interception
            self.handlers.bind(definition, instance)
            self.endings.add(failure_types_of(definition, instance, self.ask_read_only))
        for message in messages_of(activation):
            if isinstance(message, UpdateRequest):
                self.updates.receive(message, validate=not activation.replaying, first=start)
            else:
                self.handlers.signal(message)
        if start:
            call = partial(definition.run, instance, *args)
            if self.interception is not None:
                call = partial(self.interception.execute, args)
            self._primary = start_run(self, call)
        for event in events:
            self._apply(event)

    def _apply(self, event: e.HistoryEvent) -> None:
        match event.attributes:
            case e.TimerFired(timer_id=timer_id):
                self.timers.note_fired(timer_id)
            case e.WorkflowExecutionCancelRequested() as request if self.cancel_request is None:
                self.cancel_request = request
                self.loop.call_soon(self._cancel_primary)
            case _:
                self.operations.settle(event)

    def _cancel_primary(self) -> None:
        try:
            if self._primary is not None:
                self._primary.cancel()
        except RecursionError as error:  # of tasks that wait for each other in a circle
            self.end_with(error)

    def _run_until_quiet(self) -> None:
        while True:
            self.loop.drain()
            if self.loop.halted:
                return
            self.conditions.look()
            if not self.loop.has_ready:
                return

    def _fire_timers(self) -> None:
        # One by one, as if somebody had been there when each was due: how asyncio weighs a result
        # against a time-out of the same moment differs between Pythons.
        while not self.loop.halted and (timer_id := self.timers.take_due()) is not None:
            if self.loop.fire(timer_id):
                self.timers.note_gone()
                self._run_until_quiet()

    def ask_read_only(self, place: str, ask: Callable[[], _T]) -> _T:
        """Call what may change nothing: `place` names it in the error that says so."""
        self._read_only_place = place
        try:
            return ask()
        finally:
            self._read_only_place = ""

    def _ask(self, name: str, payloads: Sequence[Payload], header: Header) -> Payload | Failure:
        with self.loop.running():
            self._read_only_place, self._in_query = "a query", True
            try:
                if name in BUILT_IN_QUERIES:
                    return self.values.to_payloads([BUILT_IN_QUERIES[name](self)])[0]
                if not self.has_begun:
                    raise FailureError("the run's first task has not run yet; ask again")
                answer = self.handlers.query(name, payloads, header)
                if self._breach is not None:
                    raise self._breach
                return answer
            except BaseException as error:  # the boundary of user code, which may raise anything
                return self.values.to_failure(error)
            finally:
                self._read_only_place, self._in_query = "", False

    def end_with(self, error: BaseException) -> None:
        """What leaves the code ends its run or its task."""
        if isinstance(error, ContinueAsNewError):
            self.add(error.command, raised_at(error))
            return
        command = None
        if not isinstance(error, NondeterminismError):  # whether it ends the run is decided later
            asked = self.cancel_request is not None
            command = self.endings.command_of(error, cancel_requested=asked)
        if command is not None:
            self.add(command, raised_at(error))
        elif self._error is None:
            self._error = error
            self.loop.halted = True

    def _completion(self, activation: Activation) -> Completion:
        error = self._error or self._breach
        commands: tuple[c.Command, ...] = ()
        if error is None and self._doom is None:
            try:
                commands = self._log.finish(
                    activation.recorded,
                    complete=activation.recorded_complete,
                    after_event_id=activation.history_length + 1,
                    waits_at=lambda: waiting_place(self._primary),
                )
                if is_whole(activation):
                    self.local.check_recorded(activation.local_running)
            except NondeterminismError as found:
                error = explained(found, activation)
        if isinstance(error, NondeterminismError):
            refused = self.refuse(error)
            if isinstance(refused, TaskFailure):
                return refused
        if self._doom is not None:
            # What is recorded stands; the first thing that is not becomes the failure.
            stands = activation.recorded is not None and activation.recorded_complete
            return Commands(commands=() if stands else (self._doom,))
        if error is not None:
            return self.endings.task_failure(error)
        return Commands(commands=commands, rejections=self.updates.take_rejections())
