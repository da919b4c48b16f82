"""The places in which the tests of the whole engine run, and the replay after each of them.

What asks for `open_env`, or for a fixture made of it, runs twice: on the embedded engine, whose
clock skips idle time, and on real servers and the real clock. The latter are marked `servers` and
`slow`, and made only where `-m` speaks of one of these, so that a run of a folder stays quick. A
test that needs more time than anybody waits for, or looks into the embedded engine, says so:
`@pytest.mark.memory_only("why")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from orchestrator.client import Client
from orchestrator.testing import WorkflowEnvironment
from tests.replayed import every_history_is_replayed

__all__ = ["every_history_is_replayed"]

OpenEnv: TypeAlias = Callable[..., AbstractAsyncContextManager[WorkflowEnvironment]]
"""Opens an environment; takes `data_converter` and `interceptors`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both places, or the one that a test is for."""
    if "adapters" not in metafunc.fixturenames:
        return
    places: list[Any] = ["memory"]  # Any: pytest's sets of parameters have no public name
    asked: str = metafunc.config.option.markexpr
    if ("slow" in asked or "servers" in asked) and _is_for_servers(metafunc):
        marks = (pytest.mark.servers, pytest.mark.slow)
        places.append(pytest.param("servers", marks=marks))
    metafunc.parametrize("adapters", places)


def _is_for_servers(metafunc: pytest.Metafunc) -> bool:
    return metafunc.definition.get_closest_marker("memory_only") is None


@pytest.fixture
def open_env(request: pytest.FixtureRequest, adapters: str) -> OpenEnv:
    """Opens environments in the place of the test; those on servers share one namespace."""

    @asynccontextmanager
    async def on_servers(**options: Any) -> AsyncIterator[WorkflowEnvironment]:  # Any: a client's
        async with await Client.connect(**where, **options) as client:
            yield WorkflowEnvironment.from_client(client)

    @asynccontextmanager
    async def in_memory(**options: Any) -> AsyncIterator[WorkflowEnvironment]:  # Any: a client's
        async with await WorkflowEnvironment.start_time_skipping(**options) as made:
            yield made

    if adapters == "memory":
        return in_memory
    names = {"broker": "amqp_url", "store": "redis_url", "namespace": "random_namespace"}
    where = {name: request.getfixturevalue(fixture) for name, fixture in names.items()}
    return on_servers


async def a_while(env: WorkflowEnvironment) -> None:
    """So long that whatever should not happen has had its time: hours where they are skipped."""
    await env.sleep(timedelta(hours=2) if env.supports_time_skipping else timedelta(seconds=1))


@pytest.fixture
async def env(open_env: OpenEnv) -> AsyncIterator[WorkflowEnvironment]:
    async with open_env() as made:
        yield made
