"""Where the programs run: on the embedded engine, which skips time, and on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from orchestrator.client import Client
from orchestrator.client import Interceptor as ClientInterceptor
from orchestrator.converter import DataConverter
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.replayed import every_history_is_replayed

__all__ = ["every_history_is_replayed"]

QUEUE = "programs"


class Stage:
    """Runs programs."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self.environment = environment

    @property
    def client(self) -> Client:
        return self.environment.client

    def with_client(
        self,
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> Stage:
        """The same servers, seen through another client."""
        client = Client(
            self.client.services, data_converter=data_converter, interceptors=interceptors
        )
        return Stage(WorkflowEnvironment.from_client(client))

    @asynccontextmanager
    async def playing(self, program: ModuleType) -> AsyncIterator[Client]:
        """A worker of the program runs inside."""
        workflows: Sequence[type] = program.WORKFLOWS
        activities: Sequence[Callable[..., object]] = program.ACTIVITIES
        with ThreadPoolExecutor(2) as threads:
            async with Worker(
                self.client,
                task_queue=QUEUE,
                workflows=workflows,
                activities=activities,
                activity_executor=threads,
            ):
                yield self.client


@pytest.fixture
async def skipping() -> AsyncIterator[Stage]:
    """On a clock that skips what nobody waits for in earnest."""
    async with await WorkflowEnvironment.start_time_skipping() as environment:
        yield Stage(environment)


@pytest.fixture(params=["memory", pytest.param("servers", marks=pytest.mark.servers)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Once on the embedded engine and once on real servers."""
    if request.param == "memory":
        async with await WorkflowEnvironment.start_time_skipping() as environment:
            yield Stage(environment)
        return
    broker, store = (request.getfixturevalue(name) for name in ("amqp_url", "redis_url"))
    namespace = request.getfixturevalue("random_namespace")
    async with await Client.connect(broker=broker, store=store, namespace=namespace) as client:
        yield Stage(WorkflowEnvironment.from_client(client))
