"""A client whose workflows have a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.client import Client
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.engine.relations.workflows import ALL, QUEUE


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with Worker(env.client, task_queue=QUEUE, workflows=ALL):
        yield env.client
