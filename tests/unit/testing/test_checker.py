"""Who judges histories: possible ones pass, and each rule says what breaks it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from orchestrator.testing.checker.history import check_history
from orchestrator.testing.checker.operations import (
    Answer,
    Operation,
    OperationKind,
    check_operations,
)
from orchestrator.testing.checker.workflows import RunName, check_workflows
from orchestrator.wire import events as e
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import EventAttributes, HistoryEvent, ParentExecution

STARTED = e.WorkflowExecutionStarted(workflow_type="Order", task_queue="orders", first_run_id="a")
PARENT, CHILD = RunName("order", "a"), RunName("parcel", "c")


def history(*attributes: EventAttributes, time_ms: int = 1_000) -> list[HistoryEvent]:
    """One event a second."""
    return [
        HistoryEvent(event_id=number, time_ms=time_ms + number * 1_000, attributes=one)
        for number, one in enumerate(attributes, start=1)
    ]


def task(first: int, commands: int = 0) -> tuple[EventAttributes, ...]:
    """A workflow task whose first event is number `first`."""
    return (
        e.WorkflowTaskScheduled(task_queue="orders"),
        e.WorkflowTaskStarted(scheduled_event_id=first),
        e.WorkflowTaskCompleted(
            scheduled_event_id=first, started_event_id=first + 1, command_count=commands
        ),
    )


ORDER = history(
    STARTED,
    *task(2, 4),
    e.ActivityTaskScheduled(
        activity_id="1", activity_type="pay", task_queue="orders", task_completed_event_id=4
    ),
    e.TimerStarted(timer_id="2", start_to_fire_ms=3_000, task_completed_event_id=4),
    r.StartChildWorkflowExecutionInitiated(
        workflow_id="parcel", workflow_type="Parcel", task_queue="q", task_completed_event_id=4
    ),
    r.SignalExternalWorkflowExecutionInitiated(
        workflow_id="other", signal_name="hello", task_completed_event_id=4
    ),
    e.WorkflowExecutionSignaled(signal_name="hurry", operation_id="s1"),
    e.ActivityTaskStarted(scheduled_event_id=5),
    e.ActivityTaskCompleted(scheduled_event_id=5, started_event_id=10),
    e.TimerFired(timer_id="2", started_event_id=6),
    r.ChildWorkflowExecutionStarted(
        initiated_event_id=7, workflow_id="parcel", run_id="c", workflow_type="Parcel"
    ),
    r.ExternalWorkflowExecutionSignaled(initiated_event_id=8, workflow_id="other"),
    r.ChildWorkflowExecutionCompleted(
        initiated_event_id=7,
        started_event_id=13,
        workflow_id="parcel",
        run_id="c",
        workflow_type="Parcel",
    ),
    *task(16, 3),
    e.WorkflowExecutionUpdateAccepted(update_id="u", update_name="put", sequencing_event_id=15),
    e.WorkflowExecutionUpdateCompleted(update_id="u", accepted_event_id=19),
    e.WorkflowExecutionCompleted(task_completed_event_id=18),
)
PARCEL = history(
    replace(
        STARTED,
        workflow_type="Parcel",
        first_run_id="c",
        parent=ParentExecution(workflow_id="order", run_id="a", initiated_event_id=7),
    ),
    *task(2, 1),
    e.WorkflowExecutionCompleted(task_completed_event_id=4),
    time_ms=5_000,
)


def changed(number: int, **changes: object) -> list[HistoryEvent]:
    """The order with one event's attributes changed."""
    events = list(ORDER)
    attributes = replace(events[number - 1].attributes, **changes)
    events[number - 1] = replace(events[number - 1], attributes=attributes)
    return events


def again(number: int, *, behind: int) -> list[HistoryEvent]:
    """The order with one event once more; what is behind it is cut off."""
    once_more = replace(ORDER[number - 1], event_id=behind + 1, time_ms=ORDER[behind - 1].time_ms)
    return [*ORDER[:behind], once_more]


