"""Children and acts on other workflows on the core alone: what comes together, what comes late,
and what a change of the code is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.core.relations import child_run_id
from orchestrator.exceptions import ApplicationError, ChildWorkflowError, FailureError
from orchestrator.replay.facts import Commands, TaskFailure
from orchestrator.wire import inbox
from orchestrator.workflow import ChildWorkflowCancellationType as Cancellation
from tests.replay.driver import CONVERTER, WORKFLOW, Driven, kinds, workflow_of


def child_of(driven: Driven) -> dict[str, Any]:  # Any: fields of news of a child
    """Names the oldest pending child."""
    event_id, child = next(iter(driven.state.children.items()))
    run_id = child_run_id(WORKFLOW, driven.run_id, event_id, child.initiated)
    return {"run_id": driven.run_id, "initiated_event_id": event_id, "child_run_id": run_id}


def begun(driven: Driven) -> inbox.ChildStarted:
    return inbox.ChildStarted(**child_of(driven))


def returned(driven: Driven, value: object) -> inbox.ChildCompleted:
    (payload,) = CONVERTER.to_payloads([value])
    child = child_of(driven)
    return inbox.ChildCompleted(**child, last_run_id=child["child_run_id"], result=payload)


def canceled(driven: Driven) -> inbox.ChildCanceled:
    child = child_of(driven)
    return inbox.ChildCanceled(**child, last_run_id=child["child_run_id"])


def answered(driven: Driven, kind: type[Any], *, place: int = 0) -> Any:  # Any: an answer
    event_id = list(driven.state.externals)[place]
    return kind(run_id=driven.run_id, initiated_event_id=event_id)


@workflow_of
async def one_child(self, kind: int) -> str:
    try:
        return await workflow.execute_child_workflow(
            "Pack", id="pack", result_type=str, cancellation_type=Cancellation(kind)
        )
    except ChildWorkflowError as error:
        return f"{type(error.cause).__name__} {error.started_event_id > 0}"


def test_the_end_of_a_child_implies_its_start_and_a_later_start_is_void() -> None:
    driven = Driven(one_child, Cancellation.TRY_CANCEL)
    driven.step()
    late = begun(driven)
    driven.step(returned(driven, "packed"))
    assert driven.result() == "packed"
    types = [event.type for event in driven.history]
    assert types[5:7] == ["ChildWorkflowExecutionStarted", "ChildWorkflowExecutionCompleted"]
    assert late.initiated_event_id not in driven.state.children
    driven.check_replays()


def test_news_of_a_child_that_come_twice_count_once() -> None:
    driven = Driven(one_child, Cancellation.TRY_CANCEL)
    driven.step()
    news = [begun(driven), begun(driven), returned(driven, "packed"), returned(driven, "again")]
    driven.step(*news)
    assert driven.result() == "packed"
    assert [event.type for event in driven.history].count("ChildWorkflowExecutionStarted") == 1
    driven.check_replays()


def test_news_of_another_child_under_the_same_event_are_void() -> None:
    driven = Driven(one_child, Cancellation.TRY_CANCEL)
    driven.step()
    child = {**child_of(driven), "child_run_id": "of a lost time-line"}
    stranger = inbox.ChildCompleted(**child, last_run_id="x")
    assert driven.step(stranger) == ()
    assert driven.state.children
    driven.step(returned(driven, "packed"))
    assert driven.result() == "packed"


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("kind", "commands"),
    [
        (Cancellation.ABANDON, ["CancelWorkflowExecution"]),
        (
            Cancellation.TRY_CANCEL,
            ["RequestCancelExternalWorkflowExecution", "CancelWorkflowExecution"],
        ),
        (Cancellation.WAIT_CANCELLATION_REQUESTED, ["RequestCancelExternalWorkflowExecution"]),
        (Cancellation.WAIT_CANCELLATION_COMPLETED, ["RequestCancelExternalWorkflowExecution"]),
    ],
)
def test_a_cancelled_run_asks_its_child_as_the_type_says(
    kind: Cancellation, commands: list[str], started: bool
) -> None:
    driven = Driven(plain_child, kind)
    driven.step()
    if started:
        assert driven.step(begun(driven)) == ()
    found = kinds(driven.step(driven.cancel_asked()))
    if started:
        assert found == commands
    else:
        # Who waits for the start is not kept from ending: the run itself was cancelled.
        assert found == [*[one for one in commands if "Request" in one], "CancelWorkflowExecution"]
    driven.check_replays()


@workflow_of
async def plain_child(self, kind: int) -> str:
    return await workflow.execute_child_workflow(
        "Pack", id="pack", result_type=str, cancellation_type=Cancellation(kind)
    )


def test_a_wait_for_the_request_ends_when_that_is_answered_even_by_a_failure() -> None:
    for kind in (inbox.ExternalCancelRequested, inbox.ExternalCancelFailed):
        driven = Driven(plain_child, Cancellation.WAIT_CANCELLATION_REQUESTED)
        driven.step()
        driven.step(begun(driven))
        driven.step(driven.cancel_asked())
        assert kinds(driven.step(answered(driven, kind))) == ["CancelWorkflowExecution"]
        driven.check_replays()


def test_a_wait_for_the_end_gets_the_result_of_a_child_that_ends_well() -> None:
    driven = Driven(plain_child, Cancellation.WAIT_CANCELLATION_COMPLETED)
    driven.step()
    driven.step(begun(driven))
    driven.step(driven.cancel_asked())
    driven.step(answered(driven, inbox.ExternalCancelRequested))
    driven.step(returned(driven, "packed"))
    assert driven.result() == "packed"
    driven.check_replays()


def test_a_cancellation_with_the_result_of_a_child_is_not_lost() -> None:
    driven = Driven(plain_child, Cancellation.WAIT_CANCELLATION_COMPLETED)
    driven.step()
    driven.step(begun(driven))
    commands = driven.step(returned(driven, "packed"), driven.cancel_asked())
    assert kinds(commands) == ["CancelWorkflowExecution"]
    driven.check_replays()


def test_the_end_of_a_child_after_a_wait_that_was_given_up_changes_nothing() -> None:
    driven = Driven(gives_up, Cancellation.TRY_CANCEL)
    driven.step()
    driven.step(begun(driven))
    driven.step(driven.fired(1))
    assert driven.step(answered(driven, inbox.ExternalCancelRequested), canceled(driven)) == ()
    driven.step(driven.fired(2))
    assert driven.result() == "CancelledError"
    driven.check_replays()


@workflow_of
async def gives_up(self, kind: int) -> str:
    child = await workflow.start_child_workflow(
        "Pack", id="pack", cancellation_type=Cancellation(kind)
    )
    await workflow.sleep(1)
    child.cancel()
    try:
        await child
    except ChildWorkflowError as error:
        await workflow.sleep(1)
        return type(error.cause).__name__
    return ""


@workflow_of
async def sends(self) -> list[str]:
    other = workflow.get_external_workflow_handle("other")
    sending = asyncio.create_task(other.signal("hear", "text"))
    await workflow.sleep(1)
    sending.cancel()
    seen = ["on its way" if not sending.done() else "done"]
    try:
        await sending
    except asyncio.CancelledError:
        seen.append("cancelled")
    except ApplicationError as error:
        seen.append(error.type or "")
    return seen


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (inbox.ExternalSignaled, "cancelled"),
        (inbox.ExternalSignalFailed, "ExternalWorkflowExecutionNotFound"),
    ],
)
def test_a_cancellation_of_a_signal_on_its_way_is_raised_once_its_fate_is_known(
    kind: type[Any], seen: str
) -> None:
    driven = Driven(sends)
    driven.step()
    assert driven.step(driven.fired(1)) == ()
    driven.step(answered(driven, kind))
    assert driven.result() == ["on its way", seen]
    driven.check_replays()


@workflow_of
async def asks_to_cancel(self) -> str:
    other = workflow.get_external_workflow_handle("other")
    asking = asyncio.create_task(other.cancel())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    return "cancelled" if asking.cancelled() else "waited"


def test_a_request_to_cancel_is_not_taken_back() -> None:
    driven = Driven(asks_to_cancel)
    assert kinds(driven.step()) == [
        "RequestCancelExternalWorkflowExecution",
        "CompleteWorkflowExecution",
    ]
    assert driven.result() == "cancelled"
    driven.check_replays()


@workflow_of
async def many_signals(self) -> None:
    for name in ("a", "b"):
        other = workflow.get_external_workflow_handle(name)
        self.sending = [asyncio.create_task(other.signal("s", n)) for n in range(2)]
    await workflow.wait_condition(lambda: False)


def test_each_act_names_the_one_before_it_on_the_same_workflow() -> None:
    driven = Driven(many_signals)
    driven.step()
    sent = {event_id: one.initiated for event_id, one in driven.state.externals.items()}
    first_a, second_a, first_b, second_b = sent
    follows = {event_id: one.follows_event_id for event_id, one in sent.items()}
    assert follows == {first_a: 0, second_a: first_a, first_b: 0, second_b: first_b}
    driven.check_replays()


@workflow_of
async def catches(self) -> str:
    try:
        await workflow.execute_child_workflow("Pack", id="pack")
    except FailureError as error:
        return type(error).__name__
    return ""


def test_a_refused_child_is_an_error_of_its_own_kind() -> None:
    driven = Driven(catches)
    driven.step()
    driven.step(inbox.ChildStartFailed(**child_of(driven)))
    assert driven.result() == "WorkflowAlreadyStartedError"
    driven.check_replays()


@workflow_of
async def first_code(self) -> None:
    other = workflow.get_external_workflow_handle("other")
    self.signal = asyncio.create_task(other.signal("hear"))
    self.child = asyncio.create_task(workflow.execute_child_workflow("Pack", id="pack"))
    await workflow.wait_condition(lambda: False)


@workflow_of
async def other_signal(self) -> None:
    other = workflow.get_external_workflow_handle("other")
    self.signal = asyncio.create_task(other.signal("see"))
    await workflow.wait_condition(lambda: False)


@workflow_of
async def other_child(self) -> None:
    other = workflow.get_external_workflow_handle("other")
    self.signal = asyncio.create_task(other.signal("hear"))
    self.child = asyncio.create_task(workflow.execute_child_workflow("Send", id="pack"))
    await workflow.wait_condition(lambda: False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            other_signal,
            [
                "SignalExternalWorkflowExecutionInitiated 'hear' (to 'other')",
                "SignalExternalWorkflowExecution 'see' (to 'other')",
            ],
        ),
        (
            other_child,
            [
                "StartChildWorkflowExecutionInitiated 'Pack' (id 'pack')",
                "StartChildWorkflowExecution 'Send' (id 'pack')",
            ],
        ),
    ],
)
def test_a_change_of_the_code_is_told_with_both_sides(changed: type, told: list[str]) -> None:
    driven = Driven(first_code)
    driven.step()
    answer = driven.replay(changed)
    assert isinstance(answer, TaskFailure), answer
    for text in told:
        assert text in answer.failure.message
    assert driven.replay(first_code) == Commands()


@workflow_of
async def two_signals(self) -> list[str]:
    other = workflow.get_external_workflow_handle("other")
    await asyncio.gather(other.signal("first"), other.signal("second"))
    await other.signal("third")
    return ["all are there"]


def test_answers_to_signals_may_come_in_any_order() -> None:
    driven = Driven(two_signals)
    driven.step()
    first, second = driven.state.externals
    driven.step(driven.answered(second))
    driven.step(driven.answered(first))
    (third,) = driven.state.externals
    driven.step(driven.answered(third))
    assert driven.result() == ["all are there"]
    driven.check_replays()
