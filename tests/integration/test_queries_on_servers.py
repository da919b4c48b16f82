"""Queries on a real Redis and a real RabbitMQ: open, closed, older and removed runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.client import Client, WorkflowQueryFailedError
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.ids import check_task_queue
from orchestrator.ports.broker import WorkflowQueue
from orchestrator.wire import codec
from orchestrator.wire.messages import ErrorResponse
from orchestrator.wire.tasks import QueryTask
from orchestrator.worker import Worker
from tests.unit.worker.shop import Chain, Diary, Hasty

QUEUE = "queries"


@pytest.mark.servers
async def test_runs_answer_while_they_are_open_and_after_their_end(
    redis_url: str, amqp_url: str, random_namespace: str
) -> None:
    client = await Client.connect(broker=amqp_url, store=redis_url, namespace=random_namespace)
    try:
        async with Worker(client, task_queue=QUEUE, workflows=[Chain, Diary, Hasty]):
            diary = await client.start_workflow(Diary.run, id="diary", task_queue=QUEUE)
            for number in range(3):
                await diary.signal(Diary.add, str(number))
            assert len(await diary.query(Diary.noted)) == 3
            with pytest.raises(WorkflowQueryFailedError, match="no query handler"):
                await diary.query("nonsense")
            assert "shop.py" in await diary.query("__stack_trace")
            await diary.terminate()
            assert len(await diary.query(Diary.noted)) == 3

            chain = await client.start_workflow(Chain.run, "5", id="chain", task_queue=QUEUE)
            await chain.signal(Chain.go_on, "go")
            first = client.get_workflow_handle("chain", run_id=chain.first_execution_run_id)
            assert await first.query(Chain.counted) == 5
            with pytest.raises(RPCError) as missing:
                await client.get_workflow_handle("nobody").query("noted")
            assert missing.value.status is RPCStatusCode.NOT_FOUND
            await answers_not_found(client)
    finally:
        await client.close()


async def answers_not_found(client: Client) -> None:
    """A worker is asked about a run that is gone by the time the question arrives."""
    services = client.services
    question = QueryTask(
        namespace=services.namespace,
        workflow_id="nobody",
        query="noted",
        expires_at_ms=services.clock.now_ms() + 10_000,
    )
    to = WorkflowQueue(check_task_queue(QUEUE))
    timeout_ms = int(timedelta(seconds=10).total_seconds() * 1_000)
    body = await services.broker.request(to, codec.encode(question), timeout_ms=timeout_ms)
    answer = codec.response_decoder.decode(body)
    assert isinstance(answer, ErrorResponse)
    assert answer.code == "not_found"
