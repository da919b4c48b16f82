"""History → a run in memory: read, folded, replayed, ready for its next activation.

A replay makes no commits. When the worker before stopped between two parts of a large task, what
its history lacks comes out as commits that are still to be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from orchestrator.core.decide import LOOP_VERSION, Task, decide_rest
from orchestrator.core.fold import fold
from orchestrator.core.history_size import bytes_at_end
from orchestrator.core.state import ExecutionState, started_of
from orchestrator.core.transition import Transition
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ConversionError, MalformedMessageError
from orchestrator.ids import CommitToken, RunId, WorkflowId
from orchestrator.limits import REPLAY_TURN_MS
from orchestrator.relay.certainty import until_known
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.facts import Activation, Commands, RunFacts, TaskFailure
from orchestrator.replay.partition import Partition, loop_version, partition
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.tasks import FirstRun
from orchestrator.worker.border import Border
from orchestrator.worker.context import WorkerContext
from orchestrator.worker.run_cache import CachedRun
from orchestrator.worker.user_code import UserCode


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run at the end of its history. `rest` are commits that its newest task still lacks."""

    cached: CachedRun
    rest: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True)
class Lacking:
    """This worker cannot read or run it, another may: a fleet of several releases."""

    what: str


Load: TypeAlias = Loaded | Lacking | TaskFailure | None
"""None: there is no history (any more)."""


class RunLoader:
    """Loads runs for one worker."""

    def __init__(self, context: WorkerContext, user_code: UserCode, border: Border) -> None:
        self._context = context
        self._user_code = user_code
        self._border = border

    async def load(
        self,
        workflow_id: WorkflowId,
        run_id: RunId,
        *,
        token: CommitToken,
        consumed: int,
        unseen: int = 0,
    ) -> Load:
        """The run as its history tells; `token` and `consumed` are the head's. `unseen` more than
        0 forces a close that is among the commits which are still to be written.

        Raises:
            UnavailableError: the store does not answer.
            HistoryGapError, ImpossibleEventError: the history is damaged.
        """
        try:
            history = await self.history(workflow_id, run_id)
        except MalformedMessageError as error:
            return Lacking(str(error))
        if not history:
            return None
        state = fold(workflow_id, run_id, history)
        started = started_of(state)
        definition = self._user_code.definition(started.workflow_type)
        if definition is None:
            return Lacking(
                f"workflow type {started.workflow_type!r}; known: {self._user_code.known_types}"
            )
        version = loop_version(history)
        if version > LOOP_VERSION:
            return Lacking(f"loop version {version}; known: {LOOP_VERSION}; update this worker")
        self._context.counters.add("replays")
        try:
            cached, cut = await self._begin(
                definition, state, history, token=token, consumed=consumed
            )
        except ConversionError as error:
            return await self._border.failure_of(error)
        try:
            loaded = await self._replay(cached, cut, unseen=unseen)
        except BaseException:
            cached.evict()
            raise
        if isinstance(loaded, TaskFailure):
            cached.evict()
        return loaded

    async def first(
        self, workflow_id: WorkflowId, made: FirstRun, *, consumed: int
    ) -> CachedRun | None:
        """A run of which nothing but its start has happened; None: this worker lacks its type, or
        cannot read it, as `load` will say."""
        definition = self._user_code.definition(made.started.workflow_type)
        if definition is None:
            return None
        event = HistoryEvent(event_id=1, time_ms=made.time_ms, attributes=made.started)
        state = fold(workflow_id, RunId(made.run_id), [event])
        token = CommitToken(made.token)
        try:
            cached, _ = await self._begin(
                definition, state, [event], token=token, consumed=consumed
            )
        except ConversionError:
            return None
        return cached

    async def history(self, workflow_id: WorkflowId, run_id: RunId) -> list[HistoryEvent]:
        """All events of a run.

        Raises:
            MalformedMessageError: one is of a kind that this release does not know.
            UnavailableError: the store does not answer.
        """

        async def read() -> list[HistoryEvent]:
            pages = self._context.store.history(workflow_id, run_id)
            return [event async for page in pages for event in page]

        return await until_known(read, self._context.clock)

    async def _begin(
        self,
        definition: WorkflowDefinition,
        state: ExecutionState,
        history: Sequence[HistoryEvent],
        *,
        token: CommitToken,
        consumed: int,
    ) -> tuple[CachedRun, Partition]:
        """Raises ConversionError when the codec cannot read the start."""
        facts = RunFacts(
            namespace=self._context.namespace,
            workflow_id=state.workflow_id,
            run_id=state.run_id,
            started=await self._border.unseal(started_of(state)),
            start_time_ms=history[0].time_ms,
        )
        run, cut = self._user_code.new_run(definition, facts), partition(history)
        cached = CachedRun(
            state,
            run,
            token,
            consumed,
            evict=partial(self._user_code.evict, run),
            pending=tuple(cut.pending),
            history_bytes=bytes_at_end(history),
        )
        return cached, cut

    async def _replay(
        self, cached: CachedRun, cut: Partition, *, unseen: int
    ) -> Loaded | TaskFailure:
        clock = self._context.clock
        turn_began_ms = clock.now_ms()
        for activation in cut.activations:
            if clock.now_ms() - turn_began_ms >= REPLAY_TURN_MS:
                await asyncio.sleep(0)
                turn_began_ms = clock.now_ms()
            if self._border.is_open:
                completion = self._user_code.activate(cached.run, activation)
            else:
                completion = await self._border.activate(self._user_code, cached.run, activation)
            if isinstance(completion, TaskFailure):
                return completion
            # Only the newest task may lack commands; a run that was ended from outside never
            # gets them.
            if not activation.recorded_complete and cached.state.is_open:
                return self._rest(cached, activation, completion, unseen=unseen)
        return Loaded(cached)

    def _rest(
        self, cached: CachedRun, activation: Activation, completion: Commands, *, unseen: int
    ) -> Loaded | TaskFailure:
        """The commits that the newest task still lacks."""
        state = cached.state
        if len(completion.commands) != state.commands_missing and not cached.run.is_doomed:
            refused = cached.run.refuse(_other_number(state, completion))
            if isinstance(refused, TaskFailure):
                return refused
            completion = refused
        task = Task(
            identity=self._context.identity,
            now_ms=max(state.last_time_ms, activation.time_ms),
            token=cached.token,
            consumed_to=cached.consumed,
            consumed_mark=None,
            sticky=self._context.sticky,
            unseen_messages=unseen,
            local_activities=len(cached.run.local.to_run),
        )
        return Loaded(
            cached, decide_rest(state, completion.commands, task, mint=self._context.mint)
        )


def _other_number(state: ExecutionState, completion: Commands) -> NondeterminismError:
    return NondeterminismError(
        f"history still lacks {state.commands_missing} command(s) of the task that event "
        f"{state.task_completed_event_id} completed, but the code asked for "
        f"{len(completion.commands)} more; deploy code that still makes these calls"
    )
