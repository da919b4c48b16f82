"""Do the histories of all runs agree with each other: chains of runs, parents and children?

Pure, like `history`. `histories` holds every run that there ever was; with runs missing because
retention removed them the complaints are void.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from orchestrator.testing.checker.history import ChildEnd
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.options import Conflict


class RunName(NamedTuple):
    """Which run of which workflow."""

    workflow_id: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.workflow_id} (run {self.run_id})"


Histories: TypeAlias = Mapping[RunName, Sequence[HistoryEvent]]

_FOLLOWED: TypeAlias = (
    e.WorkflowExecutionCompleted | e.WorkflowExecutionFailed | e.WorkflowExecutionTimedOut
)
_CHILD_ENDS: dict[type, type] = {
    r.ChildWorkflowExecutionCompleted: e.WorkflowExecutionCompleted,
    r.ChildWorkflowExecutionFailed: e.WorkflowExecutionFailed,
    r.ChildWorkflowExecutionCanceled: e.WorkflowExecutionCanceled,
    r.ChildWorkflowExecutionTimedOut: e.WorkflowExecutionTimedOut,
    r.ChildWorkflowExecutionTerminated: e.WorkflowExecutionTerminated,
}


@dataclass(frozen=True, slots=True)
class _Run:
    name: RunName
    started: e.WorkflowExecutionStarted
    from_ms: int
    to_ms: int | None
    end: e.ClosingEvent | None

    @property
    def successor(self) -> str | None:
        """The run that was begun in the same instant as this one ended."""
        if isinstance(self.end, e.WorkflowExecutionContinuedAsNew):
            return self.end.new_run_id
        if isinstance(self.end, _FOLLOWED):
            return self.end.new_execution_run_id
        return None


def check_workflows(histories: Histories, *, is_quiet: bool) -> tuple[str, ...]:
    """What is wrong between the runs.

    `is_quiet`: nothing is under way any more, so what a run says to another one has arrived.
    """
    runs = {name: _run_of(name, events) for name, events in histories.items() if _begins(events)}
    return (
        *(f"{name}: does not begin with its start" for name in histories if name not in runs),
        *_chains(runs),
        *_messages_once(histories),
        *_children_of_parents(runs, histories, is_quiet=is_quiet),
        *_parents_of_children(runs, histories),
    )


def _begins(events: Sequence[HistoryEvent]) -> bool:
    return bool(events) and isinstance(events[0].attributes, e.WorkflowExecutionStarted)


def _run_of(name: RunName, events: Sequence[HistoryEvent]) -> _Run:
    first, last = events[0], events[-1]
    assert isinstance(first.attributes, e.WorkflowExecutionStarted)
    end = last.attributes if isinstance(last.attributes, e.ClosingEvent) else None
    return _Run(
        name=name,
        started=first.attributes,
        from_ms=first.time_ms,
        to_ms=None if end is None else last.time_ms,
        end=end,
    )


def _chains(runs: Mapping[RunName, _Run]) -> Iterator[str]:
    by_workflow: dict[str, list[_Run]] = defaultdict(list)
    follows: dict[RunName, list[RunName]] = defaultdict(list)
    for run in runs.values():
        by_workflow[run.name.workflow_id].append(run)
        if run.started.continued_run_id is not None:
            before = RunName(run.name.workflow_id, run.started.continued_run_id)
            follows[before].append(run.name)
            yield from _link(runs.get(before), run)
        elif run.started.first_run_id not in ("", run.name.run_id):
            yield f"{run.name}: is the first of its chain, but names {run.started.first_run_id}"
    for run in runs.values():
        if run.successor is not None and follows[run.name] != [
            RunName(run.name.workflow_id, run.successor)
        ]:
            yield f"{run.name}: names {run.successor} as what follows, there is {follows[run.name]}"
    for of_one_id in by_workflow.values():
        yield from _disjoint(sorted(of_one_id, key=lambda run: (run.from_ms, run.to_ms is None)))


def _link(before: _Run | None, run: _Run) -> Iterator[str]:
    if before is None:
        yield f"{run.name}: follows run {run.started.continued_run_id}, which there is not"
        return
    if before.successor != run.name.run_id:
        yield f"{run.name}: follows {before.name}, which does not name it"
    first = before.started.first_run_id or before.name.run_id
    if run.started.first_run_id != first:
        yield f"{run.name}: its chain began with {first}, not {run.started.first_run_id}"


def _disjoint(runs: Sequence[_Run]) -> Iterator[str]:
    for before, after in pairwise(runs):
        if before.to_ms is None or before.to_ms > after.from_ms:
            yield f"{after.name}: began while {before.name} was open"


def _messages_once(histories: Histories) -> Iterator[str]:
    """What was sent once arrives once, in one run of the workflow id."""
    seen: dict[tuple[str, str], str] = {}
    for name, events in histories.items():
        for event in events:
            match event.attributes:
                case e.WorkflowExecutionSignaled() | e.WorkflowExecutionCancelRequested() as sent:
                    key = (name.workflow_id, sent.operation_id)
                    where = f"{name}, event {event.event_id}"
                    if sent.operation_id and key in seen:
                        yield f"{where}: {sent.operation_id!r} arrived before, at {seen[key]}"
                    seen[key] = where
                case _:
                    pass


def _children_of_parents(
    runs: Mapping[RunName, _Run], histories: Histories, *, is_quiet: bool
) -> Iterator[str]:
    """Each child names an event of its parent that asked for it, and that parent knows it."""
    for run in runs.values():
        parent = run.started.parent
        if parent is None or run.started.continued_run_id is not None:
            continue
        name = RunName(parent.workflow_id, parent.run_id)
        events = histories.get(name, ())
        asked = _event(events, parent.initiated_event_id)
        if not isinstance(asked, r.StartChildWorkflowExecutionInitiated):
            yield f"{run.name}: {name} did not ask for it by event {parent.initiated_event_id}"
            continue
        if asked.workflow_id != run.name.workflow_id:
            yield f"{run.name}: {name} asked for {asked.workflow_id!r} instead"
        is_open = name in runs and runs[name].end is None
        if asked.id_conflict_policy is Conflict.FAIL and is_quiet and is_open:
            yield from _known_to_parent(run, _whole_chain(runs, run), events, name)


def _known_to_parent(
    first: _Run, chain: Sequence[_Run], events: Sequence[HistoryEvent], parent: RunName
) -> Iterator[str]:
    assert first.started.parent is not None
    initiated = first.started.parent.initiated_event_id
    told = [
        event.attributes
        for event in events
        if getattr(event.attributes, "initiated_event_id", 0) == initiated
    ]
    if not any(isinstance(one, r.ChildWorkflowExecutionStarted) for one in told):
        yield f"{first.name}: its parent {parent} is open and was not told of its start"
    has_ended = chain[-1].end is not None
    if has_ended and not any(type(one) in _CHILD_ENDS for one in told):
        yield f"{first.name}: has ended, and its parent {parent}, which is open, was not told"


def _whole_chain(runs: Mapping[RunName, _Run], first: _Run) -> list[_Run]:
    chain = [first]
    while chain[-1].successor is not None:
        following = runs.get(RunName(first.name.workflow_id, chain[-1].successor))
        if following is None or following in chain:
            break
        chain.append(following)
    return chain


def _parents_of_children(runs: Mapping[RunName, _Run], histories: Histories) -> Iterator[str]:
    """What a parent was told of a child is so."""
    for name, events in histories.items():
        for event in events:
            told = event.attributes
            if isinstance(told, r.ChildWorkflowExecutionStarted):
                child = runs.get(RunName(told.workflow_id, told.run_id))
                if child is None:
                    yield f"{name}, event {event.event_id}: there is no child {told.run_id}"
                elif child.started.workflow_type != told.workflow_type:
                    yield f"{name}, event {event.event_id}: its child is of another type"
            if isinstance(told, ChildEnd):
                child = runs.get(RunName(told.workflow_id, told.run_id))
                end = _CHILD_ENDS[type(told)]
                if child is None or not isinstance(child.end, end) or child.successor is not None:
                    yield f"{name}, event {event.event_id}: its child did not end so"


def _event(events: Sequence[HistoryEvent], event_id: int) -> object:
    return events[event_id - 1].attributes if 1 <= event_id <= len(events) else None
