"""What `doctor` makes of the facts: pure rules, each finding with its remedy.

An error breaks a promise or stops work; a warning will hurt one day; a note says what could not be
seen. The bounds are those of the program itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from orchestrator.ids import TaskQueue
from orchestrator.limits import HELD_DELIVERY_MAX_MS
from orchestrator.ports.broker import ActivityQueue, DeadQueue, Queue, RequestsQueue, WorkflowQueue

if TYPE_CHECKING:
    from orchestrator.adapters.rabbitmq.facts import QueueFacts, RabbitFacts
    from orchestrator.adapters.redis.facts import RedisFacts

CLOCK_AHEAD_MS_MAX = 1_000
"""Timers go by Redis's clock; people and logs go by their machines'."""
MEMORY_PERCENT_MAX = 80
STREAM_NODE_BYTES_MAX = 1_024
"""Each history begins with a node of this size: 4,096, the default, takes four times the memory."""
ROUND_TRIP_MS_MAX = 50.0


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    level: Level
    subject: str
    found: str
    remedy: str = ""
    is_unreachable: bool = False
    """A server does not answer, so the rest could not be looked at."""


def ok(subject: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(level=Level.OK, subject=subject, found=found)


def note(subject: str, found: str, remedy: str = "") -> Finding:
    """Nothing wrong that is known."""
    return Finding(level=Level.NOTE, subject=subject, found=found, remedy=remedy)


def warning(subject: str, found: str, remedy: str) -> Finding:
    """It will hurt one day."""
    return Finding(level=Level.WARNING, subject=subject, found=found, remedy=remedy)


def error(subject: str, found: str, remedy: str) -> Finding:
    """A promise is broken, or work stands still."""
    return Finding(level=Level.ERROR, subject=subject, found=found, remedy=remedy)


def unreachable(subject: str, found: str, remedy: str) -> Finding:
    """A server does not answer."""
    return Finding(
        level=Level.ERROR, subject=subject, found=found, remedy=remedy, is_unreachable=True
    )


def of_redis(facts: RedisFacts, durability: str) -> Iterator[Finding]:
    """Findings on Redis; `durability` is the class that the settings promise."""
    yield ok("redis version", facts.version)
    yield ok("redis eviction", "noeviction")
    yield from _of_append_only(facts, durability)
    yield from _of_replicas(facts, durability)
    if facts.last_write_failed:
        yield error(
            "redis disk",
            "the last write of its file failed",
            "see Redis's log; free disk space, then BGREWRITEAOF",
        )
    yield from _of_memory(facts)
    yield from _of_clock(facts)
    trip = f"{facts.round_trip_ms:.1f} ms"
    if facts.round_trip_ms > ROUND_TRIP_MS_MAX:
        yield warning("redis round trip", trip, "every step waits for several: move it closer")
    else:
        yield ok("redis round trip", trip)


def of_rabbitmq(facts: RabbitFacts) -> Iterator[Finding]:
    """Findings on the server and on the queues of the whole namespace."""
    if _version(facts.version) < (3, 10):
        yield error(
            "rabbitmq version", facts.version, "RabbitMQ 3.10 or newer is needed: upgrade it"
        )
    else:
        yield ok("rabbitmq version", facts.version)
    minutes = HELD_DELIVERY_MAX_MS // 60_000
    yield note(
        "rabbitmq consumer time-out",
        f"cannot be seen by a client; deliveries are held for {minutes} min at most",
        f"consumer_timeout must not be below {3 * minutes} min, its default: "
        "rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'",
    )
    requests = facts.queues.get(RequestsQueue())
    if requests is None or requests.consumers == 0:
        waiting = 0 if requests is None else requests.messages
        yield warning(
            "start messages",
            f"nobody takes them; {waiting} wait",
            "run a worker without --no-engine, or: orchestrator engine",
        )
    else:
        yield ok("start messages", f"{requests.consumers} take them, {requests.messages} wait")
    dead = facts.queues.get(DeadQueue())
    if dead is not None and dead.messages > 0:
        yield warning(
            "dead letters",
            f"{dead.messages} messages could not be understood",
            "orchestrator dead list shows why",
        )
    elif dead is not None:
        yield ok("dead letters", "none")


def of_task_queue(
    task_queue: TaskQueue, facts: RabbitFacts, *, open_runs: int
) -> Iterator[Finding]:
    """Findings on the two queues of a task queue, which `open_runs` open runs are of."""
    both = (("workflows", WorkflowQueue(task_queue)), ("activities", ActivityQueue(task_queue)))
    for kind, queue in both:
        found = facts.queues.get(queue)
        subject = f"task queue {task_queue}, {kind}"
        if found is not None and found.consumers > 0:
            yield ok(subject, f"{found.consumers} workers, {found.messages} tasks wait")
        else:
            yield _nobody(subject, queue, found, open_runs)


def _nobody(subject: str, queue: Queue, facts: QueueFacts | None, open_runs: int) -> Finding:
    waiting = "the queue does not exist" if facts is None else f"{facts.messages} tasks wait"
    if isinstance(queue, WorkflowQueue) and open_runs:
        return error(
            subject,
            f"no worker; {waiting}; {open_runs} open runs stand still",
            "start one: orchestrator worker MODULE",
        )
    remedy = "start one if its app has any: orchestrator worker MODULE"
    if facts is not None and facts.messages:
        return error(subject, f"no worker; {waiting}", remedy)
    return note(subject, f"no worker; {waiting}", remedy)


def _of_append_only(facts: RedisFacts, durability: str) -> Iterator[Finding]:
    subject = "redis durability"
    if not facts.is_append_only:
        yield error(
            subject,
            "the append-only file is off: what was acknowledged since the last snapshot is lost "
            "with the process",
            "CONFIG SET appendonly yes, and appendonly yes in redis.conf",
        )
        return
    fsync = facts.append_fsync
    if fsync is None:
        yield note(
            subject,
            "the append-only file is on; how often it is synced cannot be seen by this user",
            f"durability {durability} needs appendfsync {_needed_fsync(durability)}",
        )
    elif fsync == "no" or (durability == "durable" and fsync != "always"):
        yield error(
            subject,
            f"appendfsync is {fsync}; durability {durability} promises more",
            f"CONFIG SET appendfsync {_needed_fsync(durability)}, and the same in redis.conf",
        )
    else:
        lost = "nothing" if fsync == "always" else "up to 2 s of work"
        yield ok(subject, f"appendfsync {fsync}: a loss of power takes {lost}")


def _needed_fsync(durability: str) -> str:
    return "always" if durability == "durable" else "everysec"


def _of_replicas(facts: RedisFacts, durability: str) -> Iterator[Finding]:
    if facts.role not in ("master", "?"):
        yield error("redis role", facts.role, "connect to the master: a replica cannot be written")
    if durability != "replicated":
        return
    if facts.replicas < 2:
        yield error(
            "redis replicas",
            f"{facts.replicas}; durability replicated promises two",
            "add replicas, or set durability to durable",
        )
    elif facts.min_replicas_to_write == 0:
        yield error(
            "redis replicas",
            f"{facts.replicas}, but a master that lost them goes on alone",
            "CONFIG SET min-replicas-to-write 1",
        )
    else:
        yield ok("redis replicas", str(facts.replicas))


def _of_memory(facts: RedisFacts) -> Iterator[Finding]:
    used = f"{facts.memory_used_bytes / 2**20:,.0f} MiB used"
    if facts.memory_max_bytes == 0:
        yield ok("redis memory", f"{used}, no bound")
    elif facts.memory_used_bytes * 100 > facts.memory_max_bytes * MEMORY_PERCENT_MAX:
        yield warning(
            "redis memory",
            f"{used} of {facts.memory_max_bytes / 2**20:,.0f} MiB; when it is full, work stops",
            "raise maxmemory, or shorten ORCHESTRATOR_RETENTION_MS",
        )
    else:
        yield ok("redis memory", f"{used} of {facts.memory_max_bytes / 2**20:,.0f} MiB")
    node = facts.stream_node_bytes
    if node is not None and (node == 0 or node > STREAM_NODE_BYTES_MAX):
        yield warning(
            "redis stream nodes",
            f"stream-node-max-bytes is {node}: a short history takes up to four times the memory",
            f"CONFIG SET stream-node-max-bytes {STREAM_NODE_BYTES_MAX}, and the same in redis.conf",
        )
    elif node is not None:
        yield ok("redis stream nodes", f"stream-node-max-bytes {node}")


def _of_clock(facts: RedisFacts) -> Iterator[Finding]:
    ahead = facts.clock_ahead_ms
    if ahead is None:
        return
    shown = f"{abs(ahead):.0f} ms {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) - facts.round_trip_ms > CLOCK_AHEAD_MS_MAX:
        yield warning(
            "redis clock", shown, "timers go by Redis's clock: synchronise both machines (NTP)"
        )
    else:
        yield ok("redis clock", shown)


def _version(text: str) -> tuple[int, int]:
    numbers = [int(part) for part in text.split(".")[:2] if part.isdigit()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
