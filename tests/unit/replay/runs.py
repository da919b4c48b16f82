"""Runs driven by hand: a tiny converter, and a history that grows from the commands."""

from __future__ import annotations

import msgspec

from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ApplicationError, FailureError
from orchestrator.replay.facts import Activation, Commands, RunFacts, TaskFailure
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.payload import Payload


class PlainValues:
    """JSON and messages, enough for tests of replay."""

    def to_payloads(self, values):
        return [Payload.of_json(msgspec.json.encode(value)) for value in values]

    def from_payloads(self, payloads, type_hints=None):
        return [msgspec.json.decode(payload.data) for payload in payloads]

    def to_failure(self, exception):
        return Failure(
            message=str(exception), detail=ApplicationFailure(error_type=type(exception).__name__)
        )

    def from_failure(self, failure) -> FailureError:
        return ApplicationError(failure.message)


VALUES = PlainValues()


class History:
    """One run, its events, and the activations that made them."""

    def __init__(self, cls, *args):
        self.cls = cls
        started = e.WorkflowExecutionStarted(
            workflow_type="W", task_queue="q", input=tuple(VALUES.to_payloads(args))
        )
        self.facts = RunFacts(
            namespace="n", workflow_id="w", run_id="r", started=started, start_time_ms=0
        )
        self.run = WorkflowRun(WorkflowDefinition.of(cls), self.facts, VALUES)
        self.next_id = 1
        self.now = 1000
        self.started = started
        self.tasks = []
        self.answers = []

    def event(self, attributes):
        event = e.HistoryEvent(event_id=self.next_id, time_ms=self.now, attributes=attributes)
        self.next_id += 1
        return event

    def step(self, *news):
        self.now += 1000
        attributes = list(news)
        if not self.tasks:
            attributes.insert(0, self.started)
        events = tuple(self.event(each) for each in attributes)
        answer = self.run.activate(Activation(time_ms=self.now, events=events))
        self.answers.append(answer)
        if isinstance(answer, TaskFailure):
            return answer
        assert isinstance(answer, Commands)
        recorded = tuple(self.event(self.to_event(each)) for each in answer.commands)
        self.run.accept(recorded)
        self.tasks.append((self.now, events, recorded))
        return answer.commands

    def to_event(self, command):
        match command:
            case c.ScheduleActivityTask():
                event = e.ActivityTaskScheduled(
                    activity_id=command.activity_id,
                    activity_type=command.activity_type,
                    task_queue=command.task_queue,
                )
                self.last_activity = self.next_id
                return event
            case c.RequestCancelActivityTask():
                return e.ActivityTaskCancelRequested(scheduled_event_id=self.last_activity)
            case c.StartTimer():
                return e.TimerStarted(timer_id=command.timer_id, start_to_fire_ms=1)
            case c.CancelTimer():
                return e.TimerCanceled(timer_id=command.timer_id, started_event_id=0)
            case c.CompleteWorkflowExecution():
                return e.WorkflowExecutionCompleted(result=command.result)
            case c.FailWorkflowExecution():
                return e.WorkflowExecutionFailed(failure=command.failure)
            case c.CancelWorkflowExecution():
                return e.WorkflowExecutionCanceled()
            case _:
                return e.WorkflowExecutionContinuedAsNew(
                    new_run_id="x", workflow_type="W", task_queue="q"
                )

    def replay(self, cls=None):
        run = WorkflowRun(WorkflowDefinition.of(cls or self.cls), self.facts, VALUES)
        answers = []
        for now, events, recorded in self.tasks:
            answers.append(
                run.activate(
                    Activation(time_ms=now, events=events, replaying=True, recorded=recorded)
                )
            )
        return answers


def fired(timer_id):
    return e.TimerFired(timer_id=str(timer_id), started_event_id=0)


def completed(event_id, value):
    return e.ActivityTaskCompleted(
        scheduled_event_id=event_id, started_event_id=0, result=VALUES.to_payloads([value])[0]
    )


def signaled(name, *args):
    return e.WorkflowExecutionSignaled(signal_name=name, input=tuple(VALUES.to_payloads(args)))


def result(commands):
    assert isinstance(commands[-1], c.CompleteWorkflowExecution), commands
    return msgspec.json.decode(commands[-1].result.data)
