"""Real servers for the tests that ask for them, and the order of tests: cheap ones first.

Servers are private and live as long as the session. Where there are none, tests that need them are
skipped at home and fail in continuous integration (`CI=true`).
"""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.exceptions import MisconfiguredError
from orchestrator.testing.servers import Servers

_ROOT = Path(__file__).parent
_ORDER = (
    "unit",
    "engine",
    "realtime",
    "house",
    "replay",
    "contract",
    "programs",
    "typing",
    "docs",
    "simulation",
    "integration",
    "e2e",
    "bench",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by cost; the order inside of a folder stays."""
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> tuple[bool, int]:
    folder = item.path.relative_to(_ROOT).parts[0] if item.path.is_relative_to(_ROOT) else ""
    rank = _ORDER.index(folder) if folder in _ORDER else len(_ORDER)
    return item.get_closest_marker("slow") is not None, rank


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A RabbitMQ and a Redis of this session's own; a test that kills one starts it again."""
    try:
        both = Servers()
    except MisconfiguredError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no servers: {error}")
        pytest.skip(f"no servers: {error}")
    with both:
        yield both


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    """The session's Redis. It is shared: write only under a namespace of your own."""
    return servers.redis.url


@pytest.fixture(scope="session")
def amqp_url(servers: Servers) -> str:
    """The session's RabbitMQ. It is shared: declare only under a namespace of your own."""
    return servers.rabbitmq.url


@pytest.fixture
def random_namespace() -> str:
    """A namespace no other test uses, so that tests share servers without clearing them."""
    return f"test-{uuid.uuid4().hex[:12]}"


def pytest_collection_finish() -> None:
    """What was collected lives to the end: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
