"""Did each thing that a client did happen as often as it was told?

A client that got its answer knows what happened; one whose call timed out does not, and repeats the
same operation. So: what was answered happened exactly once, what was refused never, and what nobody
knows at most once. Signals of which one was answered before the next was sent arrive in that order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from orchestrator.testing.checker.workflows import Histories, RunName
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent


class OperationKind(Enum):
    """What clients do to workflows."""

    START = "start"
    SIGNAL = "signal"
    CANCEL = "cancel"
    UPDATE = "update"


class Answer(Enum):
    """What the client knows of it."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One line of a client's log. `key` is what the history knows it by: of a start the run id, of
    an update its id, else the operation id. An accepted update is done. The times are by one clock:
    when the client began, and when it had its answer or gave up; it may repeat the call between."""

    kind: OperationKind
    workflow_id: str
    key: str
    answer: Answer
    from_us: int = 0
    to_us: int = 0


class _Happened(NamedTuple):
    kind: OperationKind
    workflow_id: str
    key: str


def check_operations(log: Sequence[Operation], histories: Histories) -> tuple[str, ...]:
    """What the histories have too often, not at all or in the wrong order, of what the clients' log
    says."""
    happened = list(_happened(histories))
    counts = Counter(happened)
    counted = (complaint for one in log for complaint in _judge(one, counts))
    return (*counted, *_out_of_order(log, happened))


def _judge(one: Operation, counts: Counter[_Happened]) -> Iterator[str]:
    count = counts[_Happened(one.kind, one.workflow_id, one.key)]
    what = f"{one.kind.value} {one.key!r} of {one.workflow_id}"
    match one.answer:
        case Answer.DONE if count != 1:
            yield f"{what}: was answered, and happened {count} times"
        case Answer.REFUSED if count:
            yield f"{what}: was refused, and happened {count} times"
        case Answer.UNKNOWN if count > 1:
            yield f"{what}: nobody knows of it, and it happened {count} times"
        case _:
            pass


def _out_of_order(log: Sequence[Operation], happened: Sequence[_Happened]) -> Iterator[str]:
    by_workflow: dict[str, list[Operation]] = defaultdict(list)
    sent = {(one.kind, one.workflow_id, one.key): one for one in log if one.answer is Answer.DONE}
    for what in happened:
        one = sent.get(what)
        if one is not None and what.kind is OperationKind.SIGNAL:
            by_workflow[what.workflow_id].append(one)
    for signals in by_workflow.values():
        newest = signals[0]
        for one in signals:
            if one.to_us < newest.from_us:
                yield f"signal {one.key!r} of {one.workflow_id}: arrived after {newest.key!r}"
            newest = max(newest, one, key=lambda signal: signal.from_us)


def _happened(histories: Histories) -> Iterator[_Happened]:
    for name, events in sorted(histories.items(), key=_times):
        for event in events:
            match event.attributes:
                case e.WorkflowExecutionStarted():
                    yield _Happened(OperationKind.START, name.workflow_id, name.run_id)
                case e.WorkflowExecutionSignaled(operation_id=key):
                    yield _Happened(OperationKind.SIGNAL, name.workflow_id, key)
                case e.WorkflowExecutionCancelRequested(operation_id=key):
                    yield _Happened(OperationKind.CANCEL, name.workflow_id, key)
                case e.WorkflowExecutionUpdateAccepted(update_id=key):
                    yield _Happened(OperationKind.UPDATE, name.workflow_id, key)
                case _:
                    pass


def _times(run: tuple[RunName, Sequence[HistoryEvent]]) -> tuple[int, int]:
    events = run[1]
    return (events[0].time_ms, events[-1].time_ms) if events else (0, 0)
