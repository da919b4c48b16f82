"""The commands of one activation in program order, and their match with recorded events.

Updates that were let in come first, then what the code wished for, and last what ends the run: an
update that ends in the same activation has its outcome, whichever came first. Anything else that
follows the end is for nobody. A start that is taken back in the same activation leaves no trace. On
replay the k-th command must be the k-th recorded command event; the first difference is named with
both sides, the event id and the line of user code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from orchestrator.core.patches import changes_versions, patch_of
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.facts import Commands, Completion
from orchestrator.replay.source import Source, caller, describe
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.markers import is_local_activity

_EVENT_OF: dict[type, type] = {
    c.ScheduleActivityTask: e.ActivityTaskScheduled,
    c.RequestCancelActivityTask: e.ActivityTaskCancelRequested,
    c.StartTimer: e.TimerStarted,
    c.CancelTimer: e.TimerCanceled,
    c.RecordMarker: e.MarkerRecorded,
    c.UpsertSearchAttributes: e.UpsertWorkflowSearchAttributes,
    c.ModifyWorkflowProperties: e.WorkflowPropertiesModified,
    c.AcceptUpdate: e.WorkflowExecutionUpdateAccepted,
    c.CompleteUpdate: e.WorkflowExecutionUpdateCompleted,
    c.StartChildWorkflowExecution: r.StartChildWorkflowExecutionInitiated,
    c.SignalExternalWorkflowExecution: r.SignalExternalWorkflowExecutionInitiated,
    c.RequestCancelExternalWorkflowExecution: r.RequestCancelExternalWorkflowExecutionInitiated,
    c.CompleteWorkflowExecution: e.WorkflowExecutionCompleted,
    c.FailWorkflowExecution: e.WorkflowExecutionFailed,
    c.CancelWorkflowExecution: e.WorkflowExecutionCanceled,
    c.ContinueAsNewWorkflowExecution: e.WorkflowExecutionContinuedAsNew,
}
_COMMAND_EVENTS = frozenset(_EVENT_OF.values())
_TAKEN_BACK = (
    c.ScheduleActivityTask,
    c.StartTimer,
    c.StartChildWorkflowExecution,
    c.SignalExternalWorkflowExecution,
)
_CLOSING = (
    c.CompleteWorkflowExecution,
    c.FailWorkflowExecution,
    c.CancelWorkflowExecution,
    c.ContinueAsNewWorkflowExecution,
)


class LoggedCommand:
    """A command, where user code asked for it, and whether it was taken back."""

    __slots__ = ("command", "dropped", "source")

    def __init__(self, command: c.Command, source: Source | None) -> None:
        self.command = command
        self.source = source
        self.dropped = False


class CommandLog:
    """Collects, matches and binds. `bind(command, event_id)` is told of every recorded command,
    `activity_id_of(event_id)` says which activity an event scheduled."""

    def __init__(
        self, bind: Callable[[c.Command, int], None], activity_id_of: Callable[[int], str | None]
    ) -> None:
        self._bind = bind
        self._activity_id_of = activity_id_of
        self._entries: list[LoggedCommand] = []
        self._starts: dict[tuple[type[c.Command], str], LoggedCommand] = {}
        self._unbound: deque[c.Command] = deque()

    def add(self, command: c.Command, source: Source | None) -> None:
        """Append a command and remember the line of user code; None: who is calling now."""
        entry = LoggedCommand(command, source or caller())
        self._entries.append(entry)
        if isinstance(command, _TAKEN_BACK):
            self._starts[type(command), _identity(command)] = entry

    def drop_start(self, command: type[c.Command], identity: str) -> bool:
        """Take back the start of a timer, activity or child, or a signal, made in this activation,
        if there is one."""
        entry = self._starts.pop((command, identity), None)
        if entry is None:
            return False
        entry.dropped = True
        return True

    def finish(
        self,
        recorded: Sequence[e.HistoryEvent] | None,
        *,
        complete: bool,
        after_event_id: int,
        waits_at: Callable[[], str],
    ) -> tuple[c.Command, ...]:
        """End the activation: match with `recorded` (None: nothing is) and return what is new.

        `after_event_id` precedes what is recorded; `waits_at` says where the code stands now.

        Raises:
            NondeterminismError: the two differ.
        """
        entries = self._take_entries()
        events = recorded or ()
        matched = self._match_all(entries, events, waits_at)
        new = entries[matched:]
        if recorded is not None and complete and new:
            last_id = events[-1].event_id if events else after_event_id
            raise NondeterminismError(
                f"the code asked for {describe_command(new[0].command)} at "
                f"{describe(new[0].source)}, but history has nothing of the kind: its task made "
                f"{len(events)} command event(s) and ends with event {last_id}"
            )
        commands = tuple(entry.command for entry in new)
        self._unbound.extend(commands)
        return commands

    def accept(self, events: Sequence[e.HistoryEvent]) -> None:
        """Bind new commands to the events they became; may be called in parts, in order."""
        for event in events:
            if type(event.attributes) in _COMMAND_EVENTS and self._unbound:
                self._bind(self._unbound.popleft(), event.event_id)

    def _take_entries(self) -> list[LoggedCommand]:
        before: list[LoggedCommand] = []
        accepted: list[LoggedCommand] = []
        others: list[LoggedCommand] = []
        closing: list[LoggedCommand] = []
        for entry in self._entries:
            if entry.dropped:
                continue
            command = entry.command
            if isinstance(command, c.RecordMarker) and is_local_activity(command):
                # News within the task: what stands before it was handed out before.
                before += [*accepted, *others, entry]
                accepted, others = [], []
            elif isinstance(entry.command, c.AcceptUpdate):
                accepted.append(entry)
            elif not closing and isinstance(entry.command, _CLOSING):
                closing.append(entry)
            elif not closing or isinstance(entry.command, c.CompleteUpdate):
                others.append(entry)
        self._entries = []
        self._starts = {}
        return [*before, *accepted, *others, *closing]

    def _match_all(
        self,
        entries: Sequence[LoggedCommand],
        events: Sequence[e.HistoryEvent],
        waits_at: Callable[[], str],
    ) -> int:
        """Match all events, and say how many entries that took. The marker of a deprecated patch
        may be missing in the code, and so may the change of the search attribute behind it."""
        matched, skipped = 0, False
        for event in events:
            entry = entries[matched] if matched < len(entries) else None
            skipped = _may_be_missing(event, entry, after_skipped=skipped)
            if skipped:
                continue
            if entry is None:
                last = "in this task"
                if entries:
                    last = f"after {describe_command(entries[-1].command)}"
                raise NondeterminismError(
                    f"history has {describe_event(event)}, but the code asked for nothing more "
                    f"{last}; {waits_at()}{_advice(event)}"
                )
            self._match(entry, event)
            matched += 1
        return matched

    def _match(self, entry: LoggedCommand, event: e.HistoryEvent) -> None:
        command, attributes = entry.command, event.attributes
        same = _EVENT_OF[type(command)] is type(attributes)
        if same:
            match attributes:
                case e.ActivityTaskScheduled():
                    same = (
                        isinstance(command, c.ScheduleActivityTask)
                        and command.activity_id == attributes.activity_id
                        and command.activity_type == attributes.activity_type
                    )
                case e.ActivityTaskCancelRequested():
                    found = self._activity_id_of(attributes.scheduled_event_id)
                    same = found == _identity(command)
                case e.TimerStarted() | e.TimerCanceled():
                    same = _identity(command) == attributes.timer_id
                case r.StartChildWorkflowExecutionInitiated():
                    same = (
                        isinstance(command, c.StartChildWorkflowExecution)
                        and command.workflow_id == attributes.workflow_id
                        and command.workflow_type == attributes.workflow_type
                    )
                case r.SignalExternalWorkflowExecutionInitiated():
                    same = (
                        isinstance(command, c.SignalExternalWorkflowExecution)
                        and command.workflow_id == attributes.workflow_id
                        and command.signal_name == attributes.signal_name
                    )
                case r.RequestCancelExternalWorkflowExecutionInitiated():
                    same = (
                        isinstance(command, c.RequestCancelExternalWorkflowExecution)
                        and command.workflow_id == attributes.workflow_id
                    )
                case e.MarkerRecorded():
                    same = _same_marker(command, attributes)
                case e.WorkflowExecutionUpdateAccepted() | e.WorkflowExecutionUpdateCompleted():
                    same = _identity(command) == attributes.update_id
                case _:
                    pass
        if not same:
            raise NondeterminismError(
                f"history has {describe_event(event)}, but the code asked for "
                f"{describe_command(command)} at {describe(entry.source)}{_advice(event)}"
            )
        self._bind(command, event.event_id)


def _same_marker(command: c.Command, attributes: e.MarkerRecorded) -> bool:
    if not isinstance(command, c.RecordMarker) or command.marker_name != attributes.marker_name:
        return False
    wished, recorded = patch_of(command), patch_of(attributes)
    if wished is None or recorded is None:
        return command.details == attributes.details
    return wished.id == recorded.id


def _may_be_missing(
    event: e.HistoryEvent, entry: LoggedCommand | None, *, after_skipped: bool
) -> bool:
    """Whether `event` is of a deprecated patch that the code no longer names."""
    attributes = event.attributes
    command = None if entry is None else entry.command
    if after_skipped and changes_versions(attributes):
        return not changes_versions(command)
    recorded = patch_of(attributes)
    if recorded is None or not recorded.deprecated:
        return False
    wished = patch_of(command)
    return wished is None or wished.id != recorded.id


def _advice(event: e.HistoryEvent) -> str:
    """What to do about a mismatch: patches are made for changes of code that runs are amid."""
    patch = patch_of(event.attributes)
    if patch is None:
        return "; put the change behind workflow.patched(), so that runs go the way they began"
    return (
        f"; keep workflow.patched({patch.id!r}), or workflow.deprecate_patch({patch.id!r}) in its "
        "place, for as long as runs that took this patch may be replayed"
    )


def closes(completion: Completion) -> bool:
    """Whether this answer ends the run."""
    commands = completion.commands if isinstance(completion, Commands) else ()
    return bool(commands) and isinstance(commands[-1], _CLOSING)


def _identity(command: c.Command) -> str:
    match command:
        case c.ScheduleActivityTask() | c.RequestCancelActivityTask():
            return command.activity_id
        case c.StartTimer() | c.CancelTimer():
            return command.timer_id
        case c.RecordMarker():
            patch = patch_of(command)
            return command.marker_name if patch is None else patch.id
        case c.AcceptUpdate() | c.CompleteUpdate():
            return command.update_id
        case (
            c.StartChildWorkflowExecution()
            | c.SignalExternalWorkflowExecution()
            | c.RequestCancelExternalWorkflowExecution()
        ):
            return str(command.number)
        case _:
            return ""


def describe_command(command: c.Command) -> str:
    """A command in a few words."""
    name = "the marker of patch" if patch_of(command) else type(command).__name__
    if isinstance(command, c.ScheduleActivityTask):
        return f"{name} {command.activity_type!r} (id {command.activity_id!r})"
    if isinstance(command, c.StartChildWorkflowExecution):
        return f"{name} {command.workflow_type!r} (id {command.workflow_id!r})"
    if isinstance(command, c.SignalExternalWorkflowExecution):
        return f"{name} {command.signal_name!r} (to {command.workflow_id!r})"
    identity = _identity(command)
    if isinstance(command, c.RequestCancelExternalWorkflowExecution):
        identity = command.workflow_id
    return f"{name} {identity!r}" if identity else name


def describe_event(event: e.HistoryEvent) -> str:
    """An event in a few words, with its id."""
    attributes = event.attributes
    detail = ""
    if isinstance(attributes, e.ActivityTaskScheduled):
        detail = f" {attributes.activity_type!r} (id {attributes.activity_id!r})"
    elif isinstance(attributes, e.ActivityTaskCancelRequested):
        detail = f" of event {attributes.scheduled_event_id}"
    elif isinstance(attributes, e.TimerStarted | e.TimerCanceled):
        detail = f" {attributes.timer_id!r}"
    elif isinstance(attributes, r.StartChildWorkflowExecutionInitiated):
        detail = f" {attributes.workflow_type!r} (id {attributes.workflow_id!r})"
    elif isinstance(attributes, r.SignalExternalWorkflowExecutionInitiated):
        detail = f" {attributes.signal_name!r} (to {attributes.workflow_id!r})"
    elif isinstance(attributes, r.RequestCancelExternalWorkflowExecutionInitiated):
        detail = f" {attributes.workflow_id!r}"
    elif isinstance(attributes, e.MarkerRecorded):
        patch = patch_of(attributes)
        detail = f" {attributes.marker_name!r}" if patch is None else f", patch {patch.id!r}"
    elif isinstance(
        attributes, e.WorkflowExecutionUpdateAccepted | e.WorkflowExecutionUpdateCompleted
    ):
        detail = f" {attributes.update_id!r}"
    return f"event {event.event_id} {event.type}{detail}"
