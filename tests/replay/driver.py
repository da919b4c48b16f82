"""Runs of user code on the real core without servers: news in, commands out, a growing history.

`Driven` plays the worker and the store: it takes inbox entries in, activates the run, decides and
applies what was decided. `check_replays` then shows that any prefix of the history gives the
recorded commands again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from orchestrator import workflow
from orchestrator.converter import DataConverter
from orchestrator.core.decide import Task, decide
from orchestrator.core.fold import fold
from orchestrator.core.intake import intake
from orchestrator.core.relations import child_run_id
from orchestrator.core.transition import NewRun, Transition
from orchestrator.core.updates import UpdateRejection, answers_of
from orchestrator.definition.signature import AnyFunction
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.exceptions import ApplicationError
from orchestrator.ids import CommitToken, Mark, RunId, WorkflowId
from orchestrator.replay.facts import Activation, Commands, Completion, RunFacts, TaskFailure
from orchestrator.replay.partition import partition
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire import inbox
from orchestrator.wire.events import CommandEvent, HistoryEvent, WorkflowExecutionStarted
from orchestrator.wire.inbox import AttemptStarted, InboxBody, InboxEntry
from orchestrator.wire.options import RetryOutcome
from orchestrator.wire.relation_events import SignalExternalWorkflowExecutionInitiated

T0 = 1_700_000_000_000
WORKFLOW = WorkflowId("order-1")
CONVERTER = DataConverter.default


def workflow_of(function: AnyFunction) -> type:
    """A workflow class whose run method is `function(self, …)`, a function of a module."""
    run = workflow.run(function)
    return workflow.defn(type(function.__name__, (), {"run": run, "__module__": __name__}))


class Driven:
    """One run, driven by hand."""

    def __init__(
        self,
        cls: type,
        *args: Any,
        run_id: str = "run-1",
        started: WorkflowExecutionStarted | None = None,
        failure_exception_types: Sequence[type[BaseException]] = (),
        build_id: str = "",
        **fields: Any,
    ) -> None:
        self.definition = WorkflowDefinition.of(cls)
        self.run_id = RunId(run_id)
        self.started = started or WorkflowExecutionStarted(
            workflow_type=self.definition.name,
            task_queue="orders",
            input=tuple(CONVERTER.to_payloads(args)),
            **fields,
        )
        self.build_id = build_id
        self.failure_exception_types = failure_exception_types
        first = HistoryEvent(event_id=1, time_ms=T0, attributes=self.started)
        self.history = [first]
        self.state = fold(WORKFLOW, self.run_id, self.history)
        self.now_ms = T0
        self.tasks: list[tuple[c.Command, ...]] = []
        self.successor: NewRun | None = None
        self.rejections: list[UpdateRejection] = []
        self.parts: list[Transition] = []
        self.run = self.fresh()
        self._entries: list[InboxEntry] = []
        self._number = 0
        self._pending = [first]
        self._minted = count(1)

    def fresh(self, cls: type | None = None) -> WorkflowRun:
        """The run as a worker finds it that has not seen it before, maybe with other code."""
        facts = RunFacts(
            namespace="default",
            workflow_id=WORKFLOW,
            run_id=self.run_id,
            started=self.started,
            start_time_ms=T0,
        )
        definition = self.definition if cls is None else WorkflowDefinition.of(cls)
        return WorkflowRun(
            definition, facts, CONVERTER, failure_exception_types=self.failure_exception_types
        )

    def step(self, *news: InboxBody, after_ms: int = 1000) -> tuple[c.Command, ...]:
        """Do one workflow task that sees `news`; what its code wished for."""
        completion = self.attempt(*news, after_ms=after_ms)
        assert isinstance(completion, Commands), completion
        return completion.commands

    def attempt(self, *news: InboxBody, after_ms: int = 1000) -> Completion:
        """As `step`, for code that may fail its task; a failed one leaves the history alone."""
        self.now_ms += after_ms
        for body in news:
            self._number += 1
            self._entries.append(
                InboxEntry(
                    number=self._number, mark=f"m{self._number}", time_ms=self.now_ms, body=body
                )
            )
        found = intake(self.state, self._entries)
        events = (*self._pending, *found.events)
        self._entries, self._pending = [], []
        completion = self.run.activate(
            Activation(
                time_ms=self.now_ms,
                events=events,
                build_id=self.build_id,
                updates=tuple(found.updates.values()),
                history_length=self.state.last_event_id + 2,
            )
        )
        if isinstance(completion, TaskFailure):
            return completion
        self.rejections.extend(completion.rejections)
        if found.updates and not events and not completion.commands:
            return completion
        task = Task(
            identity="worker",
            now_ms=self.now_ms,
            token=CommitToken("t"),
            consumed_to=self._number,
            consumed_mark=Mark("m"),
            python="3.11",
            build_id=self.build_id,
        )
        mint = lambda: f"minted-{next(self._minted)}"  # noqa: E731
        found.answers.extend(answers_of(completion.rejections))
        for part in decide(self.state, found, completion.commands, task, mint=mint):
            self.parts.append(part)
            self.history.extend(part.events)
            wished = [one for one in part.events if isinstance(one.attributes, CommandEvent)]
            self.run.accept(wished)
            if part.close is not None:
                self.successor = part.close.successor
        self.tasks.append(completion.commands)
        return completion

    @property
    def is_open(self) -> bool:
        return self.state.is_open

    # News -----------------------------------------------------------------------------------------

    def completed(self, activity: str, value: Any = None) -> InboxBody:
        """The oldest pending activity of this type, or this id, returned `value`."""
        (payload,) = CONVERTER.to_payloads([value])
        return inbox.ActivityCompleted(
            run_id=self.run_id, started=_attempt(), result=payload, **self._scheduled(activity)
        )

    def failed(self, activity: str, message: str = "no") -> InboxBody:
        return inbox.ActivityFailed(
            run_id=self.run_id,
            started=_attempt(),
            failure=CONVERTER.to_failure(ApplicationError(message)),
            retry_outcome=RetryOutcome.MAXIMUM_ATTEMPTS_REACHED,
            **self._scheduled(activity),
        )

    def canceled(self, activity: str) -> InboxBody:
        return inbox.ActivityCanceled(run_id=self.run_id, **self._scheduled(activity))

    def fired(self, timer_id: int | str) -> InboxBody:
        event_id = self.state.timer_ids[str(timer_id)]
        return inbox.TimerDue(run_id=self.run_id, started_event_id=event_id)

    def signaled(self, name: str, *args: Any) -> InboxBody:
        return inbox.SignalReceived(signal_name=name, input=tuple(CONVERTER.to_payloads(args)))

    def updated(self, name: str, *args: Any, id: str | None = None) -> InboxBody:
        """An update comes; its id is its name unless told otherwise."""
        return inbox.UpdateReceived(
            update_id=id or name,
            update_name=name,
            input=tuple(CONVERTER.to_payloads(args)),
            operation_id=f"operation-{id or name}",
        )

    def outcome(self, update_id: str) -> Any:
        """What an update returned, or the exception that it ended with."""
        for event in self.history:
            done = event.attributes
            if isinstance(done, e.WorkflowExecutionUpdateCompleted) and done.update_id == update_id:
                if done.failure is not None:
                    return CONVERTER.from_failure(done.failure)
                return None if done.result is None else CONVERTER.from_payloads([done.result])[0]
        raise AssertionError(f"update {update_id!r} is not completed")

    def types(self, part: str = "") -> list[str]:
        """The types of the events so far, those that hold `part`."""
        return [event.type for event in self.history if part in event.type]

    def child(self, event_id: int, kind: type[Any], **fields: Any) -> Any:  # Any: news of a child
        """News of the child that the event asked for."""
        initiated = self.state.children[event_id].initiated
        run_id = child_run_id(WORKFLOW, self.run_id, event_id, initiated)
        return kind(run_id=self.run_id, initiated_event_id=event_id, child_run_id=run_id, **fields)

    def child_ended(self, event_id: int, kind: type[Any]) -> Any:  # Any: news of a child
        """A child has ended in this way."""
        fields: dict[str, Any] = {}
        if kind is inbox.ChildFailed:
            fields["failure"] = CONVERTER.to_failure(ApplicationError("it failed"))
        if kind is inbox.ChildCompleted:
            (fields["result"],) = CONVERTER.to_payloads(["its result"])
        return self.child(event_id, kind, last_run_id="its last run", **fields)

    def answered(self, event_id: int, *, found: bool = True) -> Any:  # Any: an answer
        """The answer to a signal or a request to cancel; `found`: somebody was there."""
        sent = self.state.externals[event_id].initiated
        if isinstance(sent, SignalExternalWorkflowExecutionInitiated):
            kind: type[Any] = inbox.ExternalSignaled if found else inbox.ExternalSignalFailed
        else:
            kind = inbox.ExternalCancelRequested if found else inbox.ExternalCancelFailed
        return kind(run_id=self.run_id, initiated_event_id=event_id)

    def cancel_asked(self, reason: str = "") -> InboxBody:
        return inbox.CancelReceived(reason=reason)

    def _scheduled(self, activity: str) -> dict[str, int]:
        for event_id, pending in self.state.activities.items():
            if activity in (pending.scheduled.activity_type, pending.scheduled.activity_id):
                return {"scheduled_event_id": event_id}
        raise AssertionError(f"no activity {activity!r} is pending")

    # Ends -----------------------------------------------------------------------------------------

    def run_to_end(self, steps_max: int = 100) -> Any:
        """Complete every activity with its type's name, fire the earliest timer, until the end."""
        for _ in range(steps_max):
            self.step(*self.everything_pending())
            if not self.is_open:
                return self.result()
        raise AssertionError("it does not end")

    def everything_pending(self) -> list[InboxBody]:
        news = [
            self.completed(pending.scheduled.activity_id, pending.scheduled.activity_type)
            for pending in self.state.activities.values()
        ]
        timers = sorted(self.state.timers.values(), key=lambda timer: timer.fire_at_ms)
        return [*news, *(self.fired(timer.started.timer_id) for timer in timers[:1])]

    def result(self) -> Any:
        """What the run returned."""
        completed = self.history[-1].attributes
        assert isinstance(completed, e.WorkflowExecutionCompleted), completed
        assert completed.result is not None
        return CONVERTER.from_payloads([completed.result])[0]

    # Replay ---------------------------------------------------------------------------------------

    def check_replays(self) -> None:
        """Every prefix that ends at a workflow task gives the recorded commands, the whole history
        gives no new ones, and what is in memory can be unwound. The run is gone after it."""
        activations = partition(self.history).activations
        assert len(activations) == len(self.tasks)
        for length in range(len(activations)):
            run = self.fresh()
            for activation in activations[:length]:
                assert run.activate(activation) == Commands()
            last = activations[length]
            live = Activation(
                time_ms=last.time_ms,
                events=last.events,
                build_id=last.build_id,
                updates=last.updates,
                history_length=last.history_length,
            )
            assert run.activate(live) == Commands(commands=self.tasks[length])
            assert run.evict()
        run = self.fresh()
        for activation in activations:
            assert run.activate(activation) == Commands()
        assert run.evict()
        assert self.run.evict()

    def replay(self, cls: type) -> Completion:
        """What other code says to this history: the first answer that is not empty."""
        run = self.fresh(cls)
        answer: Completion = Commands()
        for activation in partition(self.history).activations:
            answer = run.activate(activation)
            if answer != Commands():
                break
        assert run.evict()
        return answer


def _attempt() -> AttemptStarted:
    return AttemptStarted(attempt=1, time_ms=T0, identity="worker")


def kinds(commands: Sequence[c.Command]) -> list[str]:
    """Commands by name and id, for a short comparison."""
    found: list[str] = []
    for command in commands:
        name = type(command).__name__
        match command:
            case c.StartTimer() | c.CancelTimer():
                name += f" {command.timer_id}"
            case c.ScheduleActivityTask():
                name += f" {command.activity_type}"
            case c.RequestCancelActivityTask():
                name += f" {command.activity_id}"
            case c.AcceptUpdate() | c.CompleteUpdate():
                name += f" {command.update_id}"
            case _:
                pass
        found.append(name)
    return found
