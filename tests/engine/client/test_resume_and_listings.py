"""A stalled run is looked at now when asked for; listings are filtered and counted."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator.client import Client, WorkflowExecutionStatus
from orchestrator.exceptions import InvalidNameError, RPCError, RPCStatusCode
from orchestrator.ids import WorkflowId
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.engine.client.workflows import Counter

HOUR_MS = 3_600_000


async def test_a_run_in_a_long_back_off_is_looked_at_now() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        handle = await client.start_workflow("Counter", 0, id="c", task_queue="q")
        await asyncio.sleep(0)  # Its wake-up goes to a queue that nobody has made.
        await client.services.store.hand_back(WorkflowId("c"), delay_ms=HOUR_MS)
        async with Worker(client, task_queue="q", workflows=[Counter]):
            with pytest.raises(RPCError):
                await handle.result(rpc_timeout=timedelta(seconds=0.1))
            await handle.resume()
            assert await handle.result(rpc_timeout=timedelta(seconds=5)) == "done"


async def test_a_closed_run_is_not_resumed(client: Client) -> None:
    handle = await client.start_workflow("Counter", 0, id="c", task_queue="orders")
    await handle.result()
    with pytest.raises(RPCError) as caught:
        await handle.resume()
    assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_listings_are_filtered_and_limited_over_pages(env: WorkflowEnvironment) -> None:
    for number in range(5):
        await env.client.start_workflow("Order", id=f"o{number}", task_queue="q")
    await env.client.start_workflow("Other", id="x", task_queue="r")
    await env.client.get_workflow_handle("o3").terminate()

    async def ids(**wanted: object) -> set[str]:
        return {run.id async for run in env.client.list_workflows(**wanted)}  # type: ignore[arg-type]  # any of them

    assert len(await ids()) == 6
    assert await ids(workflow_type="Other") == {"x"}
    assert await ids(task_queue="r") == {"x"}
    assert await ids(status=WorkflowExecutionStatus.TERMINATED) == {"o3"}
    assert len(await ids(limit=4)) == 4
    with pytest.raises(InvalidNameError):
        await ids(task_queue="a b")


async def test_runs_are_counted_by_status(env: WorkflowEnvironment) -> None:
    for number in range(2):
        await env.client.start_workflow("Order", id=f"o{number}", task_queue="q")
    await env.client.get_workflow_handle("o1").terminate()
    counts = await env.client.count_workflows()
    assert counts[WorkflowExecutionStatus.RUNNING] == 1
    assert counts[WorkflowExecutionStatus.TERMINATED] == 1
