"""The commands of one activation in program order, and their match with recorded events.

A start that is taken back in the same activation leaves no trace. On replay the k-th command must
be the k-th recorded command event; the first difference is named with both sides, the event id and
the line of user code.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.replay.control import NondeterminismError
from orchestrator.wire import commands as c
from orchestrator.wire import events as e

_INTERNAL = (str(Path(__file__).parent.parent), str(Path(asyncio.__file__).parent))

_EVENT_OF: dict[type, type] = {
    c.ScheduleActivityTask: e.ActivityTaskScheduled,
    c.RequestCancelActivityTask: e.ActivityTaskCancelRequested,
    c.StartTimer: e.TimerStarted,
    c.CancelTimer: e.TimerCanceled,
    c.CompleteWorkflowExecution: e.WorkflowExecutionCompleted,
    c.FailWorkflowExecution: e.WorkflowExecutionFailed,
    c.CancelWorkflowExecution: e.WorkflowExecutionCanceled,
    c.ContinueAsNewWorkflowExecution: e.WorkflowExecutionContinuedAsNew,
}
_CLOSING = (
    c.CompleteWorkflowExecution,
    c.FailWorkflowExecution,
    c.CancelWorkflowExecution,
    c.ContinueAsNewWorkflowExecution,
)


class LoggedCommand:
    """A command, where user code asked for it, and whether it was taken back."""

    __slots__ = ("command", "dropped", "source")

    def __init__(self, command: c.Command, source: str) -> None:
        self.command = command
        self.source = source
        self.dropped = False


class CommandLog:
    """Collects, matches and binds. `bind(command, event_id)` is told of every recorded command."""

    def __init__(self, bind: Callable[[c.Command, int], None]) -> None:
        self._bind = bind
        self._entries: list[LoggedCommand] = []
        self._unbound: list[c.Command] = []
        self._scheduled: dict[int, str] = {}

    def add(self, command: c.Command) -> LoggedCommand:
        """Append a command and remember the line of user code."""
        entry = LoggedCommand(command, source_line())
        self._entries.append(entry)
        return entry

    def drop_start(self, command: type[c.Command], identity: str) -> bool:
        """Take back the start of a timer or activity made in this activation, if there is one."""
        for entry in reversed(self._entries):
            if type(entry.command) is command and _identity(entry.command) == identity:
                entry.dropped = True
                return True
        return False

    def finish(
        self, recorded: Sequence[e.HistoryEvent] | None, *, complete: bool
    ) -> tuple[c.Command, ...]:
        """End the activation: match with `recorded` (None: nothing is) and return what is new.

        Raises:
            NondeterminismError: the two differ.
        """
        entries = self._take_entries()
        events = recorded or ()
        for index, event in enumerate(events):
            if index >= len(entries):
                raise NondeterminismError(
                    f"history has {describe_event(event)}, but the code asked for nothing more "
                    f"after {len(entries)} command(s); deploy code that still makes this call"
                )
            self._match(entries[index], event)
        new = entries[len(events) :]
        if recorded is not None and complete and new:
            raise NondeterminismError(
                f"the code asked for {describe_command(new[0].command)} at {new[0].source}, but "
                f"history has no such event after {len(events)} command event(s) of this task"
            )
        commands = tuple(entry.command for entry in new)
        self._unbound = list(commands)
        return commands

    def accept(self, events: Sequence[e.HistoryEvent]) -> None:
        """Bind new commands to the events they became; may be called in parts, in order."""
        for event in events:
            if type(event.attributes) in _EVENT_OF.values() and self._unbound:
                self._bind_one(self._unbound.pop(0), event)

    def _take_entries(self) -> list[LoggedCommand]:
        entries: list[LoggedCommand] = []
        for entry in self._entries:
            if entry.dropped:
                continue
            entries.append(entry)
            if isinstance(entry.command, _CLOSING):
                break
        self._entries = []
        return entries

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
                    found = self._scheduled.get(attributes.scheduled_event_id)
                    same = found == _identity(command)
                case e.TimerStarted() | e.TimerCanceled():
                    same = _identity(command) == attributes.timer_id
                case _:
                    pass
        if not same:
            raise NondeterminismError(
                f"history has {describe_event(event)}, but the code asked for "
                f"{describe_command(command)} at {entry.source}"
            )
        self._bind_one(command, event)

    def _bind_one(self, command: c.Command, event: e.HistoryEvent) -> None:
        if isinstance(command, c.ScheduleActivityTask):
            self._scheduled[event.event_id] = command.activity_id
        self._bind(command, event.event_id)


def _identity(command: c.Command) -> str:
    match command:
        case c.ScheduleActivityTask() | c.RequestCancelActivityTask():
            return command.activity_id
        case c.StartTimer() | c.CancelTimer():
            return command.timer_id
        case _:
            return ""


def describe_command(command: c.Command) -> str:
    """A command in a few words."""
    name = type(command).__name__
    if isinstance(command, c.ScheduleActivityTask):
        return f"{name} {command.activity_type!r} (id {command.activity_id!r})"
    identity = _identity(command)
    return f"{name} {identity!r}" if identity else name


def describe_event(event: e.HistoryEvent) -> str:
    """An event in a few words, with its id."""
    attributes = event.attributes
    detail = ""
    if isinstance(attributes, e.ActivityTaskScheduled):
        detail = f" {attributes.activity_type!r} (id {attributes.activity_id!r})"
    elif isinstance(attributes, e.TimerStarted | e.TimerCanceled):
        detail = f" {attributes.timer_id!r}"
    return f"event {event.event_id} {event.type}{detail}"


def source_line() -> str:
    """`file:line` of the innermost frame that is neither ours nor asyncio's."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_INTERNAL) and not name.startswith("<"):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown line"
