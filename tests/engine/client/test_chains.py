"""Retries, schedules and delays from a client's side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from orchestrator.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import (
    ApplicationError,
    CancelledError,
    RPCError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.engine.client.chains import QUEUE, WORKFLOWS, Continuing, Counting, Stubborn, Waiting

POLICY = RetryPolicy(initial_interval=timedelta(milliseconds=50))
HOUR = timedelta(hours=1)
NEVER = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS):
        yield env.client


async def runs_of(client: Client, workflow_id: str) -> list[Any]:
    """The runs of the id, oldest first."""
    runs = [run async for run in client.list_workflows() if run.id == workflow_id]
    return sorted(runs, key=lambda run: (run.start_time, run.close_time or NEVER))


async def test_a_failed_workflow_is_tried_again_under_its_policy(client: Client) -> None:
    handle = await client.start_workflow(
        Stubborn.run, "no", id="s", task_queue=QUEUE, retry_policy=POLICY
    )
    assert await handle.result() == [3, "no 2", True]
    runs = await runs_of(client, "s")
    statuses = [run.status.name for run in runs]
    assert statuses == ["FAILED", "FAILED", "COMPLETED"]
    gaps = [later.start_time - run.close_time for run, later in pairwise(runs)]
    assert all(abs(gap) < timedelta(seconds=1) for gap in gaps)
    first = await client.get_workflow_handle("s", run_id=handle.first_execution_run_id).describe()
    assert first.status is WorkflowExecutionStatus.FAILED


async def test_a_handle_that_does_not_follow_sees_the_first_failure(client: Client) -> None:
    handle = await client.start_workflow(
        Stubborn.run, "no", id="s", task_queue=QUEUE, retry_policy=POLICY
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result(follow_runs=False)
    assert isinstance(caught.value.cause, ApplicationError)
    assert str(caught.value.cause) == "no 1"


async def test_the_last_attempt_that_fails_is_the_result(client: Client) -> None:
    policy = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2)
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(
            Stubborn.run, "no", id="s", task_queue=QUEUE, retry_policy=policy
        )
    assert str(caught.value.cause) == "no 2"


@pytest.mark.memory_only("an hour passes")
async def test_a_run_that_took_too_long_is_tried_again(client: Client) -> None:
    handle = await client.start_workflow(
        "Sleepless", id="t", task_queue=QUEUE, run_timeout=HOUR / 2, retry_policy=POLICY
    )
    assert await handle.result() == 3
    runs = await runs_of(client, "t")
    assert [run.status.name for run in runs] == ["TIMED_OUT", "TIMED_OUT", "COMPLETED"]


@pytest.mark.memory_only("an hour passes")
async def test_the_time_of_the_chain_ends_all_attempts(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(
            "Sleepless",
            id="t",
            task_queue=QUEUE,
            run_timeout=HOUR / 2,
            execution_timeout=HOUR * 0.75,
            retry_policy=POLICY,
        )
    assert isinstance(caught.value.cause, TimeoutError)
    runs = await runs_of(client, "t")
    assert [run.status.name for run in runs] == ["TIMED_OUT", "TIMED_OUT"]
    lasted = runs[1].close_time - runs[0].start_time
    assert abs(lasted - HOUR * 0.75) < timedelta(seconds=1)


async def until_open(handle: WorkflowHandle[Any, Any], env: WorkflowEnvironment, runs: int) -> None:
    """Let time pass until so many runs have been made."""
    for _ in range(100):
        found = [run async for run in env.client.list_workflows() if run.id == handle.id]
        if len(found) >= runs:
            return
        await env.sleep(timedelta(minutes=10))
    raise AssertionError(f"{runs} runs are never made")


@pytest.mark.memory_only("six hours pass")
async def test_a_schedule_goes_on_with_the_last_result_until_it_is_cancelled(
    client: Client, env: WorkflowEnvironment
) -> None:
    handle = await client.start_workflow(
        Counting.run, id="c", task_queue=QUEUE, cron_schedule="0 * * * *"
    )
    await until_open(handle, env, 6)
    await env.sleep(HOUR)
    newest = client.get_workflow_handle("c")
    await newest.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await newest.result()
    assert isinstance(caught.value.cause, CancelledError)
    runs = await runs_of(client, "c")
    assert [run.status.name for run in runs] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "COMPLETED",
        "COMPLETED",
        "CANCELED",
    ]
    results = []
    for run in runs[:2] + runs[3:5]:
        ended = client.get_workflow_handle("c", run_id=run.run_id)
        results.append(await ended.result(follow_runs=False))
    assert results == [1, 2, 3, 4]


async def test_a_schedule_that_is_cancelled_while_it_waits_asks_its_code_at_once_and_ends(
    client: Client, env: WorkflowEnvironment
) -> None:
    handle = await client.start_workflow(
        Counting.run, id="c", task_queue=QUEUE, cron_schedule="@every 1h"
    )
    await handle.cancel()
    assert await handle.result() == 1  # its code had nothing to wait for
    (run,) = await runs_of(client, "c")
    assert run.close_time - run.start_time < timedelta(minutes=1)


async def test_a_schedule_is_terminated_between_two_runs(client: Client) -> None:
    handle = await client.start_workflow(
        Counting.run, id="c", task_queue=QUEUE, cron_schedule="@daily"
    )
    await handle.terminate()
    assert [run.status.name async for run in client.list_workflows()] == ["TERMINATED"]


@pytest.mark.memory_only("an hour passes")
async def test_a_start_delay_is_ended_by_a_signal_and_holds_until_then(
    client: Client, env: WorkflowEnvironment
) -> None:
    handle = await client.start_workflow(Waiting.run, id="w", task_queue=QUEUE, start_delay=HOUR)
    assert await handle.result() == [3600, []]
    handle = await client.start_workflow(Waiting.run, id="v", task_queue=QUEUE, start_delay=HOUR)
    await env.sleep(HOUR / 4)
    await handle.signal(Waiting.poke, "early")
    assert await handle.result() == [900, ["early"]]
    await runs_of(client, "v")


@pytest.mark.memory_only("an hour passes")
async def test_a_signal_waits_for_the_first_time_of_a_schedule(
    client: Client, env: WorkflowEnvironment
) -> None:
    handle = await client.start_workflow(
        Waiting.run, id="w", task_queue=QUEUE, cron_schedule="@every 1h"
    )
    await handle.signal(Waiting.poke, "early")
    assert await handle.result(follow_runs=False) == [3600, ["early"]]
    await client.get_workflow_handle("w").terminate()
    await runs_of(client, "w")


@pytest.mark.memory_only("two hours pass")
async def test_a_run_that_continues_as_new_may_pause_and_begins_with_attempt_one(
    client: Client,
) -> None:
    handle = await client.start_workflow(
        Continuing.run, 0, id="n", task_queue=QUEUE, retry_policy=POLICY
    )
    with pytest.raises(WorkflowContinuedAsNewError):
        await handle.result(follow_runs=False)
    assert await handle.result() == [1, True]
    runs = await runs_of(client, "n")
    assert runs[1].close_time - runs[1].start_time >= 2 * HOUR


async def test_a_schedule_that_is_none_is_refused(client: Client) -> None:
    with pytest.raises(RPCError, match="cron schedule 'often'"):
        await client.start_workflow(Counting.run, id="c", task_queue=QUEUE, cron_schedule="often")


async def test_the_same_id_is_taken_while_a_schedule_waits(client: Client) -> None:
    first = await client.start_workflow(
        Counting.run, id="c", task_queue=QUEUE, cron_schedule="@daily"
    )
    await asyncio.sleep(0)
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(Counting.run, id="c", task_queue=QUEUE)
    await first.terminate()
