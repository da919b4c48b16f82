"""A client on an environment that skips time; every history of a test is replayed at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.client import Client
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Replayer, Worker
from tests.engine.relations.workflows import ALL, QUEUE


async def replay_all(client: Client) -> int:
    """Replay every run that the namespace has; how many."""
    replayer, found = Replayer(workflows=list(ALL)), 0
    async for run in client.list_workflows():
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        history = await handle.fetch_history()
        again = WorkflowHistory.from_json(run.id, history.to_json())
        await replayer.replay_workflow(again)
        found += 1
    return found


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping() as made:
        yield made


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with Worker(env.client, task_queue=QUEUE, workflows=ALL):
        yield env.client
    assert await replay_all(env.client)
