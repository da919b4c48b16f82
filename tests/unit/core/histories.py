"""Small histories and inbox entries for the tests of the core, made by the core itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from orchestrator.core.decide import Task, decide
from orchestrator.core.fold import fold
from orchestrator.core.intake import intake
from orchestrator.core.state import ExecutionState
from orchestrator.core.transition import Transition
from orchestrator.ids import CommitToken, Mark, RunId, WorkflowId
from orchestrator.wire.commands import Command, ScheduleActivityTask
from orchestrator.wire.events import HistoryEvent, WorkflowExecutionStarted
from orchestrator.wire.inbox import AttemptStarted, InboxBody, InboxEntry

WORKFLOW = WorkflowId("order-1")
RUN = RunId("run-1")
T0 = 1_700_000_000_000


def minted() -> Callable[[], str]:
    """Texts t1, t2, t3 …"""
    numbers = count(1)
    return lambda: f"t{next(numbers)}"


def started_event(**fields: object) -> HistoryEvent:
    attributes = WorkflowExecutionStarted(
        **{"workflow_type": "Order", "task_queue": "orders", "first_run_id": RUN, **fields}  # type: ignore[arg-type]  # fields of the Struct
    )
    return HistoryEvent(event_id=1, time_ms=T0, attributes=attributes)


def fresh_state(**fields: object) -> ExecutionState:
    return fold(WORKFLOW, RUN, [started_event(**fields)])


def entry(number: int, body: InboxBody, *, at_ms: int = T0) -> InboxEntry:
    return InboxEntry(number=number, mark=f"m{number}", time_ms=at_ms, body=body)


def task(*, now_ms: int = T0, consumed_to: int = 1, **fields: object) -> Task:
    return Task(
        identity="worker",
        now_ms=now_ms,
        token=CommitToken("t0"),
        consumed_to=consumed_to,
        consumed_mark=Mark(f"m{consumed_to}"),
        **fields,  # type: ignore[arg-type]  # fields of Task
    )


def activate(
    state: ExecutionState,
    entries: Sequence[InboxEntry],
    commands: Sequence[Command],
    *,
    now_ms: int = T0,
    **fields: object,
) -> tuple[Transition, ...]:
    news = intake(state, entries)
    last = entries[-1].number if entries else 0
    return decide(
        state,
        news,
        commands,
        task(now_ms=now_ms, consumed_to=last, **fields),
        mint=minted(),
    )


def schedule(activity_id: str = "1", **fields: object) -> ScheduleActivityTask:
    return ScheduleActivityTask(
        **{  # type: ignore[arg-type]  # fields of the Struct
            "activity_id": activity_id,
            "activity_type": "pay",
            "task_queue": "orders",
            "start_to_close_timeout_ms": 10_000,
            **fields,
        }
    )


def attempt(number: int = 1) -> AttemptStarted:
    return AttemptStarted(attempt=number, time_ms=T0, identity="worker")
