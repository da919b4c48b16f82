"""What a commit made necessary is published, and published again where that may have been lost.

Every message has a row from which it can be made again; publishing at once only saves the wait.
"""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.activity_options import effective
from orchestrator.core.attempts import AttemptFacts, RunFacts, task_of
from orchestrator.core.transition import Transition
from orchestrator.engine.timers import facts_of
from orchestrator.ids import RunId, WorkflowId
from orchestrator.limits import DISPATCH_REPEATS_MS, DRIVEN_BY_ARMER_MS
from orchestrator.ports.store import AttemptRecord, AttemptState, Committed
from orchestrator.relay.certainty import until_known
from orchestrator.wire.events import (
    ActivityTaskScheduled,
    HistoryEvent,
    WorkflowExecutionStarted,
)
from orchestrator.worker.confirmations import Confirmations
from orchestrator.worker.context import WorkerContext


class Publications:
    """Publishes for the workflow tasks of one worker."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def publish(
        self,
        started: WorkflowExecutionStarted,
        part: Transition,
        answer: Committed,
        published: Confirmations,
    ) -> None:
        """Publish the activity tasks and the successor's wake-up of `part`, which was written."""
        run = self._run_facts(part.workflow_id, part.run_id, started)
        scheduled = {event.event_id: event.attributes for event in part.events}
        for activity in part.activities:
            attributes = scheduled[activity.event_id]
            if not isinstance(attributes, ActivityTaskScheduled):
                raise AssertionError("a record stands for a scheduled activity")
            facts = AttemptFacts(
                event_id=activity.event_id,
                key=activity.key,
                attempt=1,
                scheduled_at_ms=activity.scheduled_at_ms,
                attempt_scheduled_at_ms=activity.scheduled_at_ms,
            )
            published.expect()
            self._context.dispatcher.activity(task_of(run, attributes, facts), published.told)
        if answer.woken is not None:
            published.expect()
            self._context.dispatcher.wake(part.workflow_id, answer.woken, published.told)
        self._expect_soon(part, answer.now_ms)

    async def publish_again(self, workflow_id: WorkflowId, run_id: RunId) -> None:
        """Publish the activity tasks of a run that nobody has begun: whoever had this wake-up
        before may have died between a commit and its publishes.

        Nobody waits for these confirms: a message that is lost again comes from its row.
        """
        records = await until_known(
            lambda: self._context.store.records(workflow_id, run_id), self._context.clock
        )
        waiting: dict[int, AttemptRecord] = {
            record.event_id: record
            for record in records
            if record.state is AttemptState.SCHEDULED and not record.paused
        }
        if not waiting:
            return
        first, events = await until_known(
            lambda: self._events(workflow_id, run_id, waiting), self._context.clock
        )
        if first is None or not isinstance(first.attributes, WorkflowExecutionStarted):
            return
        run = self._run_facts(workflow_id, run_id, first.attributes)
        for event in events:
            if isinstance(event.attributes, ActivityTaskScheduled):
                record = waiting[event.event_id]
                scheduled = effective(event.attributes, record.options)
                self._context.dispatcher.activity(task_of(run, scheduled, facts_of(record)))

    async def _events(
        self, workflow_id: WorkflowId, run_id: RunId, wanted: Collection[int]
    ) -> tuple[HistoryEvent | None, list[HistoryEvent]]:
        """Event 1, and those of `wanted`."""
        first = await self._context.store.event(workflow_id, run_id, 1)
        pages = self._context.store.history(workflow_id, run_id, after=min(wanted) - 1)
        found = [event async for page in pages for event in page if event.event_id in wanted]
        return first, found

    def _run_facts(
        self, workflow_id: WorkflowId, run_id: RunId, started: WorkflowExecutionStarted
    ) -> RunFacts:
        return RunFacts(
            namespace=self._context.namespace,
            workflow_id=workflow_id,
            run_id=run_id,
            workflow_type=started.workflow_type,
            task_queue=started.task_queue,
        )

    def _expect_soon(self, part: Transition, now_ms: int) -> None:
        """Drive what is due soon. Of an activity only a time-out of its own, not the look whether
        somebody began it: that one has time, and every activity has it."""
        soon = [
            timer.fire_at_ms
            for timer in part.timers
            if timer.fire_at_ms <= now_ms + DRIVEN_BY_ARMER_MS
        ]
        soon += [
            activity.due_at_ms
            for activity in part.activities
            if activity.due_at_ms < activity.scheduled_at_ms + DISPATCH_REPEATS_MS[0]
        ]
        if part.close is not None:
            if not part.close.nothing_left:
                soon.append(now_ms)
            successor = part.close.successor
            delay_ms = 0 if successor is None else successor.first_task_delay_ms
            if 0 < delay_ms <= DRIVEN_BY_ARMER_MS:
                soon.append(now_ms + delay_ms)
        for due_at_ms in soon:
            self._context.expect_due(part.workflow_id, due_at_ms)
