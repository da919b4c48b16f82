"""Acts on other workflows: children are started and watched, signals and cancels delivered, and a
close is carried to children and parent.

A run's commit stores what is to be done as an event and a row of `timers`; it is done here, at the
other workflow, which may be of another shard, and its answer is put into the run's inbox by the
script that removes the row. A crash anywhere means that the row is still due and the same act is
done again: its names follow from the event (`orchestrator.core.relations`), so the other workflow
recognises it. Whoever acts has leased the row, and an answer counts only from the last to lease it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from orchestrator.core.fold import apply
from orchestrator.core.relations import (
    ExternalInitiated,
    child_run_id,
    child_start,
    close_policy_act,
    external_answer,
    external_append,
    outcome_for_parent,
    successor_of,
    watch_in_ms,
)
from orchestrator.core.start import start_of
from orchestrator.core.state import ExecutionState, PendingChild, started_of
from orchestrator.core.transition import Answer, Append, ForcedClose
from orchestrator.ids import EventId, RunId, WorkflowId
from orchestrator.limits import CHILD_RUNS_MAX, EXTERNAL_FULL_RETRY_MS, ROW_LEASE_MS
from orchestrator.ports.store import (
    AppendAnswer,
    Appended,
    Closed,
    DueKind,
    DueRow,
    Full,
    NotOpen,
    RunView,
    StartAnswer,
    Started,
    StartRefused,
    Store,
)
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.wire import inbox
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import (
    HistoryEvent,
    ParentExecution,
    WorkflowExecutionStarted,
)
from orchestrator.wire.options import ParentClosePolicy


@dataclass(frozen=True, slots=True)
class _Child:
    """A child as its parent's history has it."""

    event: HistoryEvent
    initiated: r.StartChildWorkflowExecutionInitiated
    parent: WorkflowExecutionStarted


@dataclass(frozen=True, slots=True)
class _Act:
    """A signal or a request to cancel whose row is leased."""

    row: DueRow
    initiated: ExternalInitiated


