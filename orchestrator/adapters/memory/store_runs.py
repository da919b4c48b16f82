"""Runs in memory: starts, appends, workflow tasks, commits, closes, reads.

Each method makes the tests that its script in Redis makes, in the same order.
"""

from __future__ import annotations

import msgspec

from orchestrator.adapters.memory.store_reads import MemoryReads
from orchestrator.adapters.memory.store_standalone import schedule_standalone
from orchestrator.adapters.memory.store_state import (
    Attempt,
    Refusal,
    RunRecord,
    WakeupRow,
    Workflow,
    called_row,
    marked,
    wake_of,
)
from orchestrator.core.start import first_run_of
from orchestrator.core.transition import (
    ActivityToCancel,
    ActivityToSchedule,
    Append,
    ForcedClose,
    StartMessage,
    StartRun,
    TaskFailure,
    Transition,
)
from orchestrator.ids import EventId, RunId, UpdateId, WorkflowId
from orchestrator.limits import INBOX_ENTRIES_MAX, INBOX_PAGE_ENTRIES, WAKEUP_REPEATS_MS
from orchestrator.ports.store import (
    AppendAnswer,
    Appended,
    Attached,
    AttemptRecord,
    AttemptState,
    Closed,
    CommitAnswer,
    Committed,
    DueKind,
    Duplicate,
    Full,
    Head,
    NotOpen,
    Refused,
    Stale,
    StartAnswer,
    Started,
    StartRefused,
    Synced,
    Wake,
)
from orchestrator.wire.inbox import CancelReceived, UpdateReceived
from orchestrator.wire.options import RunStatus


