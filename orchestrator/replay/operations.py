"""What a run has asked others for, and which event settles which wait."""

from __future__ import annotations

from orchestrator.replay.activities import Activities
from orchestrator.replay.children import ChildHost, Children
from orchestrator.replay.externals import Externals
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r


class Operations:
    """The activities, the children, and the acts on other workflows of one run."""

    def __init__(self, host: ChildHost, loop: DurableLoop, values: Values) -> None:
        self.activities = Activities(host, loop, values)
        self.externals = Externals(host, loop, values)
        self.children = Children(host, loop, values, self.externals)

    def settle(self, event: e.HistoryEvent) -> None:
        """Give the code what it waits for, if the event is that.

        Raises:
            NondeterminismError: this code has not asked for what the event speaks of.
        """
        attributes = event.attributes
        match attributes:
            case (
                e.ActivityTaskCompleted()
                | e.ActivityTaskFailed()
                | e.ActivityTaskTimedOut()
                | e.ActivityTaskCanceled()
            ):
                self.activities.end(attributes)
            case r.ChildWorkflowExecutionStarted():
                self.children.begin(attributes, event.event_id)
            case (
                r.StartChildWorkflowExecutionFailed()
                | r.ChildWorkflowExecutionCompleted()
                | r.ChildWorkflowExecutionFailed()
                | r.ChildWorkflowExecutionCanceled()
                | r.ChildWorkflowExecutionTimedOut()
                | r.ChildWorkflowExecutionTerminated()
            ):
                self.children.end(attributes)
            case (
                r.SignalExternalWorkflowExecutionFailed()
                | r.ExternalWorkflowExecutionSignaled()
                | r.RequestCancelExternalWorkflowExecutionFailed()
                | r.ExternalWorkflowExecutionCancelRequested()
            ):
                self.externals.end(attributes)
            case _:
                pass

    def bind(self, command: c.Command, event_id: int) -> None:
        """History has what `command` wished for as event `event_id`."""
        match command:
            case c.ScheduleActivityTask():
                self.activities.bind(command.activity_id, event_id)
            case c.StartChildWorkflowExecution():
                self.children.bind(command.number, event_id)
            case c.SignalExternalWorkflowExecution() | c.RequestCancelExternalWorkflowExecution():
                self.externals.bind(command.number, event_id)
            case _:
                pass