def without(number: int) -> list[HistoryEvent]:
    """The order up to one event and its follower, numbered as if it had never been there."""
    follower = replace(ORDER[number], event_id=number)
    return [*ORDER[: number - 1], follower]


def test_a_history_and_each_of_its_prefixes_is_possible() -> None:
    assert check_history(ORDER) == check_history(PARCEL) == ()
    for last in range(1, len(ORDER)):
        if last != 10:  # An activity's start and end are one write.
            assert check_history(ORDER[:last]) == ()


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([], "no event at all"),
        (ORDER[1:], "stands where event 1 belongs"),
        (ORDER[:10], "the end of its activity is missing"),
        ([*ORDER[:8], replace(ORDER[8], time_ms=1)], "older than the event before"),
        (again(9, behind=21), "after the end of the run, event 21"),
        (again(1, behind=9), "a run's start is its first event"),
        (again(2, behind=2), "the task of event 2 has not ended"),
        (without(2), "names task 2, but task 0 waits to be started"),
        (without(3), "names task 2, started by 3; under way is 2, started by 0"),
        (without(8), "stands among the commands of task 4"),
        (without(20), "1 commands of its task are missing"),
        (again(9, behind=17), "stands inside of task 16"),
        (again(5, behind=8), "task 4 did not ask for it"),
        (changed(5, task_completed_event_id=3), "names task 3, stands in 4"),
        (changed(9, operation_id="s1")[:9] + again(9, behind=9)[9:], "is event 9 once more"),
        (changed(10, scheduled_event_id=6), "event 6 is no ActivityTaskScheduled"),
        (changed(11, scheduled_event_id=4), "event 4 did not schedule an activity"),
        (changed(11, started_event_id=9), "names start 9, which is not the event before"),
        (without(10), "nobody began what was completed"),
        (
            [*ORDER[:10], replace(ORDER[11], event_id=11)],
            "stands between an activity's start, event 10, and its end",
        ),
        (
            [
                *ORDER[:9],
                replace(
                    ORDER[9],
                    attributes=e.ActivityTaskCanceled(scheduled_event_id=5, started_event_id=0),
                ),
            ],
            "nobody asked to cancel activity 5",
        ),
        (changed(12, started_event_id=5), "event 5 did not start a timer"),
        (changed(12, timer_id="3"), "started timer '2', not '3'"),
        (changed(6, start_to_fire_ms=9_000), "fired 3000 ms before its time"),
        (again(12, behind=12), "event 6 was answered by event 12 already"),
        (again(13, behind=15), "child 7 was started, or had ended, before"),
        (changed(13, workflow_id="x"), "event 7 asked for 'parcel', not this child"),
        (changed(15, started_event_id=12), "event 12 is not the start of child 7"),
        (changed(14, initiated_event_id=7), "is no SignalExternalWorkflowExecutionInitiated"),
        (changed(8, follows_event_id=7), "event 7 is no SignalExternal"),
        (changed(8, child_initiated_event_id=5), "event 5 did not ask for a child"),
        (changed(18, patches=("p",)), "markers of patches are missing: ['p']"),
        (changed(19, sequencing_event_id=20), "came after event 20, which is not before it"),
        (changed(20, accepted_event_id=18), "update 'u' was not accepted by that event"),
    ],
)
def test_a_broken_rule_is_told(events: list[HistoryEvent], complaint: str) -> None:
    complaints = check_history(events)
    assert any(complaint in one for one in complaints), complaints


RUNS = {PARENT: ORDER, CHILD: PARCEL}


def test_runs_that_agree_are_right() -> None:
    assert check_workflows(RUNS, is_quiet=True) == ()


def continued(new_run_id: str) -> list[HistoryEvent]:
    end = e.WorkflowExecutionContinuedAsNew(
        new_run_id=new_run_id, workflow_type="Order", task_queue="q", task_completed_event_id=4
    )
    return history(STARTED, *task(2, 1), end)


NEXT = history(replace(STARTED, continued_run_id="a"), time_ms=9_000)