class MemoryRuns(MemoryReads):
    """The right to start, read, commit and end runs."""

    async def start(self, start: StartRun) -> StartAnswer:
        """See `RunStore.start`."""
        state, now_ms = self._state, self._state.now_ms()
        run_id = start.run.run_id
        workflow = state.workflows.get(start.workflow_id)
        if (start.workflow_id, run_id) in state.runs:
            wake = _first_wake(workflow, run_id)
            return Started(run_id=run_id, new=False, now_ms=now_ms, wake=wake)
        refused = state.refusals.get((start.workflow_id, run_id))
        if refused is not None:
            return _refused(refused, now_ms)
        if start.only_refuse:
            return self._refuse(start, None if workflow is None else workflow.head, now_ms)
        if workflow is not None:
            head = workflow.head
            if self._knows_update(start):
                return Attached(run_id=head.run_id, now_ms=now_ms)
            if head.status is RunStatus.RUNNING:
                if start.attach:
                    return self._attach(workflow, start.message, now_ms=now_ms)
                allowed = start.terminate is not None
            elif head.status in (RunStatus.COMPLETED, RunStatus.CONTINUED_AS_NEW):
                allowed = start.after_completed
            else:
                allowed = start.after_failed
            if not allowed:
                return self._refuse(start, head, now_ms)
            if head.status is RunStatus.RUNNING and start.terminate is not None:
                state.force(
                    start.workflow_id, start.terminate, status=RunStatus.TERMINATED, now_ms=now_ms
                )
        token = state.mint()
        wake = state.make_run(start.workflow_id, start.run, now_ms=now_ms, token=token)
        if start.run.standalone is not None:
            schedule_standalone(state, start.workflow_id, start.run.standalone, now_ms=now_ms)
        if start.message is not None:
            made, mark = state.workflows[start.workflow_id], state.mint()
            state.add_entry(made, start.message.body, now_ms=now_ms, mark=mark, message=True)
            state.remember(made, start.message.operation_id)
            # The first task sees both: it reads the inbox.
            wake = None if wake is None else msgspec.structs.replace(wake, entry=None)
        elif wake is not None:
            wake = msgspec.structs.replace(
                wake, first=first_run_of(start, token=token, now_ms=now_ms)
            )
        return Started(run_id=run_id, new=True, now_ms=now_ms, wake=wake)

    async def append(self, append: Append) -> AppendAnswer:
        """See `RunStore.append`."""
        state, now_ms = self._state, self._state.now_ms()
        workflow = state.workflows.get(append.workflow_id)
        if workflow is None:
            return NotOpen(run_id=None, status=None, now_ms=now_ms)
        if append.operation_id is not None and append.operation_id in workflow.seen:
            return Duplicate(now_ms=now_ms)
        refusal = self._not_open(append.workflow_id, append.run_id, append.first_run_id, now_ms)
        if refusal is not None:
            return refusal
        if append.message and len(workflow.inbox) >= INBOX_ENTRIES_MAX:
            return Full(unread=len(workflow.inbox), now_ms=now_ms)
        entry = state.add_entry(
            workflow, append.body, now_ms=now_ms, mark=state.mint(), message=append.message
        )
        if append.operation_id is not None:
            state.remember(workflow, append.operation_id)
        if workflow.row is not None and isinstance(append.body, CancelReceived):
            workflow.row.delayed |= workflow.row.waiting
        return Appended(
            run_id=workflow.head.run_id,
            number=entry.number,
            now_ms=now_ms,
            wake=state.wake_once(workflow, entry, now_ms=now_ms),
        )

    async def sync(
        self,
        workflow_id: WorkflowId,
        *,
        task_timeout_ms: int,
        count_attempt: bool,
        entries_max: int = INBOX_PAGE_ENTRIES,
    ) -> Synced | None:
        """See `RunStore.sync`."""
        now_ms = self._state.now_ms()
        workflow = self._state.workflows.get(workflow_id)
        if workflow is None:
            return None
        row = workflow.row
        if row is None or not row.published:
            held_back = row is not None
            return Synced(head=workflow.head, unread=(), now_ms=now_ms, held_back=held_back)
        workflow.row = WakeupRow(now_ms + task_timeout_ms, now_ms)
        if count_attempt:
            workflow.set_head(attempt=workflow.head.attempt + 1)
        return Synced(head=workflow.head, unread=workflow.page(entries_max), now_ms=now_ms)

    async def extend(self, workflow_id: WorkflowId, *, task_timeout_ms: int) -> None:
        """See `RunStore.extend`."""
        workflow = self._state.workflows.get(workflow_id)
        if workflow is not None and workflow.row is not None and workflow.row.published:
            workflow.row.due_at_ms = self._state.now_ms() + task_timeout_ms

    async def hand_back(
        self,
        workflow_id: WorkflowId,
        *,
        delay_ms: int,
        attempt: int | None = None,
        problem: str | None = None,
    ) -> None:
        """See `RunStore.hand_back`."""
        now_ms = self._state.now_ms()
        workflow = self._state.workflows.get(workflow_id)
        row = None if workflow is None else workflow.row
        if workflow is None or row is None or row.delayed or row.waiting:
            return
        workflow.row = WakeupRow(now_ms + delay_ms, now_ms, published=False)
        workflow.set_head(sticky=None)
        if attempt is not None and attempt < workflow.head.attempt:
            workflow.set_head(attempt=attempt)
        if problem is not None:
            workflow.set_head(problem=problem)

    async def commit(self, transition: Transition) -> CommitAnswer:
        """See `RunStore.commit`."""
        now_ms = self._state.now_ms()
        workflow = self._state.workflows.get(transition.workflow_id)
        if workflow is None:
            return Stale(now_ms=now_ms)
        if workflow.head.token == transition.new_token:
            return _committed_again(workflow, transition, now_ms)
        if not _fits(workflow, transition):
            return Stale(now_ms=now_ms)
        close = transition.close
        unseen = sum(number > transition.consumed_to for number in workflow.messages)
        if close is not None and not close.forced and unseen:
            return Refused(now_ms=now_ms, unseen=unseen)
        self._write(workflow, transition, now_ms)
        if close is None:
            _settle_row(workflow, now_ms)
            return Committed(now_ms=now_ms, unread=workflow.page())
        self._state.end_run(
            workflow,
            self._record(transition.workflow_id, transition.run_id),
            status=close.status,
            now_ms=now_ms,
            keep_inbox=close.keep_inbox and close.successor is not None,
            nothing_left=close.nothing_left,
        )
        woken = None
        if close.successor is not None:
            woken = self._state.make_run(
                transition.workflow_id, close.successor, now_ms=now_ms, token=transition.new_token
            )
        return Committed(now_ms=now_ms, woken=woken)

    async def fail_task(self, failure: TaskFailure) -> Committed | Stale:
        """See `RunStore.fail_task`."""
        now_ms = self._state.now_ms()
        workflow = self._state.open_workflow(failure.workflow_id, failure.run_id)
        if workflow is not None and workflow.head.token == failure.new_token:
            return Committed(now_ms=now_ms)
        if (
            workflow is None
            or workflow.head.token != failure.token
            or failure.first_event_id != workflow.head.last_event_id + 1
        ):
            return Stale(now_ms=now_ms)
        self._record(failure.workflow_id, failure.run_id).history.extend(failure.events)
        workflow.set_head(
            token=failure.new_token,
            last_event_id=EventId(workflow.head.last_event_id + len(failure.events)),
            problem=failure.problem,
            sticky=None,
            attempt=failure.attempt,
            failures=workflow.head.failures + 1,
        )
        if workflow.row is not None:
            workflow.row = WakeupRow(now_ms + failure.backoff_ms, now_ms, published=False)
        return Committed(now_ms=now_ms)

    async def force_close(self, close: ForcedClose) -> Closed | NotOpen:
        """See `RunStore.force_close`."""
        state, now_ms = self._state, self._state.now_ms()
        workflow = state.workflows.get(close.workflow_id)
        if workflow is None:
            return NotOpen(run_id=None, status=None, now_ms=now_ms)
        target = close.run_id or workflow.head.run_id
        record = state.runs.get((close.workflow_id, target))
        if (
            close.successor is not None
            and (close.workflow_id, close.successor.run_id) in state.runs
        ):
            wake = _first_wake(workflow, close.successor.run_id)
            return Closed(run_id=target, now_ms=now_ms, woken=wake)
        if record is not None and record.history[-1].attributes == close.event:
            return Closed(run_id=target, now_ms=now_ms)
        refusal = self._not_open(close.workflow_id, close.run_id, close.first_run_id, now_ms)
        if refusal is not None:
            return refusal
        due_at_ms = state.timers.get((DueKind.RUN_TIMEOUT, close.workflow_id, target, EventId(0)))
        moved = close.expected_last_event_id not in (None, workflow.head.last_event_id)
        if moved or (close.due_only and (due_at_ms is None or due_at_ms > now_ms)):
            return NotOpen(run_id=target, status=RunStatus.RUNNING, now_ms=now_ms)
        state.force(
            close.workflow_id,
            close.event,
            status=close.status,
            now_ms=now_ms,
            keep_inbox=close.successor is not None,
        )
        woken = None
        if close.successor is not None:
            woken = state.make_run(
                close.workflow_id, close.successor, now_ms=now_ms, token=state.mint()
            )
        return Closed(run_id=target, now_ms=now_ms, woken=woken)

    def _refuse(self, start: StartRun, head: Head | None, now_ms: int) -> StartRefused:
        refusal = Refusal(start.run.run_id, start.run.started.workflow_type, RunStatus.TERMINATED)
        if head is not None:
            record = self._state.runs[start.workflow_id, head.run_id]
            refusal = Refusal(head.run_id, record.started.workflow_type, head.status)
        if start.remember_refusal:
            self._state.remember_refusal(
                start.workflow_id, start.run.run_id, refusal, now_ms=now_ms
            )
        return _refused(refusal, now_ms)

    def _knows_update(self, start: StartRun) -> bool:
        """Whether the newest run has the update that comes with `start`: is open, or has completed
        it."""
        body = None if start.message is None else start.message.body
        if not isinstance(body, UpdateReceived):
            return False
        head = self._state.workflows[start.workflow_id].head
        record = self._record(start.workflow_id, head.run_id)
        stage = record.updates.get(UpdateId(body.update_id))
        if stage is None:
            return False
        return head.status is RunStatus.RUNNING or stage.completed_event_id is not None

    def _attach(
        self, workflow: Workflow, message: StartMessage | None, *, now_ms: int
    ) -> Attached | Full:
        """Use the open run, and give it the message."""
        attached = Attached(run_id=workflow.head.run_id, now_ms=now_ms)
        if message is None or message.operation_id in workflow.seen:
            return attached
        if len(workflow.inbox) >= INBOX_ENTRIES_MAX:
            return Full(unread=len(workflow.inbox), now_ms=now_ms)
        state = self._state
        entry = state.add_entry(
            workflow, message.body, now_ms=now_ms, mark=state.mint(), message=True
        )
        state.remember(workflow, message.operation_id)
        wake = state.wake_once(workflow, entry, now_ms=now_ms)
        return msgspec.structs.replace(attached, wake=wake)

    def _record(self, workflow_id: WorkflowId, run_id: RunId) -> RunRecord:
        return self._state.runs[workflow_id, run_id]

    def _not_open(
        self,
        workflow_id: WorkflowId,
        run_id: RunId | None,
        first_run_id: RunId | None,
        now_ms: int,
    ) -> NotOpen | None:
        """Why the newest run is not the open run that is meant; None when it is."""
        head = self._state.workflows[workflow_id].head
        if run_id is not None and run_id != head.run_id:
            other = self._state.runs.get((workflow_id, run_id))
            status = None if other is None else other.status
            return NotOpen(run_id=run_id, status=status, now_ms=now_ms)
        record = self._record(workflow_id, head.run_id)
        if first_run_id is not None and first_run_id != record.first_run_id:
            return NotOpen(run_id=None, status=None, now_ms=now_ms)
        if head.status is not RunStatus.RUNNING:
            return NotOpen(run_id=head.run_id, status=head.status, now_ms=now_ms)
        return None

    def _write(self, workflow: Workflow, transition: Transition, now_ms: int) -> None:
        """Write all of a transition but its close."""
        record = self._record(transition.workflow_id, transition.run_id)
        record.history.extend(transition.events)
        for number in [number for number in workflow.inbox if number <= transition.consumed_to]:
            del workflow.inbox[number]
            workflow.messages.discard(number)
        workflow.set_head(
            token=transition.new_token,
            last_event_id=EventId(workflow.head.last_event_id + len(transition.events)),
            consumed=transition.consumed_to,
            sticky=transition.sticky,
            unfinished=transition.unfinished,
            attempt=0,
            failures=0,
            problem=None,
        )
        change = transition.properties
        if change is not None and change.memo is not None:
            record.memo = change.memo
        if change is not None and change.search_attributes is not None:
            record.search_attributes = change.search_attributes
        identity = (transition.workflow_id, transition.run_id)
        timers = self._state.timers
        for event_id in transition.resolved:
            record.attempts.pop(event_id, None)
            timers.pop((DueKind.ACTIVITY, *identity, event_id), None)
        for event_id in transition.disarm:
            timers.pop((DueKind.TIMER, *identity, event_id), None)
        for stage in transition.updates:
            record.updates[stage.update_id] = stage
        self._state.keep_answers(transition.workflow_id, transition.answers, now_ms=now_ms)
        if transition.updates or transition.answers:
            self._state.notify(transition.workflow_id, closed=False)
        for timer in transition.timers:
            timers[timer.kind, *identity, timer.event_id] = timer.fire_at_ms
        if transition.close is not None:
            return  # What a closing commit asks for beside has no run to belong to.
        for activity in transition.activities:
            record.attempts[activity.event_id] = _scheduled(activity)
            timers[DueKind.ACTIVITY, *identity, activity.event_id] = activity.due_at_ms
        mark = self._state.mint()
        for cancel in transition.cancels:
            self._cancel(workflow, record, cancel, now_ms=now_ms, mark=mark)

    def _cancel(
        self,
        workflow: Workflow,
        record: RunRecord,
        cancel: ActivityToCancel,
        *,
        now_ms: int,
        mark: str,
    ) -> None:
        attempt = record.attempts.get(cancel.event_id)
        if attempt is None or attempt.record.state is AttemptState.DONE:
            return
        found = attempt.record
        if found.state is not AttemptState.RUNNING:
            del record.attempts[cancel.event_id]
            key = (DueKind.ACTIVITY, record.workflow_id, record.run_id, cancel.event_id)
            self._state.timers.pop(key, None)
            self._state.add_entry(workflow, cancel.entry, now_ms=now_ms, mark=mark)
            return
        attempt.record = msgspec.structs.replace(found, cancel_requested=True)
        self._state.tell_holder(record, found)


