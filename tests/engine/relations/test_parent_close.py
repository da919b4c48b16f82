"""What becomes of children when their parent's run closes, in whatever way."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.workflow import ParentClosePolicy
from tests.engine.conftest import a_while
from tests.engine.relations.seen import ended, types, waiting
from tests.engine.relations.workflows import QUEUE, Plan, Restless, Starting, Waiting

STATUS = {
    ParentClosePolicy.TERMINATE: WorkflowExecutionStatus.TERMINATED,
    ParentClosePolicy.REQUEST_CANCEL: WorkflowExecutionStatus.CANCELED,
    ParentClosePolicy.UNSPECIFIED: WorkflowExecutionStatus.TERMINATED,
}


async def close(client: Client, how: str, policy: ParentClosePolicy) -> None:
    """Let a parent of one waiting child close in this way."""
    plan = Plan("Waiting", parent_close_policy=policy)
    waits = how in ("terminated", "timed out", "cancelled")
    handle = await client.start_workflow(
        Starting.run,
        args=[plan, "waits" if waits else how],
        id="parent",
        task_queue=QUEUE,
        run_timeout=timedelta(seconds=2) if how == "timed out" else None,
    )
    if waits:
        await waiting(client)
    if how == "terminated":
        await handle.terminate()
    elif how == "cancelled":
        await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError:
        pass


@pytest.mark.parametrize("policy", list(STATUS))
@pytest.mark.parametrize(
    "how", ["completes", "fails", "again", "cancelled", "terminated", "timed out"]
)
async def test_the_policy_is_carried_out_after_every_kind_of_close(
    client: Client, how: str, policy: ParentClosePolicy
) -> None:
    await close(client, how, policy)
    assert await ended(client) is STATUS[policy]


@pytest.mark.parametrize("how", ["completes", "fails", "again", "terminated", "timed out"])
async def test_an_abandoned_child_goes_on(
    client: Client, env: WorkflowEnvironment, how: str
) -> None:
    await close(client, how, ParentClosePolicy.ABANDON)
    await a_while(env)
    child = await waiting(client)
    assert (await child.describe()).status is WorkflowExecutionStatus.RUNNING
    await child.signal(Waiting.end)
    assert await child.result() == []


@pytest.mark.parametrize("policy", list(STATUS))
async def test_a_child_asked_for_in_the_last_task_is_never_started(
    client: Client, env: WorkflowEnvironment, policy: ParentClosePolicy
) -> None:
    await close(client, "at once", policy)
    await a_while(env)
    assert [run.id async for run in client.list_workflows()] == ["parent"]
    assert await types(client, "parent") == [
        "WorkflowExecutionStarted",
        "StartChildWorkflowExecutionInitiated",
        "WorkflowExecutionCompleted",
    ]


async def test_an_abandoned_child_asked_for_in_the_last_task_is_started(client: Client) -> None:
    await close(client, "at once", ParentClosePolicy.ABANDON)
    child = await waiting(client)
    await child.signal(Waiting.end)
    assert await child.result() == []


async def test_a_child_that_has_continued_as_new_is_met_in_its_newest_run(
    client: Client, env: WorkflowEnvironment
) -> None:
    plan = Plan("Restless", [3])
    await client.start_workflow(Starting.run, args=[plan, "waits"], id="parent", task_queue=QUEUE)
    child = client.get_workflow_handle_for(Restless.run, "child")
    for _ in range(100_000):
        runs = [run async for run in client.list_workflows(workflow_type="Restless")]
        if len(runs) == 4:
            break
        await asyncio.sleep(0)
    assert len(runs) == 4
    newest = [run.run_id for run in runs if run.status is WorkflowExecutionStatus.RUNNING]
    await client.get_workflow_handle("parent").terminate()
    assert await ended(client) is WorkflowExecutionStatus.TERMINATED
    assert [(await child.describe()).run_id] == newest


async def test_a_run_that_got_the_id_of_an_ended_child_is_left_alone(
    client: Client, env: WorkflowEnvironment
) -> None:
    plan = Plan("Waiting")
    parent = await client.start_workflow(
        Starting.run, args=[plan, "waits"], id="parent", task_queue=QUEUE
    )
    await (await waiting(client)).terminate()
    await env.sleep(timedelta(seconds=1))
    other = await client.start_workflow(Waiting.run, id="child", task_queue=QUEUE)
    await parent.terminate()
    await a_while(env)
    assert (await other.describe()).status is WorkflowExecutionStatus.RUNNING
    await other.signal(Waiting.end)
    await other.result()


async def test_children_of_children_end_with_the_top(client: Client) -> None:
    middle = {"child": "Waiting", "id": "low"}
    await client.start_workflow(
        "Parent",
        {"child": "Parent", "id": "middle", "args": [middle]},
        id="parent",
        task_queue=QUEUE,
    )
    await waiting(client, "low")
    await client.get_workflow_handle("parent").terminate()
    assert await ended(client, "middle") is WorkflowExecutionStatus.TERMINATED
    assert await ended(client, "low") is WorkflowExecutionStatus.TERMINATED