@pytest.mark.parametrize(
    ("runs", "complaint"),
    [
        ({PARENT: ORDER[1:], CHILD: PARCEL}, "order (run a): does not begin with its start"),
        ({PARENT: continued("b")}, "names b as what follows, there is []"),
        ({RunName("order", "b"): NEXT}, "follows run a, which there is not"),
        ({PARENT: ORDER[:4], RunName("order", "b"): NEXT}, "which does not name it"),
        ({PARENT: ORDER[:4], RunName("order", "b"): NEXT}, "began while order (run a) was open"),
        (
            {
                PARENT: continued("b"),
                RunName("order", "b"): history(
                    replace(STARTED, continued_run_id="a", first_run_id="z"), time_ms=9_000
                ),
            },
            "its chain began with a, not z",
        ),
        (
            {
                PARENT: continued("b"),
                RunName("order", "b"): [*NEXT, *ORDER[8:9]],
            }
            | {RunName("order", "x"): ORDER[:9]},
            "'s1' arrived before",
        ),
        ({PARENT: ORDER}, "event 13: there is no child c"),
        ({PARENT: ORDER, CHILD: PARCEL[:4]}, "event 15: its child did not end so"),
        ({CHILD: PARCEL}, "did not ask for it by event 7"),
        ({PARENT: ORDER[:12], CHILD: PARCEL}, "is open and was not told of its start"),
        ({PARENT: ORDER[:14], CHILD: PARCEL}, "which is open, was not told"),
        (
            {PARENT: changed(7, workflow_id="x"), CHILD: PARCEL},
            "parcel (run c): order (run a) asked for 'x' instead",
        ),
    ],
)
def test_runs_that_do_not_agree_are_told(
    runs: dict[RunName, list[HistoryEvent]], complaint: str
) -> None:
    complaints = check_workflows(runs, is_quiet=True)
    assert any(complaint in one for one in complaints), complaints


def operation(
    key: str, answer: Answer, kind: OperationKind = OperationKind.SIGNAL, at_us: int = 0
) -> Operation:
    return Operation(
        kind=kind, workflow_id="order", key=key, answer=answer, from_us=at_us, to_us=at_us + 1
    )


SENT_TWICE = {PARENT: [*ORDER, replace(ORDER[8], event_id=22)]}


@pytest.mark.parametrize(
    ("one", "complaint"),
    [
        (operation("s1", Answer.DONE), "was answered, and happened 2 times"),
        (operation("s2", Answer.DONE), "was answered, and happened 0 times"),
        (operation("s1", Answer.REFUSED), "was refused, and happened 2 times"),
        (operation("s1", Answer.UNKNOWN), "nobody knows of it, and it happened 2 times"),
        (operation("b", Answer.DONE, OperationKind.START), "happened 0 times"),
        (operation("c1", Answer.DONE, OperationKind.CANCEL), "happened 0 times"),
        (operation("u", Answer.REFUSED, OperationKind.UPDATE), "happened 1 times"),
    ],
)
def test_what_happened_is_what_clients_were_told(one: Operation, complaint: str) -> None:
    (found,) = check_operations([one], SENT_TWICE)
    assert complaint in found


def test_what_nobody_knows_may_have_happened_or_not() -> None:
    log = [operation("s1", Answer.UNKNOWN), operation("s2", Answer.UNKNOWN)]
    assert check_operations(log, RUNS) == ()


def test_signals_arrive_in_the_order_in_which_they_were_sent() -> None:
    signals = [e.WorkflowExecutionSignaled(signal_name="x", operation_id=key) for key in "ab"]
    runs = {PARENT: history(STARTED, *signals)}
    first, second = (operation(key, Answer.DONE, at_us=at) for key, at in (("a", 0), ("b", 5)))
    assert check_operations([second, first], runs) == ()
    late = operation("a", Answer.DONE, at_us=9)
    assert check_operations([late, second], runs) == ("signal 'b' of order: arrived after 'a'",)
    together = operation("a", Answer.DONE, at_us=6)
    assert check_operations([together, second], runs) == ()
