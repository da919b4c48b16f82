"""Recorded histories through today's code: does it still do what it did?

No server is needed. What a run would have done next is of no interest here; whether it can be
brought to where it stands is.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from orchestrator.converter import DataConverter
from orchestrator.core.decide import LOOP_VERSION
from orchestrator.definition.registry import Registry
from orchestrator.exceptions import ConversionError
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.facts import Activation, RunFacts, TaskFailure
from orchestrator.replay.partition import Partition, loop_version, partition
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire.events import (
    ClosingEvent,
    HistoryEvent,
    WorkflowTaskFailureCause,
)
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker.border import Border
from orchestrator.worker.interceptors import Interceptor, workflow_classes
from orchestrator.worker.plugins import (
    Plugin,
    ReplayerConfig,
    configures_replayer,
    replay_through,
)
from orchestrator.worker.replay_results import WorkflowReplayResult, WorkflowReplayResults


class ReplayTaskError(RuntimeError):
    """The code failed where history says that it went on. The cause is what it failed with."""


class Replayer:
    """Replays histories of the given workflows."""

    _given: dict[str, object]  # kept by `configures_replayer`

    @configures_replayer
    def __init__(
        self,
        *,
        workflows: Sequence[type],
        namespace: str = "ReplayNamespace",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        plugins: Sequence[Plugin] = (),
    ) -> None:
        """Collect the workflows.

        Args:
            workflows: Decorated classes.
            namespace: What `workflow.info()` says.
            data_converter: As the worker's that recorded them.
            interceptors: As the worker's.
            workflow_failure_exception_types: As the worker's.
            plugins: Have changed these arguments already, and stand around every replay.

        Raises:
            ValueError: none is given, one is not decorated, or two have the same name.
        """
        if not workflows:
            raise ValueError("a Replayer needs at least one workflow")
        self._registry = Registry(workflows=workflows)
        self._namespace = namespace
        self._data_converter = data_converter
        self._border = Border(data_converter)
        self._interceptors = workflow_classes(interceptors)
        self._failure_types = tuple(workflow_failure_exception_types)
        self._plugins = tuple(plugins)

    def config(self) -> ReplayerConfig:
        """What it was made with, before plugins changed it: `Replayer(**config)` makes another."""
        return cast("ReplayerConfig", dict(self._given))

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replay one history.

        Raises:
            NondeterminismError: the code does something else than history says; it names both.
            ReplayTaskError: the code fails.
            ValueError: the workflow's type is not among those given, or the history was recorded by
                a later version of the event loop.
        """
        async with self.workflow_replay_iterator([history]) as results:
            [result] = [each async for each in results]
        if result.replay_failure is not None and raise_on_replay_failure:
            raise result.replay_failure
        return result

    async def replay_workflows(
        self,
        histories: AsyncIterable[WorkflowHistory] | Iterable[WorkflowHistory],
        *,
        raise_on_replay_failure: bool = True,
    ) -> WorkflowReplayResults:
        """Replay many; raises as `replay_workflow` does, at the first that fails."""
        failures: dict[str, Exception] = {}
        async with self.workflow_replay_iterator(histories) as results:
            async for result in results:
                if result.replay_failure is None:
                    continue
                if raise_on_replay_failure:
                    raise result.replay_failure
                name = result.history.run_id or result.history.workflow_id
                failures[name] = result.replay_failure
        return WorkflowReplayResults(failures)

    def workflow_replay_iterator(
        self, histories: AsyncIterable[WorkflowHistory] | Iterable[WorkflowHistory]
    ) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
        """The result of each, one after the other, whatever fails."""
        return replay_through(self._plugins, self, _one_by_one(histories), Replayer._replayed)

    @asynccontextmanager
    async def _replayed(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult], None]:
        yield self._each(histories)

    async def _each(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncIterator[WorkflowReplayResult]:
        async for history in histories:
            yield WorkflowReplayResult(history, await self._failure_of(history))

    async def _failure_of(self, history: WorkflowHistory) -> Exception | None:
        started = history.started
        definition = self._registry.workflow(started.workflow_type)
        if definition is None:
            known = ", ".join(sorted(self._registry.workflows))
            return ValueError(
                f"this history is of workflow type {started.workflow_type!r}; known: {known}"
            )
        version = loop_version(history.events)
        if version > LOOP_VERSION:
            return ValueError(
                f"loop version {version} is not known; this release has {LOOP_VERSION}"
            )
        try:
            opened = await self._border.unseal(started)
        except ConversionError as error:
            return error
        facts = RunFacts(
            namespace=self._namespace,
            workflow_id=history.workflow_id,
            run_id=history.run_id,
            started=opened,
            start_time_ms=history.events[0].time_ms,
        )
        run = WorkflowRun(
            definition,
            facts,
            self._data_converter,
            failure_exception_types=self._failure_types,
            interceptors=self._interceptors,
        )
        try:
            return await self._replay(run, history)
        finally:
            if not run.evict():
                run.abandon()

    async def _replay(self, run: WorkflowRun, history: WorkflowHistory) -> Exception | None:
        cut = partition(history.events)
        for activation in (*cut.activations, *_unseen(cut, history.events[-1])):
            try:
                opened = await self._border.unseal_activation(activation)
            except ConversionError as error:
                return error
            completion = run.activate(opened)
            if isinstance(completion, TaskFailure):
                return self._error_of(completion)
        return None

    def _error_of(self, failed: TaskFailure) -> Exception:
        message = failed.failure.message
        if failed.cause is WorkflowTaskFailureCause.NONDETERMINISM:
            return NondeterminismError(message)
        error = ReplayTaskError(f"the code failed ({failed.cause.value}): {message}")
        error.__cause__ = self._data_converter.from_failure(failed.failure)
        return error


async def _one_by_one(
    histories: AsyncIterable[WorkflowHistory] | Iterable[WorkflowHistory],
) -> AsyncIterator[WorkflowHistory]:
    if isinstance(histories, AsyncIterable):
        async for history in histories:
            yield history
    else:
        for history in histories:
            yield history


def _unseen(cut: Partition, last: HistoryEvent) -> list[Activation]:
    """The task that history has not got through: its code may fail as it did when it stalled."""
    closed = any(isinstance(event.attributes, ClosingEvent) for event in cut.pending)
    unfinished = any(not activation.recorded_complete for activation in cut.activations)
    if not cut.pending or closed or unfinished:
        return []
    return [
        Activation(
            time_ms=last.time_ms,
            events=tuple(cut.pending),
            replaying=True,
            history_length=last.event_id + 2,
        )
    ]
