"""Worker processes and a client in a namespace of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from orchestrator.client import Client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current folder of programs."""
    return tmp_path


@pytest.fixture
def environment(redis_url: str, amqp_url: str, random_namespace: str) -> Mapping[str, str]:
    """Variables that lead a program to the servers."""
    return {
        "ORCHESTRATOR_BROKER": amqp_url,
        "ORCHESTRATOR_STORE": redis_url,
        "ORCHESTRATOR_NAMESPACE": random_namespace,
    }


@pytest.fixture
async def client(redis_url: str, amqp_url: str, random_namespace: str) -> AsyncIterator[Client]:
    """A client of the same namespace."""
    async with await Client.connect(
        broker=amqp_url, store=redis_url, namespace=random_namespace
    ) as connected:
        yield connected
