"""A worker of the folder's workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.client import Client
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.engine.client.workflows import ACTIVITIES, QUEUE, WORKFLOWS


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A client whose workflows have a worker."""
    worker = Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES)
    async with worker:
        yield env.client