def _refused(refusal: Refusal, now_ms: int) -> StartRefused:
    return StartRefused(
        run_id=refusal.run_id,
        workflow_type=refusal.workflow_type,
        status=refusal.status,
        now_ms=now_ms,
    )


def _fits(workflow: Workflow, transition: Transition) -> bool:
    """Whether the run stands where the transition was decided."""
    head = workflow.head
    if (
        head.run_id != transition.run_id
        or head.status is not RunStatus.RUNNING
        or head.token != transition.token
        or head.last_event_id + 1 != transition.first_event_id
    ):
        return False
    if transition.consumed_mark is None:
        return transition.consumed_to == head.consumed
    return marked(workflow, transition.consumed_to, transition.consumed_mark)


def _settle_row(workflow: Workflow, now_ms: int) -> None:
    """Keep the row while somebody must go on, else remove it."""
    if not workflow.inbox and not workflow.head.unfinished:
        workflow.row = None
        return
    due_at_ms = now_ms + WAKEUP_REPEATS_MS[0]
    if workflow.row is not None:
        due_at_ms = max(due_at_ms, workflow.row.due_at_ms)
    workflow.row = called_row(now_ms)
    workflow.row.due_at_ms = due_at_ms


def _committed_again(workflow: Workflow, transition: Transition, now_ms: int) -> Committed:
    """The answer to a commit that was written before."""
    if transition.close is None:
        return Committed(now_ms=now_ms, unread=workflow.page())
    successor = transition.close.successor
    woken = None if successor is None else _first_wake(workflow, successor.run_id)
    return Committed(now_ms=now_ms, woken=woken)


def _first_wake(workflow: Workflow | None, run_id: RunId) -> Wake | None:
    """The wake-up of a run whose first task nobody has committed and nothing holds back."""
    if workflow is None or workflow.head.run_id != run_id or workflow.head.last_event_id != 1:
        return None
    return wake_of(workflow) if workflow.row is not None and workflow.row.published else None


def _scheduled(activity: ActivityToSchedule) -> Attempt:
    return Attempt(
        AttemptRecord(
            event_id=activity.event_id,
            key=activity.key,
            attempt=1,
            state=AttemptState.SCHEDULED,
            token=None,
            holder=None,
            cancel_requested=False,
            scheduled_at_ms=activity.scheduled_at_ms,
            attempt_scheduled_at_ms=activity.scheduled_at_ms,
            started_at_ms=None,
            heartbeat_at_ms=None,
            deadline_ms=activity.deadline_ms,
            dispatches=0,
            losses=0,
        )
    )
