"""What a run carries and how it goes on, on a real Redis and a real RabbitMQ: chains, patches,
values that runs are found by; each history replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from orchestrator.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from orchestrator.exceptions import ApplicationError, TimeoutError
from orchestrator.worker import Replayer, Worker

pytestmark = pytest.mark.servers
QUEUE = "options"
CITY = SearchAttributeKey.for_keyword("City")
SOON = timedelta(milliseconds=50)


@workflow.defn
class Stubborn:
    """Fails once, then changes what it is found by, and may take too long."""

    @workflow.run
    async def run(self, city: str, seconds: float) -> list[Any]:
        if workflow.info().attempt == 1:
            raise ApplicationError("once")
        workflow.upsert_search_attributes([CITY.value_set(city)])
        workflow.upsert_memo({"attempt": workflow.info().attempt})
        patched = workflow.patched("p")
        await workflow.sleep(seconds)
        return [workflow.info().attempt, patched]


@workflow.defn
class Counting:
    """Counts on, from run to run of its schedule, and stops at two."""

    @workflow.run
    async def run(self) -> int:
        count = (workflow.get_last_completion_result(int) or 0) + 1
        await workflow.wait_condition(lambda: count < 2)
        return count


WORKFLOWS = [Stubborn, Counting]


def where(city: str) -> TypedSearchAttributes:
    return TypedSearchAttributes([SearchAttributePair(CITY, city)])


async def check_replays(client: Client, workflow_id: str, runs: int) -> None:
    found = [run async for run in client.list_workflows() if run.id == workflow_id]
    assert len(found) == runs
    for run in found:
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        history = await handle.fetch_history()
        result = await Replayer(workflows=WORKFLOWS).replay_workflow(history)
        assert result.replay_failure is None


async def test_a_run_is_tried_again_and_found_by_what_it_has_become(client: Client) -> None:
    async with Worker(client, task_queue=QUEUE, workflows=WORKFLOWS, build_id="7"):
        handle = await client.start_workflow(
            Stubborn.run,
            args=["Oslo", 0.01],
            id="s",
            task_queue=QUEUE,
            retry_policy=RetryPolicy(initial_interval=SOON),
            search_attributes=where("Rome"),
        )
        assert await handle.result(rpc_timeout=timedelta(seconds=20)) == [2, True]
    counts = await client.count_workflows(search_attributes=where("Rome"))
    assert counts[WorkflowExecutionStatus.FAILED] == 1
    assert counts[WorkflowExecutionStatus.COMPLETED] == 0
    (run,) = [run async for run in client.list_workflows(search_attributes=where("Oslo"))]
    assert run.status is WorkflowExecutionStatus.COMPLETED
    versions = SearchAttributeKey.for_keyword_list("TemporalChangeVersion")
    assert run.typed_search_attributes[versions] == ["p"]
    described = await client.get_workflow_handle("s").describe()
    assert await described.memo() == {"attempt": 2}
    await check_replays(client, "s", runs=2)


async def test_a_time_out_is_tried_again_until_the_attempts_are_used_up(client: Client) -> None:
    async with Worker(client, task_queue=QUEUE, workflows=WORKFLOWS):
        handle = await client.start_workflow(
            Stubborn.run,
            args=["Oslo", 3600],
            id="t",
            task_queue=QUEUE,
            run_timeout=timedelta(seconds=1),
            retry_policy=RetryPolicy(initial_interval=SOON, maximum_attempts=3),
        )
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result(rpc_timeout=timedelta(seconds=30))
    assert isinstance(caught.value.cause, TimeoutError)
    await check_replays(client, "t", runs=3)


async def test_a_schedule_goes_on_until_it_is_cancelled(client: Client) -> None:
    async with Worker(client, task_queue=QUEUE, workflows=WORKFLOWS):
        handle = await client.start_workflow(
            Counting.run, id="c", task_queue=QUEUE, cron_schedule="@every 1s"
        )
        first = client.get_workflow_handle("c", run_id=handle.first_execution_run_id)
        assert await first.result(follow_runs=False, rpc_timeout=timedelta(seconds=20)) == 1
        await client.get_workflow_handle("c").cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result(rpc_timeout=timedelta(seconds=20))
    await check_replays(client, "c", runs=2)
