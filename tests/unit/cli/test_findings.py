"""The rules of `doctor`: what is said of which facts, and that each trouble has a remedy."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from orchestrator.adapters.rabbitmq.facts import QueueFacts, RabbitFacts
from orchestrator.adapters.redis.facts import RedisFacts, read_info
from orchestrator.cli.findings import Finding, Level, of_rabbitmq, of_redis, of_task_queue
from orchestrator.ids import TaskQueue
from orchestrator.ports.broker import ActivityQueue, DeadQueue, RequestsQueue, WorkflowQueue

GOOD_REDIS = RedisFacts(
    version="7.2.4",
    role="master",
    replicas=0,
    is_append_only=True,
    append_fsync="always",
    last_write_failed=False,
    memory_used_bytes=100 * 2**20,
    memory_max_bytes=0,
    stream_node_bytes=1024,
    min_replicas_to_write=0,
    round_trip_ms=0.3,
    clock_ahead_ms=3.0,
)
GOOD_RABBIT = RabbitFacts(
    product="RabbitMQ",
    version="3.13.1",
    queues={
        RequestsQueue(): QueueFacts(messages=0, consumers=2),
        DeadQueue(): QueueFacts(messages=0, consumers=0),
    },
)
ORDERS = TaskQueue("orders")


def worst(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.level in (Level.WARNING, Level.ERROR)]


def redis(durability: str = "standard", **fields: Any) -> list[Finding]:  # Any: of any field
    facts = msgspec.structs.replace(GOOD_REDIS, **fields)
    return worst(list(of_redis(facts, durability)))


@pytest.mark.parametrize("durability", ["standard", "durable"])
def test_a_good_redis_gives_no_trouble(durability: str) -> None:
    assert redis(durability) == []


@pytest.mark.parametrize(
    ("durability", "fields", "level", "subject"),
    [
        ("standard", {"is_append_only": False}, "error", "redis durability"),
        ("standard", {"append_fsync": "no"}, "error", "redis durability"),
        ("durable", {"append_fsync": "everysec"}, "error", "redis durability"),
        ("standard", {"last_write_failed": True}, "error", "redis disk"),
        ("standard", {"role": "slave"}, "error", "redis role"),
        ("replicated", {"replicas": 1}, "error", "redis replicas"),
        ("replicated", {"replicas": 2}, "error", "redis replicas"),
        ("standard", {"memory_max_bytes": 110 * 2**20}, "warning", "redis memory"),
        ("standard", {"stream_node_bytes": 4096}, "warning", "redis stream nodes"),
        ("standard", {"stream_node_bytes": 0}, "warning", "redis stream nodes"),
        ("standard", {"clock_ahead_ms": -2_000.0}, "warning", "redis clock"),
        ("standard", {"round_trip_ms": 80.0}, "warning", "redis round trip"),
    ],
)
def test_each_trouble_of_redis_is_one_finding_with_a_remedy(
    durability: str, fields: dict[str, Any], level: str, subject: str
) -> None:
    (found,) = redis(durability, **fields)
    assert (found.level.value, found.subject) == (level, subject)
    assert found.remedy


@pytest.mark.parametrize(
    "fields",
    [
        {"append_fsync": "everysec"},
        {"memory_max_bytes": 1000 * 2**20},
        {"stream_node_bytes": 512},
        {"clock_ahead_ms": 900.0},
        {"clock_ahead_ms": None, "append_fsync": None, "stream_node_bytes": None},
        {"clock_ahead_ms": 1_040.0, "round_trip_ms": 49.0},
    ],
)
def test_what_is_within_bounds_or_may_not_be_asked_is_no_trouble(fields: dict[str, Any]) -> None:
    assert redis("standard", **fields) == []


def test_replicas_that_are_waited_for_are_no_trouble() -> None:
    assert redis("replicated", replicas=2, min_replicas_to_write=1) == []


def rabbit(**fields: Any) -> list[Finding]:  # Any: of any field
    return worst(list(of_rabbitmq(msgspec.structs.replace(GOOD_RABBIT, **fields))))


def test_a_good_rabbitmq_gives_no_trouble() -> None:
    assert rabbit() == []


@pytest.mark.parametrize("version", ["3.9.29", "3.8", "unknown"])
def test_an_old_rabbitmq_is_an_error(version: str) -> None:
    (found,) = rabbit(version=version)
    assert (found.level, found.subject) == (Level.ERROR, "rabbitmq version")


def test_requests_that_nobody_takes_and_dead_letters_are_warnings() -> None:
    queues = {
        RequestsQueue(): QueueFacts(messages=7, consumers=0),
        DeadQueue(): QueueFacts(messages=2, consumers=0),
    }
    requests, dead = rabbit(queues=queues)
    assert "7 wait" in requests.found
    assert "orchestrator engine" in requests.remedy
    assert "2 messages" in dead.found


def task_queue(*, open_runs: int = 0, **queues: QueueFacts | None) -> list[str]:
    kinds = {"workflows": WorkflowQueue(ORDERS), "activities": ActivityQueue(ORDERS)}
    facts = RabbitFacts(
        product="", version="", queues={kinds[kind]: found for kind, found in queues.items()}
    )
    return [one.level.value for one in of_task_queue(ORDERS, facts, open_runs=open_runs)]


BUSY = QueueFacts(messages=3, consumers=1)
WAITING = QueueFacts(messages=3, consumers=0)
IDLE = QueueFacts(messages=0, consumers=0)


def test_a_task_queue_with_workers_is_well_however_much_waits() -> None:
    assert task_queue(open_runs=9, workflows=BUSY, activities=BUSY) == ["ok", "ok"]


def test_open_runs_without_a_worker_are_an_error() -> None:
    assert task_queue(open_runs=1, workflows=IDLE, activities=None) == ["error", "note"]
    assert task_queue(open_runs=1, workflows=None, activities=BUSY) == ["error", "ok"]


def test_tasks_that_wait_for_nobody_are_an_error() -> None:
    assert task_queue(workflows=WAITING, activities=WAITING) == ["error", "error"]


def test_an_idle_task_queue_without_workers_is_no_trouble() -> None:
    assert task_queue(workflows=IDLE, activities=IDLE) == ["note", "note"]


def test_the_fields_of_info_are_read() -> None:
    text = (
        b"# Server\r\nredis_version:7.0.15\r\nexecutable:/x:y\r\n\r\n# Memory\r\nused_memory:5\r\n"
    )
    assert read_info(text) == {
        "redis_version": "7.0.15",
        "executable": "/x:y",
        "used_memory": "5",
    }
