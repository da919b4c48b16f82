"""Children: started, ended in every way, cancelled in every way, refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from orchestrator.common import WorkflowIDReusePolicy
from orchestrator.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)
from orchestrator.testing import WorkflowEnvironment
from orchestrator.workflow import ChildWorkflowCancellationType as Cancellation
from tests.engine.relations.seen import types, waiting
from tests.engine.relations.workflows import (
    QUEUE,
    CancelsAtOnce,
    Echo,
    Knowing,
    Parent,
    Plan,
    Waiting,
    Watching,
)


async def cause_of(client: Client, plan: Plan) -> ChildWorkflowError:
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(Parent.run, plan, id="parent", task_queue=QUEUE)
    error = failed.value.cause
    assert isinstance(error, ChildWorkflowError)
    assert (error.namespace, error.workflow_id) == (client.namespace, plan.id)
    assert error.workflow_type == plan.child
    return error


async def test_a_child_returns_to_its_parent(client: Client) -> None:
    plan = Plan(args=["pizza"])
    result = await client.execute_workflow(Parent.run, plan, id="parent", task_queue=QUEUE)
    assert result == "pizza"
    assert await types(client, "parent") == [
        "WorkflowExecutionStarted",
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "ChildWorkflowExecutionCompleted",
        "WorkflowExecutionCompleted",
    ]


async def test_a_child_that_fails_shows_the_whole_chain_of_causes(client: Client) -> None:
    error = await cause_of(client, Plan("Failing"))
    assert error.initiated_event_id > 0
    assert error.started_event_id > error.initiated_event_id
    assert isinstance(error.cause, ApplicationError)
    assert (error.cause.type, error.cause.message) == ("SoldOut", "no more pizza")
    assert (list(error.cause.details), error.cause.non_retryable) == (["detail"], True)
    assert "ChildWorkflowExecutionFailed" in await types(client, "parent")


async def test_a_child_of_a_child_that_fails_is_two_links_away(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(
            "Parent",
            {"child": "Parent", "id": "middle", "args": [{"child": "Failing", "id": "low"}]},
            id="parent",
            task_queue=QUEUE,
        )
    error: Any = failed.value.cause  # Any: a chain of failures
    found = [error.workflow_id, error.cause.workflow_id, error.cause.cause.type]
    assert found == ["middle", "low", "SoldOut"]


async def test_a_child_that_is_terminated(client: Client) -> None:
    handle = await client.start_workflow(Parent.run, Plan("Waiting"), id="parent", task_queue=QUEUE)
    child = await waiting(client)
    await child.terminate("a detail", reason="no time")
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ChildWorkflowError)
    cause = failed.value.cause.cause
    assert isinstance(cause, TerminatedError)
    assert (cause.message, list(cause.details)) == ("no time", ["a detail"])


async def test_a_child_whose_time_is_over(client: Client) -> None:
    error = await cause_of(client, Plan("Waiting", run_timeout_s=2))
    assert isinstance(error.cause, TimeoutError)
    assert "ChildWorkflowExecutionTimedOut" in await types(client, "parent")


async def test_a_child_that_somebody_cancels(client: Client) -> None:
    handle = await client.start_workflow(Parent.run, Plan("Waiting"), id="parent", task_queue=QUEUE)
    await (await waiting(client)).cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ChildWorkflowError)
    assert isinstance(failed.value.cause.cause, CancelledError)


async def test_the_result_is_that_of_the_last_run_of_a_child(client: Client) -> None:
    plan = Plan("Counting", args=["3"])
    result = await client.execute_workflow(Parent.run, plan, id="parent", task_queue=QUEUE)
    assert result == ["parent", "parent", "continued"]
    assert len([run async for run in client.list_workflows(workflow_type="Counting")]) == 4


async def test_parent_and_root_are_known_at_every_depth(client: Client) -> None:
    found = await client.execute_workflow(Knowing.run, 2, id="top", task_queue=QUEUE)
    (lowest, middle, top) = found
    assert top[:2] == [None, None]
    assert middle == [top[2], top[2], middle[2]]
    assert lowest == [middle[2], top[2], lowest[2]]
    memo = await (await client.get_workflow_handle("depth-1").describe()).memo()
    assert memo == {"note": 1}


async def test_an_id_that_an_open_run_has_is_refused_in_the_workflow(client: Client) -> None:
    await client.start_workflow(Waiting.run, id="child", task_queue=QUEUE)
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(Parent.run, Plan(), id="parent", task_queue=QUEUE)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == WorkflowAlreadyStartedError.__name__
    assert await types(client, "parent") == [
        "WorkflowExecutionStarted",
        "StartChildWorkflowExecutionInitiated",
        "StartChildWorkflowExecutionFailed",
        "WorkflowExecutionFailed",
    ]


@pytest.mark.parametrize(
    ("policy", "first", "allowed"),
    [
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE, "Echo", True),
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, "Echo", False),
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, "Failing", True),
        (WorkflowIDReusePolicy.REJECT_DUPLICATE, "Failing", False),
    ],
)
async def test_a_closed_run_has_the_id_as_its_reuse_policy_says(
    client: Client, policy: WorkflowIDReusePolicy, first: str, allowed: bool
) -> None:
    try:
        await client.execute_workflow(first, id="child", task_queue=QUEUE)
    except WorkflowFailureError:
        pass
    plan = Plan(id_reuse_policy=policy)
    run = client.execute_workflow(Parent.run, plan, id="parent", task_queue=QUEUE)
    if allowed:
        assert await run == ""
    else:
        with pytest.raises(WorkflowFailureError):
            await run


async def test_a_run_that_has_the_id_may_be_replaced(client: Client) -> None:
    other = await client.start_workflow(Waiting.run, id="child", task_queue=QUEUE)
    plan = Plan(args=["new"], id_reuse_policy=WorkflowIDReusePolicy.TERMINATE_IF_RUNNING)
    result = await client.execute_workflow(Parent.run, plan, id="parent", task_queue=QUEUE)
    assert result == "new"
    with pytest.raises(WorkflowFailureError):
        await other.result()


@pytest.mark.parametrize(
    ("kind", "how", "seen", "status"),
    [
        (
            Cancellation.WAIT_CANCELLATION_COMPLETED,
            "",
            "ChildWorkflowError: CancelledError",
            WorkflowExecutionStatus.CANCELED,
        ),
        (
            Cancellation.WAIT_CANCELLATION_COMPLETED,
            "ignores",
            "result ['ignored']",
            WorkflowExecutionStatus.COMPLETED,
        ),
        (
            Cancellation.WAIT_CANCELLATION_REQUESTED,
            "slow",
            "ChildWorkflowError: CancelledError",
            WorkflowExecutionStatus.TERMINATED,
        ),
        (
            Cancellation.TRY_CANCEL,
            "slow",
            "ChildWorkflowError: CancelledError",
            WorkflowExecutionStatus.TERMINATED,
        ),
        (
            Cancellation.ABANDON,
            "",
            "ChildWorkflowError: CancelledError",
            WorkflowExecutionStatus.TERMINATED,
        ),
    ],
)
async def test_what_a_cancelled_wait_for_a_child_sees(
    client: Client,
    env: WorkflowEnvironment,
    kind: Cancellation,
    how: str,
    seen: str,
    status: WorkflowExecutionStatus,
) -> None:
    plan = Plan("Waiting", [how], cancellation_type=kind)
    handle = await client.start_workflow(Watching.run, plan, id="parent", task_queue=QUEUE)
    child = await waiting(client)
    await handle.signal(Watching.cancel_it)
    assert await handle.result() == ["cancelled", seen]
    await env.sleep(timedelta(seconds=1))
    assert (await child.describe()).status is status
    asked = "RequestCancelExternalWorkflowExecutionInitiated" in await types(client, "parent")
    assert asked is (kind is not Cancellation.ABANDON)
    cancelled = "WorkflowExecutionCancelRequested" in await types(client, "child")
    # A parent that ends at once may terminate its child before the request has arrived.
    if kind in (Cancellation.ABANDON, Cancellation.WAIT_CANCELLATION_REQUESTED):
        assert cancelled is (kind is not Cancellation.ABANDON)


@pytest.mark.parametrize("kind", list(Cancellation))
async def test_a_child_that_is_cancelled_before_its_start_was_sent_is_never_started(
    client: Client, kind: Cancellation
) -> None:
    plan = Plan("Waiting", cancellation_type=kind)
    run = client.execute_workflow(CancelsAtOnce.run, plan, id="parent", task_queue=QUEUE)
    assert await run == "CancelledError"
    assert await types(client, "parent") == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionCompleted",
    ]
    assert [run.id async for run in client.list_workflows()] == ["parent"]


async def test_the_reason_of_a_cancellation_reaches_the_child(client: Client) -> None:
    plan = Plan("Waiting", ["ignores"])
    handle = await client.start_workflow(Watching.run, plan, id="parent", task_queue=QUEUE)
    child = await waiting(client)
    await handle.signal(Watching.cancel_it)
    await handle.result()
    (asked,) = [
        event.attributes
        for event in (await child.fetch_history()).events
        if event.type == "WorkflowExecutionCancelRequested"
    ]
    assert getattr(asked, "reason", "") == "enough"


async def test_a_cancelled_parent_cancels_its_child_and_waits_for_it(client: Client) -> None:
    handle = await client.start_workflow(
        Parent.run, Plan("Waiting", ["slow"]), id="parent", task_queue=QUEUE
    )
    child = await waiting(client)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert (await child.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_a_random_id_is_the_same_on_replay(client: Client) -> None:
    plan = {"child": "Echo", "args": ["x"], "id": None}
    assert await client.execute_workflow("Parent", plan, id="parent", task_queue=QUEUE) == "x"
    (child,) = [run async for run in client.list_workflows(workflow_type="Echo")]
    assert len(child.id) == 36


async def test_a_description_shows_pending_children_and_who_the_parent_is(client: Client) -> None:
    handle = await client.start_workflow(Parent.run, Plan("Waiting"), id="parent", task_queue=QUEUE)
    child = await waiting(client)
    described = await handle.describe()
    (pending,) = described.pending_children
    assert (pending.workflow_id, pending.workflow_type) == ("child", "Waiting")
    assert pending.run_id == (await child.describe()).run_id
    assert pending.parent_close_policy == "terminate"
    of_child = await child.describe()
    assert (of_child.parent_id, of_child.root_id) == ("parent", "parent")
    assert of_child.parent_run_id == of_child.root_run_id == described.run_id
    assert (described.parent_id, described.root_id) == (None, None)
    await child.signal(Waiting.end)
    await handle.result()
    assert (await handle.describe()).pending_children == ()


async def test_an_echo_needs_no_parent(client: Client) -> None:
    assert await client.execute_workflow(Echo.run, "x", id="echo", task_queue=QUEUE) == "x"
