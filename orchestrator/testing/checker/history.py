"""Is one history possible? By rules written down here a second time, apart from the code that
writes histories: whoever judges shall not share the mistakes of whom it judges.

Pure: events in, complaints out, each with its event id. What it cannot see is what is missing
without a trace; for that see `workflows` and `operations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from orchestrator.core.patches import patch_of
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import HistoryEvent

_TaskEvent: TypeAlias = (
    e.WorkflowTaskScheduled | e.WorkflowTaskStarted | e.WorkflowTaskCompleted | e.WorkflowTaskFailed
)
_ActivityEnd: TypeAlias = (
    e.ActivityTaskCompleted | e.ActivityTaskFailed | e.ActivityTaskTimedOut | e.ActivityTaskCanceled
)
ChildEnd: TypeAlias = (
    r.ChildWorkflowExecutionCompleted
    | r.ChildWorkflowExecutionFailed
    | r.ChildWorkflowExecutionCanceled
    | r.ChildWorkflowExecutionTimedOut
    | r.ChildWorkflowExecutionTerminated
)
"""Ends of a child that was started."""
_EndedFromOutside = (e.WorkflowExecutionTerminated, e.WorkflowExecutionTimedOut)


def check_history(history: Sequence[HistoryEvent]) -> tuple[str, ...]:
    """What is wrong with a history from event 1 on; nothing if it is possible.

    An open run's history may end anywhere between two writes: only with its closing event must
    everything before it be whole.
    """
    return tuple(_Judge().complaints_of(history))


@dataclass(slots=True)
class _Task:
    """A workflow task in the making, and the commands of the last one."""

    scheduled: int = 0
    started: int = 0
    completed: int = 0
    commands_missing: int = 0
    patches_missing: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Judge:
    """Reads one history from its begin to its end."""

    seen: dict[int, HistoryEvent] = field(default_factory=dict[int, HistoryEvent])
    task: _Task = field(default_factory=_Task)
    resolved: dict[int, int] = field(default_factory=dict[int, int])
    """What was begun → by which event it ended."""
    cancel_asked: set[int] = field(default_factory=set[int])
    activity_started: HistoryEvent | None = None
    """An activity's start whose end must be the very next event."""
    children: dict[int, int] = field(default_factory=dict[int, int])
    """Initiated → started."""
    updates: dict[str, int] = field(default_factory=dict[str, int])
    operations: dict[str, int] = field(default_factory=dict[str, int])
    closed: int = 0

    def complaints_of(self, history: Sequence[HistoryEvent]) -> Iterator[str]:
        time_ms = 0
        for number, event in enumerate(history, start=1):
            where = f"event {event.event_id} ({event.type})"
            if event.event_id != number:
                yield f"{where}: stands where event {number} belongs"
            if event.time_ms < time_ms:
                yield f"{where}: is older than the event before it"
            if self.closed:
                yield f"{where}: stands after the end of the run, event {self.closed}"
            if (number == 1) != isinstance(event.attributes, e.WorkflowExecutionStarted):
                yield f"{where}: a run's start is its first event, and that alone"
            yield from (f"{where}: {complaint}" for complaint in self._event(event))
            time_ms = event.time_ms
            self.seen[event.event_id] = event
        if not history:
            yield "there is no event at all"
        if self.activity_started is not None:
            yield f"event {self.activity_started.event_id}: the end of its activity is missing"

    def _event(self, event: HistoryEvent) -> Iterator[str]:
        begun, self.activity_started = self.activity_started, None
        if begun is not None and not isinstance(event.attributes, _ActivityEnd):
            yield f"stands between an activity's start, event {begun.event_id}, and its end"
        if isinstance(event.attributes, _TaskEvent):
            yield from self._task_event(event, event.attributes)
        elif isinstance(event.attributes, e.CommandEvent):
            yield from self._command(event, event.attributes)
        else:
            yield from self._news(event, begun)
        if isinstance(event.attributes, e.ClosingEvent):
            self.closed = event.event_id

    # Workflow tasks -------------------------------------------------------------------------------

    def _task_event(self, event: HistoryEvent, attributes: _TaskEvent) -> Iterator[str]:
        task = self.task
        match attributes:
            case e.WorkflowTaskScheduled():
                if task.scheduled:
                    yield f"the task of event {task.scheduled} has not ended"
                task.scheduled, task.started = event.event_id, 0
                return
            case e.WorkflowTaskStarted(scheduled_event_id=scheduled):
                if task.started or scheduled != task.scheduled:
                    yield f"names task {scheduled}, but task {task.scheduled} waits to be started"
                task.started = event.event_id
                return
            case e.WorkflowTaskCompleted() as completed:
                if task.commands_missing:
                    yield f"{task.commands_missing} commands of the task before are missing"
                task.completed, task.commands_missing = event.event_id, completed.command_count
                task.patches_missing = list(completed.patches)
            case e.WorkflowTaskFailed():
                pass
        named = (attributes.scheduled_event_id, attributes.started_event_id)
        if named != (task.scheduled, task.started) or not task.started:
            yield (
                f"names task {named[0]}, started by {named[1]}; "
                f"under way is {task.scheduled}, started by {task.started}"
            )
        task.scheduled = task.started = 0

    def _command(self, event: HistoryEvent, attributes: e.CommandEvent) -> Iterator[str]:
        task = self.task
        if not task.commands_missing:
            yield f"task {task.completed} did not ask for it: all its commands are there"
        if task.scheduled:
            yield f"stands inside of task {task.scheduled}"
        task.commands_missing = max(0, task.commands_missing - 1)
        if isinstance(attributes, e.WorkflowExecutionUpdateAccepted):
            yield from self._accepted(event, attributes)
            return
        if isinstance(attributes, e.WorkflowExecutionUpdateCompleted):
            accepted = self.updates.get(attributes.update_id)
            if accepted is None or accepted != attributes.accepted_event_id:
                yield f"update {attributes.update_id!r} was not accepted by that event"
            else:
                yield from self._resolve(event, accepted)
            return
        if attributes.task_completed_event_id != task.completed:
            yield f"names task {attributes.task_completed_event_id}, stands in {task.completed}"
        yield from self._wish(event, attributes)
        if isinstance(attributes, e.ClosingEvent) and task.commands_missing:
            yield f"{task.commands_missing} commands of its task are missing"
        if not task.commands_missing and task.patches_missing:
            yield f"markers of patches are missing: {task.patches_missing}"

    def _wish(self, event: HistoryEvent, attributes: e.CommandEvent) -> Iterator[str]:
        match attributes:
            case e.ActivityTaskCancelRequested(scheduled_event_id=scheduled):
                yield from self._expect(scheduled, e.ActivityTaskScheduled)
                if scheduled in self.resolved or scheduled in self.cancel_asked:
                    yield f"activity {scheduled} has ended, or was to be cancelled already"
                self.cancel_asked.add(scheduled)
            case e.TimerCanceled(timer_id=timer_id, started_event_id=started):
                yield from self._timer(event, timer_id, started)
            case e.MarkerRecorded():
                patch = patch_of(attributes)
                if patch is not None and patch.id in self.task.patches_missing:
                    self.task.patches_missing.remove(patch.id)
                elif patch is not None:
                    yield f"patch {patch.id!r} is not among those that its task has taken"
            case (
                r.SignalExternalWorkflowExecutionInitiated()
                | r.RequestCancelExternalWorkflowExecutionInitiated()
            ):
                if follows := attributes.follows_event_id:
                    yield from self._expect(
                        follows,
                        r.SignalExternalWorkflowExecutionInitiated,
                        r.RequestCancelExternalWorkflowExecutionInitiated,
                    )
                if child := attributes.child_initiated_event_id:
                    yield from self._child(child, attributes.workflow_id)
            case _:
                pass

    def _accepted(
        self, event: HistoryEvent, attributes: e.WorkflowExecutionUpdateAccepted
    ) -> Iterator[str]:
        if attributes.update_id in self.updates:
            yield f"update {attributes.update_id!r} was accepted before"
        self.updates[attributes.update_id] = event.event_id
        if not 1 <= attributes.sequencing_event_id < event.event_id:
            yield f"came after event {attributes.sequencing_event_id}, which is not before it"

    # News -----------------------------------------------------------------------------------------

    def _news(self, event: HistoryEvent, begun: HistoryEvent | None) -> Iterator[str]:
        if self.task.commands_missing and not isinstance(event.attributes, _EndedFromOutside):
            yield f"stands among the commands of task {self.task.completed}"
        if self.task.scheduled and not isinstance(event.attributes, _EndedFromOutside):
            yield f"stands inside of task {self.task.scheduled}"
        match event.attributes:
            case e.WorkflowExecutionSignaled() | e.WorkflowExecutionCancelRequested() as sent:
                if sent.operation_id and sent.operation_id in self.operations:
                    yield f"is event {self.operations[sent.operation_id]} once more"
                self.operations[sent.operation_id] = event.event_id
            case e.ActivityTaskStarted(scheduled_event_id=scheduled):
                yield from self._expect(scheduled, e.ActivityTaskScheduled)
                self.activity_started = event
            case (
                e.ActivityTaskCompleted()
                | e.ActivityTaskFailed()
                | e.ActivityTaskTimedOut()
                | e.ActivityTaskCanceled() as end
            ):
                yield from self._activity_end(event, end, begun)
            case e.TimerFired(timer_id=timer_id, started_event_id=started):
                yield from self._timer(event, timer_id, started)
            case _:
                yield from self._answer(event)

    def _activity_end(
        self, event: HistoryEvent, end: _ActivityEnd, begun: HistoryEvent | None
    ) -> Iterator[str]:
        scheduled = self.seen.get(end.scheduled_event_id)
        if scheduled is None or not isinstance(scheduled.attributes, e.ActivityTaskScheduled):
            yield f"event {end.scheduled_event_id} did not schedule an activity"
            return
        yield from self._resolve(event, end.scheduled_event_id)
        if end.started_event_id != (0 if begun is None else begun.event_id):
            yield f"names start {end.started_event_id}, which is not the event before it"
        if isinstance(end, e.ActivityTaskCompleted) and begun is None:
            yield "nobody began what was completed"
        if (
            isinstance(end, e.ActivityTaskCanceled)
            and end.scheduled_event_id not in self.cancel_asked
        ):
            yield f"nobody asked to cancel activity {end.scheduled_event_id}"
        if begun is None or not isinstance(begun.attributes, e.ActivityTaskStarted):
            return
        if begun.attributes.scheduled_event_id != end.scheduled_event_id:
            yield f"is the end of another activity than event {begun.event_id} began"

    def _timer(self, event: HistoryEvent, timer_id: str, started: int) -> Iterator[str]:
        timer = self.seen.get(started)
        if timer is None or not isinstance(timer.attributes, e.TimerStarted):
            yield f"event {started} did not start a timer"
            return
        yield from self._resolve(event, started)
        if timer.attributes.timer_id != timer_id:
            yield f"event {started} started timer {timer.attributes.timer_id!r}, not {timer_id!r}"
        due_ms = timer.time_ms + timer.attributes.start_to_fire_ms
        if isinstance(event.attributes, e.TimerFired) and event.time_ms < due_ms:
            yield f"fired {due_ms - event.time_ms} ms before its time"

    def _answer(self, event: HistoryEvent) -> Iterator[str]:
        match event.attributes:
            case r.ChildWorkflowExecutionStarted(initiated_event_id=initiated) as started:
                yield from self._child(initiated, started.workflow_id)
                if initiated in self.children or initiated in self.resolved:
                    yield f"child {initiated} was started, or had ended, before"
                self.children[initiated] = event.event_id
            case r.StartChildWorkflowExecutionFailed(initiated_event_id=initiated) as refused:
                yield from self._child(initiated, refused.workflow_id)
                if initiated in self.children:
                    yield f"child {initiated} was started, so its start cannot fail"
                yield from self._resolve(event, initiated)
            case (
                r.ChildWorkflowExecutionCompleted()
                | r.ChildWorkflowExecutionFailed()
                | r.ChildWorkflowExecutionCanceled()
                | r.ChildWorkflowExecutionTimedOut()
                | r.ChildWorkflowExecutionTerminated() as end
            ):
                yield from self._child_end(event, end)
            case (
                r.SignalExternalWorkflowExecutionFailed()
                | r.ExternalWorkflowExecutionSignaled() as answer
            ):
                yield from self._expect(
                    answer.initiated_event_id, r.SignalExternalWorkflowExecutionInitiated
                )
                yield from self._resolve(event, answer.initiated_event_id)
            case (
                r.RequestCancelExternalWorkflowExecutionFailed()
                | r.ExternalWorkflowExecutionCancelRequested() as answer
            ):
                yield from self._expect(
                    answer.initiated_event_id, r.RequestCancelExternalWorkflowExecutionInitiated
                )
                yield from self._resolve(event, answer.initiated_event_id)
            case _:
                pass

    def _child(self, initiated: int, workflow_id: str) -> Iterator[str]:
        asked = self.seen.get(initiated)
        if asked is None or not isinstance(
            asked.attributes, r.StartChildWorkflowExecutionInitiated
        ):
            yield f"event {initiated} did not ask for a child"
        elif asked.attributes.workflow_id != workflow_id:
            yield f"event {initiated} asked for {asked.attributes.workflow_id!r}, not this child"

    def _child_end(self, event: HistoryEvent, end: ChildEnd) -> Iterator[str]:
        yield from self._child(end.initiated_event_id, end.workflow_id)
        if self.children.get(end.initiated_event_id) != end.started_event_id:
            yield f"event {end.started_event_id} is not the start of child {end.initiated_event_id}"
        yield from self._resolve(event, end.initiated_event_id)

    # Both -----------------------------------------------------------------------------------------

    def _expect(self, event_id: int, *kinds: type) -> Iterator[str]:
        found = self.seen.get(event_id)
        if found is None or not isinstance(found.attributes, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            yield f"event {event_id} is no {names}"

    def _resolve(self, event: HistoryEvent, event_id: int) -> Iterator[str]:
        if event_id in self.resolved:
            yield f"event {event_id} was answered by event {self.resolved[event_id]} already"
        self.resolved.setdefault(event_id, event.event_id)
