"""A signal or an update that goes with a start, on the embedded engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from orchestrator.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from orchestrator.exceptions import (
    ApplicationError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from orchestrator.testing import WorkflowEnvironment
from tests.engine.client.test_updates import QUEUE, Cart, client, worker_of

__all__ = ["client"]

USE, FAIL = WorkflowIDConflictPolicy.USE_EXISTING, WorkflowIDConflictPolicy.FAIL
TERMINATE = WorkflowIDConflictPolicy.TERMINATE_EXISTING


def starting(
    policy: WorkflowIDConflictPolicy = USE,
) -> WithStartWorkflowOperation[Cart, list[str]]:
    return WithStartWorkflowOperation(
        Cart.run, 1, id="cart", task_queue=QUEUE, id_conflict_policy=policy
    )


async def types(client: Client) -> list[str]:
    handle = client.get_workflow_handle("cart")
    return [event.type async for event in handle.fetch_history_events()]


# Signals ------------------------------------------------------------------------------------------


async def test_a_signal_with_a_start_is_in_the_history_before_the_first_task(
    client: Client,
) -> None:
    result = await client.execute_workflow(
        Cart.run, 1, id="cart", task_queue=QUEUE, start_signal="finish", start_signal_args=["end"]
    )
    assert result == []
    found = await types(client)
    assert found[1] == "WorkflowExecutionSignaled"
    assert found.count("WorkflowTaskStarted") == 1


async def test_an_open_run_is_signalled_and_no_other_is_started(client: Client) -> None:
    first = await client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)
    await first.execute_update(Cart.add, "cola")
    second = await client.start_workflow(
        Cart.run, 1, id="cart", task_queue=QUEUE, start_signal="finish", start_signal_args=["end"]
    )
    assert second.result_run_id == first.result_run_id
    assert await second.result() == ["cola"]


async def test_policies_that_are_given_are_heeded_by_a_signal_with_start(client: Client) -> None:
    first = await client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(
            Cart.run,
            1,
            id="cart",
            task_queue=QUEUE,
            start_signal="finish",
            id_conflict_policy=FAIL,
        )
    second = await client.start_workflow(
        Cart.run,
        1,
        id="cart",
        task_queue=QUEUE,
        start_signal="finish",
        start_signal_args=["end"],
        id_conflict_policy=TERMINATE,
    )
    assert await second.result() == []
    with pytest.raises(WorkflowFailureError) as caught:
        await first.result()
    assert isinstance(caught.value.cause, TerminatedError)
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(
            Cart.run,
            1,
            id="cart",
            task_queue=QUEUE,
            start_signal="finish",
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )


async def test_a_repeated_request_signals_once(client: Client) -> None:
    for _ in range(2):
        await client.start_workflow(
            Cart.run, 1, id="cart", task_queue=QUEUE, request_id="r1", start_signal="unknown"
        )
    for _ in range(2):
        await client.start_workflow(
            Cart.run, 1, id="cart", task_queue=QUEUE, request_id="r2", start_signal="unknown"
        )
    assert await client.get_workflow_handle("cart").execute_update("add", "cola") == 1
    assert (await types(client)).count("WorkflowExecutionSignaled") == 2


async def test_a_signal_with_start_does_not_end_the_delay_and_a_later_one_does(
    env: WorkflowEnvironment,
) -> None:
    async with worker_of(env):
        with env.auto_time_skipping_disabled():
            handle = await env.client.start_workflow(
                Cart.run,
                1,
                id="cart",
                task_queue=QUEUE,
                start_delay=timedelta(days=1),
                start_signal="unknown",
            )
            await asyncio.sleep(0.02)
            assert await types(env.client) == ["WorkflowExecutionStarted"]
            await handle.signal(Cart.finish, "end")
            assert await handle.result() == []


async def test_a_run_that_has_fallen_behind_takes_no_signal_with_a_start(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory.store_runs", "redis.runs", "redis.answers"):
        monkeypatch.setattr(f"orchestrator.adapters.{module}.INBOX_ENTRIES_MAX", 1)
    await env.client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)
    with pytest.raises(RPCError) as caught:
        await env.client.start_workflow(
            Cart.run, 1, id="cart", task_queue=QUEUE, start_signal="finish"
        )
    assert caught.value.status is RPCStatusCode.RESOURCE_EXHAUSTED


# Updates ------------------------------------------------------------------------------------------


async def test_an_update_with_a_start_is_in_the_first_task_of_a_new_run(client: Client) -> None:
    operation = starting()
    count = await client.execute_update_with_start_workflow(
        Cart.add, "cola", start_workflow_operation=operation
    )
    assert count == 1
    found = await types(client)
    assert found[4:6] == ["WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"]
    assert found.count("WorkflowTaskStarted") == 1
    handle = await operation.workflow_handle()
    await handle.signal(Cart.finish, "end")
    assert await handle.result() == ["cola"]


async def test_an_open_run_gets_the_update(client: Client) -> None:
    first = await client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)
    operation = starting()
    update = await client.start_update_with_start_workflow(
        Cart.fetch,
        "pizza",
        start_workflow_operation=operation,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
    )
    assert update.workflow_run_id == first.result_run_id
    assert (await operation.workflow_handle()).result_run_id == first.result_run_id
    assert await update.result() == "pizza fetched"


async def test_the_conflict_policy_is_heeded(client: Client) -> None:
    await client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)
    operation = starting(FAIL)
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.execute_update_with_start_workflow(
            Cart.add, "cola", start_workflow_operation=operation
        )
    with pytest.raises(WorkflowAlreadyStartedError):
        await operation.workflow_handle()
    replaced = starting(TERMINATE)
    assert (
        await client.execute_update_with_start_workflow(
            Cart.add, "cola", start_workflow_operation=replaced
        )
        == 1
    )
    first = (await replaced.workflow_handle()).first_execution_run_id
    assert first == (await client.get_workflow_handle("cart").describe()).run_id


async def test_an_operation_needs_a_policy_and_is_good_for_one_call(client: Client) -> None:
    with pytest.raises(ValueError, match="id_conflict_policy"):
        WithStartWorkflowOperation(Cart.run, 1, id="cart", task_queue=QUEUE)
    with pytest.raises(ValueError, match="start_signal"):
        WithStartWorkflowOperation(
            Cart.run,
            1,
            id="cart",
            task_queue=QUEUE,
            id_conflict_policy=USE,
            start_signal="finish",
        )
    operation = starting()
    for used in (False, True):
        call = client.execute_update_with_start_workflow(
            Cart.add, "cola", start_workflow_operation=operation
        )
        if used:
            with pytest.raises(RuntimeError, match="one call"):
                await call
        else:
            await call


async def test_a_rejected_update_leaves_the_run_that_was_started_for_it(client: Client) -> None:
    operation = starting()
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await client.execute_update_with_start_workflow(
            "unknown", start_workflow_operation=operation
        )
    assert isinstance(caught.value.cause, ApplicationError)
    handle = await operation.workflow_handle()
    await handle.signal(Cart.finish, "end")
    assert await handle.result() == []
    assert not [one for one in await types(client) if "Update" in one]


async def test_a_known_update_is_found_also_in_a_closed_run_if_it_is_completed(
    client: Client,
) -> None:
    for _ in range(2):
        count = await client.execute_update_with_start_workflow(
            Cart.add, "cola", id="u1", start_workflow_operation=starting()
        )
        assert count == 1
    handle = client.get_workflow_handle("cart")
    await handle.signal("finish", "end")
    assert await handle.result() == ["cola"]
    assert (
        await client.execute_update_with_start_workflow(
            Cart.add, "cola", id="u1", start_workflow_operation=starting()
        )
        == 1
    )
    assert (await handle.describe()).close_time is not None
    other = await client.execute_update_with_start_workflow(
        Cart.add, "tea", id="u2", start_workflow_operation=starting()
    )
    assert other == 1
    assert (await handle.describe()).close_time is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_an_update_that_a_closed_run_left_unfinished_starts_a_new_run(
    client: Client,
) -> None:
    first = await client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)
    await first.start_update(Cart.stay, id="u1", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await first.signal(Cart.finish, "end")
    await first.result()
    operation = starting()
    update = await client.start_update_with_start_workflow(
        Cart.stay,
        id="u1",
        start_workflow_operation=operation,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
    )
    assert update.workflow_run_id != first.result_run_id


@pytest.mark.memory_only("servers may take longer than its time-out to hear of the start")
async def test_a_time_out_leaves_run_and_update(env: WorkflowEnvironment) -> None:
    operation = starting()
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await env.client.execute_update_with_start_workflow(
            Cart.add,
            "cola",
            id="u1",
            start_workflow_operation=operation,
            rpc_timeout=timedelta(milliseconds=30),
        )
    handle = await operation.workflow_handle()
    async with worker_of(env):
        assert await handle.execute_update(Cart.add, "cola", id="u1") == 1
        await handle.signal(Cart.finish, "end")
        assert await handle.result() == ["cola"]
