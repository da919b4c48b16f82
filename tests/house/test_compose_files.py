"""What compose.yaml and the files beside it say, checked without a server."""

from __future__ import annotations

import json

import pytest

from orchestrator.adapters.rabbitmq import definitions
from orchestrator.adapters.redis import acl
from orchestrator.exceptions import MisconfiguredError
from orchestrator.ids import Namespace
from orchestrator.limits import DRAIN_MS, GRACEFUL_SHUTDOWN_MS
from orchestrator.testing import servers
from tests.e2e import compose_file
from tests.e2e.compose_file import COMPOSE

WORKERS = ("workflow-worker", "activity-worker")


def test_the_committed_files_are_what_the_names_and_rights_give() -> None:
    expected = compose_file.generated()
    found = {path: path.read_text(encoding="utf-8") for path in expected}
    assert found == expected, "run: python compose/generate.py"


def test_another_password_changes_both_files_and_the_urls() -> None:
    secret = {"WORKER_PASSWORD": "mine"}
    changed = compose_file.generated(secret)
    assert all(changed[path] != text for path, text in compose_file.generated().items())
    for name in WORKERS:
        urls = compose_file.read(secret)[name].environment
        assert urls["ORCHESTRATOR_BROKER"].startswith("amqp://worker:mine@")
        assert urls["ORCHESTRATOR_STORE"].startswith("redis://worker:mine@")


def test_no_user_of_rabbitmq_is_an_administrator_and_none_is_guest() -> None:
    users = json.loads((COMPOSE / "rabbitmq/definitions.json").read_text())["users"]
    assert all(user["tags"] == [] for user in users)
    assert "guest" not in {user["name"] for user in users}


def test_a_user_without_a_password_is_refused() -> None:
    namespace = Namespace("default")
    with pytest.raises(MisconfiguredError, match=r"missing: .*'worker'"):
        acl.as_file(namespace, passwords={"client": "x"})
    with pytest.raises(MisconfiguredError, match=r"missing: .*'worker'"):
        definitions.definitions(
            namespace, [], definitions.QueueType.CLASSIC, passwords={"client": "x"}
        )


def test_only_what_the_code_sends_is_allowed() -> None:
    """A right that no line of the adapter needs any more must go."""
    adapter = compose_file.ROOT / "orchestrator/adapters/redis"
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (*adapter.rglob("*.py"), *adapter.rglob("*.lua"), *adapter.rglob("*.inc"))
        if path.name != "acl.py"
    )
    for user in ("worker", "client"):
        for rule in acl.rules(user, Namespace("default")):
            if rule.startswith("+") and rule != "+select":  # The client library sends that one.
                for word in rule[1:].upper().split("|"):
                    assert f'"{word}"' in code or f"'{word}'" in code, f"{user}: {rule}"


def test_the_images_are_those_that_tests_run() -> None:
    services = compose_file.read()
    assert services["redis"].content["image"] == servers.REDIS_IMAGE
    assert services["rabbitmq"].content["image"] == servers.RABBITMQ_IMAGE


def test_workers_wait_for_both_servers_to_be_healthy() -> None:
    services = compose_file.read()
    for name in WORKERS:
        waits = services[name].content["depends_on"]
        assert {server: how["condition"] for server, how in waits.items()} == {
            "rabbitmq": "service_healthy",
            "redis": "service_healthy",
        }


def test_every_service_has_a_health_check_and_comes_back() -> None:
    for service in compose_file.read().values():
        assert service.healthcheck
        assert service.content["restart"] == "unless-stopped"


def test_workers_get_the_time_that_an_orderly_end_takes() -> None:
    for name in WORKERS:
        grace_ms = compose_file.read()[name].seconds("stop_grace_period") * 1000
        assert grace_ms > GRACEFUL_SHUTDOWN_MS + DRAIN_MS


def test_workers_can_be_scaled() -> None:
    """A fixed name or port of the host would allow one of each only."""
    for name in WORKERS:
        content = compose_file.read()[name].content
        assert not {"container_name", "ports", "hostname"} & set(content)


def test_ports_are_open_to_this_machine_only() -> None:
    for name in ("rabbitmq", "redis"):
        for port in compose_file.read()[name].content["ports"]:
            assert str(port).startswith("127.0.0.1:")


def test_redis_is_set_up_to_lose_nothing() -> None:
    lines = (COMPOSE / "redis/redis.conf").read_text(encoding="utf-8").splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    assert "stream-node-max-bytes 1024" in lines
