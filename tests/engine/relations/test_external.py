"""Signals to other workflows and requests to cancel them."""

from __future__ import annotations

import pytest

from orchestrator.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from orchestrator.testing import WorkflowEnvironment
from tests.engine.conftest import a_while
from tests.engine.relations.seen import ended, types, waiting
from tests.engine.relations.workflows import (
    QUEUE,
    Canceller,
    Restless,
    Sender,
    SendsAndEnds,
    SignalsItsChild,
    SignalsItself,
    TakesBack,
    Waiting,
)

TEXTS = [f"{number}" for number in range(25)]


async def test_signals_that_nobody_waits_for_in_turn_arrive_in_the_order_of_the_code(
    client: Client,
) -> None:
    other = await client.start_workflow(Waiting.run, id="other", task_queue=QUEUE)
    seen = await client.execute_workflow(
        Sender.run, args=["other", TEXTS], id="sender", task_queue=QUEUE
    )
    assert seen == ["None"] * len(TEXTS)
    assert await other.result() == TEXTS
    names = await types(client, "sender")
    assert names.count("SignalExternalWorkflowExecutionInitiated") == len(TEXTS) + 1
    assert names.count("ExternalWorkflowExecutionSignaled") == len(TEXTS) + 1


async def test_a_signal_to_nobody_is_an_error_where_it_is_waited_for(client: Client) -> None:
    seen = await client.execute_workflow(
        Sender.run, args=["other", ["a"]], id="sender", task_queue=QUEUE
    )
    assert seen == [
        "ExternalWorkflowExecutionNotFound: cannot signal workflow 'other': no run is open",
        "ApplicationError",
    ]
    assert "SignalExternalWorkflowExecutionFailed" in await types(client, "sender")


async def test_a_signal_to_a_run_that_is_closed_finds_nobody(client: Client) -> None:
    await client.execute_workflow("Echo", id="other", task_queue=QUEUE)
    seen = await client.execute_workflow(
        Sender.run, args=["other", []], id="sender", task_queue=QUEUE
    )
    assert "no run is open" in seen[0]


async def test_signals_sent_in_the_last_task_arrive_all_the_same(
    client: Client, env: WorkflowEnvironment
) -> None:
    other = await client.start_workflow(Waiting.run, id="other", task_queue=QUEUE)
    await client.execute_workflow(
        SendsAndEnds.run, args=["other", TEXTS], id="sender", task_queue=QUEUE
    )
    await a_while(env)
    await other.signal(Waiting.end)
    assert await other.result() == TEXTS


async def test_another_workflow_is_cancelled_with_the_reason(client: Client) -> None:
    other = await client.start_workflow(Waiting.run, id="other", task_queue=QUEUE)
    seen = await client.execute_workflow(Canceller.run, "other", id="c", task_queue=QUEUE)
    assert seen == "asked"
    assert await ended(client, "other") is WorkflowExecutionStatus.CANCELED
    asked = (await other.fetch_history()).events
    assert [e.attributes.reason for e in asked if "CancelRequested" in e.type] == ["enough"]  # type: ignore[union-attr]  # of that event
    assert await types(client, "c") == [
        "WorkflowExecutionStarted",
        "RequestCancelExternalWorkflowExecutionInitiated",
        "ExternalWorkflowExecutionCancelRequested",
        "WorkflowExecutionCompleted",
    ]


async def test_nobody_can_be_cancelled_who_is_not_there(client: Client) -> None:
    seen = await client.execute_workflow(Canceller.run, "other", id="c", task_queue=QUEUE)
    assert seen.startswith("ExternalWorkflowExecutionNotFound: cannot cancel workflow 'other'")
    assert "RequestCancelExternalWorkflowExecutionFailed" in await types(client, "c")


async def test_a_handle_with_a_run_id_means_that_run_only(client: Client) -> None:
    other = await client.start_workflow(Waiting.run, id="other", task_queue=QUEUE)
    seen = await client.execute_workflow(
        Canceller.run, args=["other", "another-run"], id="c1", task_queue=QUEUE
    )
    assert seen.startswith("ExternalWorkflowExecutionNotFound")
    run_id = (await other.describe()).run_id
    seen = await client.execute_workflow(
        Canceller.run, args=["other", run_id], id="c2", task_queue=QUEUE
    )
    assert seen == "asked"
    with pytest.raises(WorkflowFailureError):
        await other.result()


async def test_a_signal_that_is_cancelled_in_its_own_task_was_never_sent(client: Client) -> None:
    other = await client.start_workflow(Waiting.run, id="other", task_queue=QUEUE)
    seen = await client.execute_workflow(TakesBack.run, "other", id="t", task_queue=QUEUE)
    assert seen == "taken back"
    assert await other.result() == []


async def test_a_child_is_signalled_through_its_handle(client: Client) -> None:
    result = await client.execute_workflow(
        SignalsItsChild.run, TEXTS[:5], id="parent", task_queue=QUEUE
    )
    assert result == TEXTS[:5]


async def test_a_workflow_may_signal_itself(client: Client) -> None:
    assert await client.execute_workflow(SignalsItself.run, id="self", task_queue=QUEUE) == ["hi"]


async def test_a_signal_follows_a_workflow_that_continues_as_new(client: Client) -> None:
    await client.start_workflow(Restless.run, 3, id="other", task_queue=QUEUE)
    seen = await client.execute_workflow(
        SendsAndEnds.run, args=["other", ["x"]], id="sender", task_queue=QUEUE
    )
    assert seen is None
    handle = client.get_workflow_handle_for(Restless.run, "other")
    assert await handle.result() == ["x"]


async def test_signals_of_several_senders_all_arrive(client: Client) -> None:
    other = await client.start_workflow(Waiting.run, id="other", task_queue=QUEUE)
    for sender in range(3):
        await client.execute_workflow(
            SendsAndEnds.run,
            args=["other", [f"{sender}-{n}" for n in range(3)]],
            id=f"sender-{sender}",
            task_queue=QUEUE,
        )
    handle = await waiting(client, "other")
    for _ in range(100_000):
        if (await types(client, "other")).count("WorkflowExecutionSignaled") == 9:
            break
        await handle.describe()
    await other.signal(Waiting.end)
    heard = await other.result()
    for sender in range(3):
        mine = [text for text in heard if text.startswith(f"{sender}-")]
        assert mine == [f"{sender}-{n}" for n in range(3)]
