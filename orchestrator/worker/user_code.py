"""The doors into user code: activate, query, evict.

Everything that runs code of a workflow class runs behind the guard, which cuts off what blocks.
Whatever goes wrong behind a door is an answer to whoever knocked, never an exception: one workflow
must not take the others' worker down.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from orchestrator.definition.registry import Registry
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.ids import Namespace
from orchestrator.metering import MetricMeter
from orchestrator.replay.facts import Activation, Completion, RunFacts, TaskFailure
from orchestrator.replay.interceptors import WorkflowInboundInterceptor
from orchestrator.replay.patches import PatchActivation
from orchestrator.replay.run import WorkflowRun
from orchestrator.replay.values import Values
from orchestrator.telemetry.log import bind, get_logger
from orchestrator.wire.commands import RecordMarker
from orchestrator.wire.events import WorkflowTaskFailureCause
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import QueryTask

_T = TypeVar("_T")
_log = get_logger(__name__)


class Guard(Protocol):
    """Calls `act` on this thread and returns its answer, within the budget of an activation."""

    def __call__(self, act: Callable[[], _T], /) -> _T:
        """Raises an exception of its own, with the stack in its text, when `act` was cut off."""
        ...


def unguarded(act: Callable[[], _T], /) -> _T:
    """The guard that only calls."""
    return act()


class QueryOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a query's handler; `cut_off`: the run is of no use any more."""

    answer: Payload | Failure
    cut_off: bool = False


class CodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker runs workflow code: which exceptions fail a run instead of its task, beside
    what its definition names, and what stands around it, outermost first."""

    failure_exception_types: tuple[type[BaseException], ...] = ()
    interceptors: tuple[type[WorkflowInboundInterceptor], ...] = ()
    metric_meter: MetricMeter = MetricMeter.noop
    patch_activation: PatchActivation | None = None


class UserCode:
    """Enters the code of one worker's workflow classes."""

    def __init__(
        self,
        registry: Registry,
        values: Values,
        guard: Guard,
        *,
        namespace: Namespace,
        options: CodeOptions,
    ) -> None:
        self._registry = registry
        self._values = values
        self._guard = guard
        self._namespace = namespace
        self._never_collected: list[WorkflowRun] = []
        self._options = options

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The class of this name, if this worker has it."""
        return self._registry.workflow(workflow_type)

    @property
    def known_types(self) -> str:
        """What this worker has, for a person to read."""
        return ", ".join(sorted(self._registry.workflows)) or "none"

    def new_run(self, definition: WorkflowDefinition, facts: RunFacts) -> WorkflowRun:
        """A run that has seen nothing yet; no user code runs."""
        return WorkflowRun(
            definition,
            facts,
            self._values,
            failure_exception_types=self._options.failure_exception_types,
            interceptors=self._options.interceptors,
            metric_meter=self._options.metric_meter,
            patch_activation=self._options.patch_activation,
        )

    def activate(self, run: WorkflowRun, activation: Activation) -> Completion:
        """Let the code see the news. After a failure the run may be evicted and nothing else."""
        return self._enter(partial(run.activate, activation))

    def end_local(self, run: WorkflowRun, ended: RecordMarker) -> Completion:
        """Let the code see the end of a local activity; see `activate`."""
        return self._enter(partial(run.end_local, ended))

    def _enter(self, entry: Callable[[], Completion]) -> Completion:
        own: list[BaseException] = []

        def act() -> Completion:
            try:
                return entry()
            except (Exception, SystemExit) as error:
                own.append(error)
                raise

        try:
            return self._guard(act)
        except (Exception, SystemExit) as error:  # the boundary of user code and of its guard
            cause = WorkflowTaskFailureCause.BLOCKED
            if any(error is one for one in own):
                cause = WorkflowTaskFailureCause.WORKFLOW_CODE
            return TaskFailure(cause=cause, failure=self._values.to_failure(error))

    def query(self, run: WorkflowRun, question: QueryTask) -> QueryOutcome:
        """Ask a handler, under the read-only flag."""
        try:
            answer = self._guard(lambda: run.query(question.query, question.input, question.header))
        except (Exception, SystemExit) as error:  # the boundary of user code and of its guard
            return QueryOutcome(answer=self._values.to_failure(error), cut_off=True)
        return QueryOutcome(answer=answer)

    def evict(self, run: WorkflowRun) -> None:
        """Unwind the run's tasks, once: code that will not go is named in the log and left."""
        log = bind(
            _log,
            namespace=self._namespace,
            workflow_id=run.facts.workflow_id,
            run_id=run.facts.run_id,
        )
        try:
            gone = self._guard(run.evict)
        except (Exception, SystemExit) as error:  # the boundary of user code and of its guard
            log.warning("eviction_cut_off", error=str(error))
            self._abandon(run)
            return
        if not gone:
            log.warning(
                "eviction_left_tasks",
                stack=run.stack(),
                remedy="let asyncio.CancelledError leave the code: it swallows cancellation",
            )
            self._abandon(run)

    def _abandon(self, run: WorkflowRun) -> None:
        try:
            self._guard(run.abandon)
        except (Exception, SystemExit):  # the boundary of user code; it was reported just now
            # What it did not come to stays in memory: the garbage collector would enter the code
            # as well, where nobody could cut it off.
            self._never_collected.append(run)
