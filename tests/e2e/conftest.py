"""Both servers as compose.yaml sets them up: its settings, users and rights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from orchestrator.exceptions import MisconfiguredError
from orchestrator.testing.servers import Servers
from tests.e2e import compose_file
from tests.e2e.image import ROOT, Image


@pytest.fixture(scope="session")
def compose_servers() -> Iterator[Servers]:
    """Servers of this session with the files of `compose/`; they hold no user `guest`."""
    services = compose_file.read()
    redis, rabbitmq = services["redis"], services["rabbitmq"]
    try:
        both = Servers(
            redis=compose_file.setup(redis, redis.command[1], user="worker"),
            rabbitmq=compose_file.setup(rabbitmq, "/etc/rabbitmq/rabbitmq.conf", user="worker"),
        )
    except MisconfiguredError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no servers: {error}")
        pytest.skip(f"no servers: {error}")
    with both:
        yield both


@pytest.fixture(scope="session")
def broker_of(compose_servers: Servers) -> Callable[[str], str]:
    """The URL with which a user reaches RabbitMQ."""
    return lambda user: _as(user, compose_servers.rabbitmq.url)


@pytest.fixture(scope="session")
def store_of(compose_servers: Servers) -> Callable[[str], str]:
    """The URL with which a user reaches Redis."""
    return lambda user: _as(user, compose_servers.redis.url)


def _as(user: str, url: str) -> str:
    return url.replace("worker:worker-development@", f"{user}:{user}-development@")


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image of the food order, as compose.yaml has it built."""
    build = compose_file.read()["workflow-worker"].content["build"]
    made = Image(ROOT / build["dockerfile"], build["args"])
    try:
        made.build()
        yield made
    finally:
        made.remove()
