"""The commands and health checks of the servers in compose.yaml, run against real ones."""

from __future__ import annotations

import pytest

from orchestrator.testing.servers import Servers
from tests.e2e import compose_file

pytestmark = pytest.mark.servers


def test_redis_is_started_with_the_file_that_is_mounted() -> None:
    """The fixture of these tests starts it with that very file."""
    redis = compose_file.read()["redis"]
    assert redis.command[0] == "redis-server"
    assert redis.command[1] in redis.files


def test_redis_is_healthy_while_it_answers_and_not_when_it_is_gone(
    compose_servers: Servers,
) -> None:
    check = compose_file.read()["redis"].healthcheck
    assert compose_servers.redis.run(check) == 0
    compose_servers.redis.kill()
    try:
        assert compose_servers.redis.run(check) != 0
    finally:
        compose_servers.redis.start()
    assert compose_servers.redis.run(check) == 0


def test_redis_is_not_healthy_for_who_is_refused(compose_servers: Servers) -> None:
    """An error is an answer too: without `-e` the check would be green for ever."""
    check = compose_file.read({"HEALTH_PASSWORD": "wrong"})["redis"].healthcheck
    assert compose_servers.redis.run(check) != 0


@pytest.mark.slow
def test_rabbitmq_is_healthy_while_it_runs(compose_servers: Servers) -> None:
    check = compose_file.read()["rabbitmq"].healthcheck
    assert compose_servers.rabbitmq.run(check) == 0
    assert compose_servers.rabbitmq.run([*check[:-1], "no_such_check"]) != 0


@pytest.mark.slow
def test_rabbitmq_reads_its_definitions_again_at_every_start(compose_servers: Servers) -> None:
    """What was deleted by mistake is there after a restart."""
    queue = "orc.default.workflow.greeter"
    rabbitmq = compose_servers.rabbitmq
    assert rabbitmq.run(["rabbitmqctl", "delete_queue", queue]) == 0
    rabbitmq.restart()
    assert rabbitmq.run(["rabbitmqctl", "delete_queue", queue]) == 0
    rabbitmq.restart()