@dataclass(slots=True)
class _Turn:
    """Who delivers for a sender now, and how many more rows of it wait."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Relations:
    """Does what due rows between workflows ask for.

    Each call says of which workflow ids it has armed something that is due at once.
    """

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._turns: dict[tuple[WorkflowId, RunId], _Turn] = {}
        """Of the senders whose rows are in work here: one row at a time, in any order, leads the
        others."""

    async def start_child(self, row: DueRow, *, now_ms: int) -> None:
        """Start a child that is not known to exist, and tell its parent whether it does."""
        leased = await self._store.move_row(row, due_in_ms=ROW_LEASE_MS)
        if leased is None:
            return
        child = await self._child(row)
        if child is None:
            await self._answer(row, _refused(row))
            return
        run_id = child_run_id(row.workflow_id, row.run_id, row.event_id, child.initiated)
        answer = await self._start(row, child, now_ms=now_ms)
        body: inbox.RelationAnswer
        watch_ms: int | None = None
        if isinstance(answer, Started):
            body = inbox.ChildStarted(
                run_id=row.run_id, initiated_event_id=row.event_id, child_run_id=run_id
            )
            watch_ms = watch_in_ms(initiated_at_ms=child.event.time_ms, now_ms=now_ms)
        else:
            body = _refused(row, run_id)
        await self._answer(leased, body, due_at_ms=leased.due_at_ms, watch_in_ms=watch_ms)

    async def watch_child(self, row: DueRow, *, now_ms: int) -> None:
        """Look at a child that was started: its shard may have lost it, or what it told."""
        leased = await self._store.move_row(row, due_in_ms=ROW_LEASE_MS)
        if leased is None:
            return
        child = await self._child(row)
        if child is None:
            await self._answer(row, _refused(row))
            return
        first_run_id = child_run_id(row.workflow_id, row.run_id, row.event_id, child.initiated)
        view = await self._newest_of(WorkflowId(child.initiated.workflow_id), first_run_id)
        body: inbox.RelationAnswer | None = None
        if view is None:
            answer = await self._start(row, child, now_ms=now_ms)
            if not isinstance(answer, Started):
                body = inbox.ChildTerminated(
                    run_id=row.run_id,
                    initiated_event_id=row.event_id,
                    child_run_id=first_run_id,
                    last_run_id=first_run_id,
                    reason="the child was lost, and its workflow id is taken by another run",
                )
        elif view.closing is not None:
            parent = ParentExecution(
                workflow_id=row.workflow_id, run_id=row.run_id, initiated_event_id=row.event_id
            )
            body = outcome_for_parent(parent, first_run_id, view.run_id, view.closing.attributes)
        if body is not None:
            await self._answer(leased, body)
            return
        again_ms = watch_in_ms(initiated_at_ms=child.event.time_ms, now_ms=now_ms)
        await self._store.move_row(leased, due_in_ms=again_ms)

    async def deliver(self, row: DueRow, *, now_ms: int) -> None:
        """Deliver a signal or a request to cancel, after what was sent to the same workflow
        before it and is not delivered yet."""
        sender = (row.workflow_id, row.run_id)
        turn = self._turns.setdefault(sender, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                await self._deliver_in_order(row, now_ms=now_ms)
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(sender, None)

    async def _deliver_in_order(self, row: DueRow, *, now_ms: int) -> None:
        acts: list[_Act] = []
        waiting: DueRow | None = row
        while waiting is not None:
            leased = None
            if waiting.due_at_ms <= now_ms:
                leased = await self._store.move_row(waiting, due_in_ms=ROW_LEASE_MS)
            if leased is None:
                # Somebody else is about to deliver what must come first.
                await self._offer_again(acts)
                return
            event = await self._store.event(row.workflow_id, row.run_id, waiting.event_id)
            initiated = None if event is None else event.attributes
            if not isinstance(initiated, ExternalInitiated):
                # Retention took the sender's history before the other workflow had room.
                gone = inbox.ExternalSignalFailed(
                    run_id=row.run_id, initiated_event_id=waiting.event_id
                )
                await self._answer(waiting, gone)
                break
            acts.append(_Act(leased, initiated))
            waiting = await self._before(row, initiated, now_ms=now_ms)
        while acts:
            if not await self._deliver(acts[-1]):
                await self._offer_again(acts)
                return
            acts.pop()

    async def after_close(self, row: DueRow, *, now_ms: int) -> tuple[WorkflowId, ...]:
        """Carry the end of a run to its children and to its parent."""
        state, last = ExecutionState(row.workflow_id, row.run_id), None
        async for page in self._store.history(row.workflow_id, row.run_id):
            for last in page:
                apply(state, last)
        if last is None or state.is_open:
            return ()
        armed = [await self._part(state, child, now_ms=now_ms) for child in state.children.values()]
        started = started_of(state)
        if started.parent is not None:
            first_run_id = RunId(started.first_run_id or state.run_id)
            await self._tell(started.parent, state, first_run_id, last)
        return tuple(workflow_id for workflow_id in armed if workflow_id is not None)

    # Children -------------------------------------------------------------------------------------

    async def _child(self, row: DueRow) -> _Child | None:
        """The child that a row speaks of; None when retention took its parent."""
        event = await self._store.event(row.workflow_id, row.run_id, row.event_id)
        first = await self._store.event(row.workflow_id, row.run_id, 1)
        if event is None or first is None:
            return None
        initiated, parent = event.attributes, first.attributes
        if not isinstance(initiated, r.StartChildWorkflowExecutionInitiated):
            return None
        if not isinstance(parent, WorkflowExecutionStarted):
            return None
        return _Child(event, initiated, parent)

    async def _start(
        self, row: DueRow, child: _Child, *, now_ms: int, only_refuse: bool = False
    ) -> StartAnswer:
        """Start a child, or make sure that it never is."""
        options = child_start(
            row.workflow_id, row.run_id, row.event_id, child.initiated, child.parent
        )
        start = start_of(options, now_ms=now_ms)
        answer = await self._store.start(msgspec.structs.replace(start, only_refuse=only_refuse))
        if isinstance(answer, Started) and answer.wake is not None:
            self._dispatcher.wake(start.workflow_id, answer.wake)
        return answer

    async def _newest_of(self, workflow_id: WorkflowId, first_run_id: RunId) -> RunView | None:
        """The newest run of a chain; None when the store knows nothing of it."""
        view = await self._store.run(workflow_id)
        if view is None or view.first_run_id == first_run_id:
            return view
        view = await self._store.run(workflow_id, first_run_id)
        for _ in range(CHILD_RUNS_MAX):
            if view is None or view.closing is None:
                break
            successor = successor_of(view.closing.attributes)
            if successor is None:
                break
            view = await self._store.run(workflow_id, successor)
        return view

    async def _part(
        self, state: ExecutionState, child: PendingChild, *, now_ms: int
    ) -> WorkflowId | None:
        """Do to a child what its policy says, now that its parent's run has closed. One that does
        not exist yet is started if it is abandoned, and else never will be."""
        identity = (state.workflow_id, state.run_id)
        if not child.started_event_id:
            row = DueRow(
                kind=DueKind.CHILD,
                workflow_id=state.workflow_id,
                run_id=state.run_id,
                event_id=EventId(child.event_id),
                due_at_ms=0,
            )
            event = HistoryEvent(
                event_id=child.event_id, time_ms=child.initiated_at_ms, attributes=child.initiated
            )
            known = _Child(event, child.initiated, started_of(state))
            abandoned = child.initiated.parent_close_policy is ParentClosePolicy.ABANDON
            answer = await self._start(row, known, now_ms=now_ms, only_refuse=not abandoned)
            if isinstance(answer, StartRefused):
                return None
        first_run_id = child_run_id(*identity, child.event_id, child.initiated)
        act = close_policy_act(*identity, child, first_run_id)
        match act:
            case None:
                return None
            case ForcedClose():
                ended = await self._store.force_close(act)
                return act.workflow_id if isinstance(ended, Closed) else None
            case Append():
                await self._append(act)
                return None

    async def _tell(
        self,
        parent: ParentExecution,
        state: ExecutionState,
        first_run_id: RunId,
        closing: HistoryEvent,
    ) -> None:
        """Tell the parent how its child has ended, if it still waits for that."""
        body = outcome_for_parent(parent, first_run_id, state.run_id, closing.attributes)
        if body is None:
            return
        row = DueRow(
            kind=DueKind.CHILD_WATCH,
            workflow_id=WorkflowId(parent.workflow_id),
            run_id=RunId(parent.run_id),
            event_id=EventId(parent.initiated_event_id),
            due_at_ms=0,
        )
        event = await self._store.event(row.workflow_id, row.run_id, row.event_id)
        initiated = None if event is None else event.attributes
        if not isinstance(initiated, r.StartChildWorkflowExecutionInitiated):
            return
        # After a fail-over of the parent's shard the event may be that of another child.
        if child_run_id(row.workflow_id, row.run_id, row.event_id, initiated) == first_run_id:
            await self._answer(row, body)

    # Signals and cancels --------------------------------------------------------------------------

    async def _before(
        self, row: DueRow, initiated: ExternalInitiated, *, now_ms: int
    ) -> DueRow | None:
        """The row of what is to be delivered first; None when all of that is done."""
        child_id = EventId(initiated.child_initiated_event_id)
        if child_id:
            start = await self._store.row(DueKind.CHILD, row.workflow_id, row.run_id, child_id)
            if start is not None:
                await self.start_child(start, now_ms=now_ms)
        before_id = EventId(initiated.follows_event_id)
        if not before_id:
            return None
        return await self._store.row(DueKind.EXTERNAL, row.workflow_id, row.run_id, before_id)

    async def _deliver(self, act: _Act) -> bool:
        """Put it into the other inbox and tell the sender; False: there is no room now."""
        row, initiated = act.row, act.initiated
        child_id, run_id = EventId(initiated.child_initiated_event_id), None
        if child_id:
            event = await self._store.event(row.workflow_id, row.run_id, child_id)
            found = None if event is None else event.attributes
            if isinstance(found, r.StartChildWorkflowExecutionInitiated):
                run_id = child_run_id(row.workflow_id, row.run_id, child_id, found)
        append = external_append(
            row.workflow_id, row.run_id, row.event_id, initiated, child_run_id=run_id
        )
        answer = await self._append(append)
        if isinstance(answer, Full):
            return False
        is_found = not isinstance(answer, NotOpen)
        body = external_answer(row.run_id, row.event_id, initiated, found=is_found)
        await self._answer(row, body, due_at_ms=row.due_at_ms)
        return True

    async def _offer_again(self, acts: list[_Act]) -> None:
        for act in acts:
            await self._store.move_row(act.row, due_in_ms=EXTERNAL_FULL_RETRY_MS)

    # Both ways ------------------------------------------------------------------------------------

    async def _append(self, append: Append) -> AppendAnswer:
        answer = await self._store.append(append)
        if isinstance(answer, Appended) and answer.wake is not None:
            self._dispatcher.wake(append.workflow_id, answer.wake)
        return answer

    async def _answer(
        self,
        row: DueRow,
        body: inbox.RelationAnswer,
        *,
        due_at_ms: int | None = None,
        watch_in_ms: int | None = None,
    ) -> None:
        """Put an answer into the inbox of the run that waits for it. News of a child's end answer
        its start as well."""
        kinds: tuple[DueKind, ...] = (DueKind.CHILD, DueKind.CHILD_WATCH)
        if due_at_ms is not None or row.kind is DueKind.EXTERNAL:
            kinds = (row.kind,)
        answer = Answer(
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            event_id=row.event_id,
            body=body,
            kinds=kinds,
            due_at_ms=due_at_ms,
            watch_in_ms=watch_in_ms,
        )
        appended = await self._store.answer(answer)
        if isinstance(appended, Appended) and appended.wake is not None:
            self._dispatcher.wake(row.workflow_id, appended.wake)


def _refused(row: DueRow, run_id: str = "") -> inbox.ChildStartFailed:
    return inbox.ChildStartFailed(
        run_id=row.run_id, initiated_event_id=row.event_id, child_run_id=run_id
    )
