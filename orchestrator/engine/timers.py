"""What is due in `timers`: timers of workflow code, deadlines of activities, acts on other
workflows, ends of runs.

Reads the due row's facts, lets pure code judge, and asks the store to do it if nothing has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import assert_never

from orchestrator.core.activity_options import effective
from orchestrator.core.attempts import (
    AskHolder,
    AttemptFacts,
    Dispatch,
    Expire,
    RunFacts,
    Verdict,
    Wait,
    judge_backing_off,
    judge_running,
    judge_waiting,
    lost,
    task_of,
)
from orchestrator.core.chain import has_followers, time_out
from orchestrator.core.fold import fold
from orchestrator.core.shard import shard_of
from orchestrator.core.transition import AttemptName, ForcedClose, Redispatch
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.relations import Relations
from orchestrator.ids import AttemptToken, Namespace, ShardId, TaskQueue, WorkflowId
from orchestrator.limits import REPEAT_ANYWAY_MS, SILENT_HOLDERS_MAX
from orchestrator.ports.broker import ActivityQueue, Broker
from orchestrator.ports.store import (
    Appended,
    AttemptRecord,
    AttemptState,
    Closed,
    DueKind,
    DueRow,
    Finished,
    Gone,
    Redispatched,
    Store,
)
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.relay.handover import Called, Handover, leaving
from orchestrator.wire.events import (
    ActivityTaskScheduled,
    WorkflowExecutionStarted,
    WorkflowExecutionTimedOut,
)
from orchestrator.wire.options import RunStatus


class Timers:
    """Does what due rows of `timers` ask for."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        dispatcher: Dispatcher,
        *,
        namespace: Namespace,
        retention_ms: int,
    ) -> None:
        self._store = store
        self._backlog = Backlog(broker)
        self._dispatcher = dispatcher
        self._namespace = namespace
        self._retention_ms = retention_ms
        self._relations = Relations(store, dispatcher)
        self._handover = Handover(store)
        self._silences: dict[AttemptToken | None, int] = {}
        """Since when the holders of attempts were asked in vain."""

    async def take(self, row: DueRow, *, now_ms: int) -> Sequence[ShardId]:
        """Act on one due row; a row that has moved or gone meanwhile is left alone.

        Returns the shards on which this has made something due at once."""
        match row.kind:
            case DueKind.CHILD:
                await self._relations.start_child(row, now_ms=now_ms)
            case DueKind.CHILD_WATCH:
                await self._relations.watch_child(row, now_ms=now_ms)
            case DueKind.EXTERNAL:
                await self._relations.deliver(row, now_ms=now_ms)
            case DueKind.TIMER:
                await self._fire(row)
            case DueKind.ACTIVITY:
                return self._shards_of(await self._judge(row, now_ms=now_ms))
            case DueKind.RUN_TIMEOUT:
                await self._time_out(row, now_ms=now_ms)
            case DueKind.AFTER_CLOSE:
                armed = await self._relations.after_close(row, now_ms=now_ms)
                await self._store.after_close_done(row, retention_ms=self._retention_ms)
                return self._shards_of(armed)
            case DueKind.RETENTION:
                await self._store.delete_run(row)
            case _ as unknown:
                assert_never(unknown)
        return ()

    def _shards_of(self, armed: Sequence[WorkflowId]) -> Sequence[ShardId]:
        shards = self._store.shards
        return [shard_of(self._namespace, one, shards=shards) for one in armed]

    async def _fire(self, row: DueRow) -> None:
        answer = await self._store.fire_timer(row)
        if isinstance(answer, Appended) and answer.wake is not None:
            self._dispatcher.wake(row.workflow_id, answer.wake)

    async def _time_out(self, row: DueRow, *, now_ms: int) -> None:
        answer = await self._store.force_close(await self._end_of(row, now_ms=now_ms))
        if isinstance(answer, Closed) and answer.woken is not None:
            self._dispatcher.wake(row.workflow_id, answer.woken)

    async def _end_of(self, row: DueRow, *, now_ms: int) -> ForcedClose:
        """The close of a run whose time is over. Its history is read only if a run may follow."""
        first = await self._store.event(row.workflow_id, row.run_id, 1)
        started = None if first is None else first.attributes
        if isinstance(started, WorkflowExecutionStarted) and has_followers(started):
            pages = self._store.history(row.workflow_id, row.run_id)
            history = [event async for page in pages for event in page]
            if history:
                return time_out(fold(row.workflow_id, row.run_id, history), now_ms=now_ms)
        return ForcedClose(
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            event=WorkflowExecutionTimedOut(),
            status=RunStatus.TIMED_OUT,
            due_only=True,
        )

    async def _judge(self, row: DueRow, *, now_ms: int) -> Called:
        record, event = await asyncio.gather(
            self._store.record(row.workflow_id, row.run_id, row.event_id),
            self._store.event(row.workflow_id, row.run_id, row.event_id),
        )
        if record is None or event is None:
            return ()
        if not isinstance(event.attributes, ActivityTaskScheduled):
            return ()
        scheduled = effective(event.attributes, record.options)
        name, facts = _name(row, record), facts_of(record)
        match record.state:
            case AttemptState.SCHEDULED:
                verdict: Verdict = judge_waiting(name, scheduled, facts, now_ms=now_ms)
            case AttemptState.BACKING_OFF:
                verdict = judge_backing_off(name, scheduled, facts, now_ms=now_ms)
            case AttemptState.RUNNING:
                verdict = judge_running(name, scheduled, facts, now_ms=now_ms)
                if isinstance(verdict, AskHolder):
                    silent_ms = await self._silent_ms(record, now_ms=now_ms)
                    if silent_ms is not None:
                        verdict = lost(name, scheduled, facts, now_ms=now_ms, silent_ms=silent_ms)
            case AttemptState.DONE:
                return ()
            case _ as unknown:
                assert_never(unknown)
        return await self._carry_out(row, verdict, name, scheduled, record, now_ms=now_ms)

    async def _carry_out(
        self,
        row: DueRow,
        verdict: Verdict,
        name: AttemptName,
        scheduled: ActivityTaskScheduled,
        record: AttemptRecord,
        *,
        now_ms: int,
    ) -> Called:
        match verdict:
            case Wait(due_in_ms) | AskHolder(due_in_ms):
                await self._store.postpone(name, due_in_ms=due_in_ms)
            case Expire(finish):
                self._silences.pop(record.token, None)
                finished = await self._store.finish(finish)
                if isinstance(finished, Finished) and finished.wake is not None:
                    self._dispatcher.wake(row.workflow_id, finished.wake)
                if record.limits and not isinstance(finished, Gone):
                    queue = TaskQueue(scheduled.task_queue)
                    return await self._handover.leave(leaving(queue, name, record.limits))
            case Dispatch(attempt, due_in_ms):
                self._silences.pop(record.token, None)
                redispatch = Redispatch(
                    name=name,
                    token=record.token if record.state is AttemptState.RUNNING else None,
                    attempt=attempt,
                    due_in_ms=due_in_ms,
                    lost=record.state is AttemptState.RUNNING,
                )
                answer = await self._store.redispatch(redispatch)
                if not isinstance(answer, Redispatched) or answer.record.paused:
                    return ()
                scheduled = effective(scheduled, answer.record.options)
                if not await self._may_wait_in_queue(scheduled, record, now_ms=now_ms):
                    await self._publish(row, scheduled, answer.record)
            case _ as unknown:
                assert_never(unknown)
        return ()

    async def _may_wait_in_queue(
        self, scheduled: ActivityTaskScheduled, record: AttemptRecord, *, now_ms: int
    ) -> bool:
        """Whether the attempt's message was published before, and may still be in its queue."""
        waited_ms = now_ms - record.attempt_scheduled_at_ms
        if record.state is not AttemptState.SCHEDULED or waited_ms >= REPEAT_ANYWAY_MS:
            return False
        queue = ActivityQueue(TaskQueue(scheduled.task_queue))
        return await self._backlog.covers(queue, now_ms=now_ms)

    async def _publish(
        self, row: DueRow, scheduled: ActivityTaskScheduled, record: AttemptRecord
    ) -> None:
        first = await self._store.event(row.workflow_id, row.run_id, 1)
        if first is None or not isinstance(first.attributes, WorkflowExecutionStarted):
            return
        run = RunFacts(
            namespace=self._namespace,
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            workflow_type=first.attributes.workflow_type,
            task_queue=first.attributes.task_queue,
        )
        self._dispatcher.activity(task_of(run, scheduled, facts_of(record)))

    async def _silent_ms(self, record: AttemptRecord, *, now_ms: int) -> int | None:
        """For how long the holder has given no sign of life when asked by this process; None: it
        lives."""
        if record.holder is not None and await self._store.is_alive(record.holder):
            self._silences.pop(record.token, None)
            return None
        since_ms = self._silences.setdefault(record.token, now_ms)
        while len(self._silences) > SILENT_HOLDERS_MAX:
            del self._silences[next(iter(self._silences))]  # the oldest; it is only asked longer
        return now_ms - since_ms


def facts_of(record: AttemptRecord) -> AttemptFacts:
    """What decisions need of a record."""
    return AttemptFacts(
        event_id=record.event_id,
        key=record.key,
        attempt=record.attempt,
        scheduled_at_ms=record.scheduled_at_ms,
        attempt_scheduled_at_ms=record.attempt_scheduled_at_ms,
        token=record.token,
        started_at_ms=record.started_at_ms,
        heartbeat_at_ms=record.heartbeat_at_ms,
        deadline_ms=record.deadline_ms,
        cancel_requested=record.cancel_requested,
        dispatches=record.dispatches,
        losses=record.losses,
        holder=record.holder or "",
        detached=record.detached,
        paused=record.paused,
        turns=record.turns,
        details=record.details,
        last_failure=record.last_failure,
    )


def _name(row: DueRow, record: AttemptRecord) -> AttemptName:
    return AttemptName(
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        event_id=record.event_id,
        key=record.key,
        attempt=record.attempt,
    )
