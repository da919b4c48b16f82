"""The one place where names of exchanges, queues, routing keys and headers are made.

Foreign programs rely on them: a change here is a change of the public interface.
"""

from __future__ import annotations

import hashlib

from orchestrator.ids import Namespace
from orchestrator.ports.broker import (
    ActivityQueue,
    DeadQueue,
    Queue,
    RequestsQueue,
    StickyQueue,
    WorkflowQueue,
)

REPLY_TO = "amq.rabbitmq.reply-to"
"""RabbitMQ's pseudo-queue of answers to the asking channel."""
REASON_HEADER = "orc-reason"
"""Why a message is in the dead queue."""
DEATH_REASON_HEADER = "x-first-death-reason"
"""RabbitMQ's own reason, e.g. `delivery_limit`."""
FELL = "expired"
"""The death reason of what fell from a sticky queue to the shared one: no dead letter at all."""
ANY_REQUEST = "request"
"""The routing key of requests whose sender does not name their kind."""
REQUESTS = (
    ANY_REQUEST,
    "start",
    "signal",
    "signal_with_start",
    "query",
    "update",
    "cancel",
    "terminate",
)
"""Routing keys of requests; what no key matches goes to the dead queue."""
COMPLETIONS = ("result", "failure", "cancelled", "heartbeat")
"""Routing keys of what workers of other languages report."""
_NAME_BYTES_MAX = 255
_NAME_KEPT_BYTES = 200


def unknown_key(exchange: str, routing_key: str) -> str | None:
    """Why a message that came through `exchange` is a dead letter, if its key is to blame:
    RabbitMQ itself says nothing about what takes the way of an alternate exchange."""
    for suffix, known in ((".requests", REQUESTS), (".completions", COMPLETIONS)):
        if exchange.endswith(suffix) and routing_key not in known:
            return (
                f"exchange {exchange!r} has no queue for routing key {routing_key!r}; known: "
                f"{', '.join(known)}"
            )
    return None


def tasks_exchange(namespace: Namespace) -> str:
    """Direct; wake-ups and activity tasks."""
    return f"orc.{namespace}.tasks"


def requests_exchange(namespace: Namespace) -> str:
    """Direct, keyed with the request's name."""
    return f"orc.{namespace}.requests"


def completions_exchange(namespace: Namespace) -> str:
    """Direct; results and heartbeats of foreign workers."""
    return f"orc.{namespace}.completions"


def events_exchange(namespace: Namespace) -> str:
    """Topic; the life of runs, for whoever binds to it."""
    return f"orc.{namespace}.events"


def dead_exchange(namespace: Namespace) -> str:
    """Fan-out; leads to the dead queue."""
    return f"orc.{namespace}.dead"


def completions_queue(namespace: Namespace) -> str:
    """Results and heartbeats of foreign workers."""
    return f"orc.{namespace}.completions"


def bench_queue(namespace: Namespace) -> str:
    """Where `orchestrator bench` measures the raw cost of a message; it goes after the run."""
    return f"orc.{namespace}.bench"


def queue_name(namespace: Namespace, queue: Queue) -> str:
    """The name of `queue`: at most 255 bytes; a longer one is cut and told apart by a hash."""
    match queue:
        case RequestsQueue():
            return f"orc.{namespace}.requests"
        case DeadQueue():
            return f"orc.{namespace}.dead"
        case _:
            return _fit(f"orc.{namespace}.{_path(queue)}")


def exchange_of(namespace: Namespace, queue: Queue) -> str:
    """Where messages for `queue` are published."""
    match queue:
        case RequestsQueue():
            return requests_exchange(namespace)
        case DeadQueue():
            return dead_exchange(namespace)
        case _:
            return tasks_exchange(namespace)


def routing_key(queue: Queue) -> str:
    """The key under which our own messages reach `queue`."""
    match queue:
        case RequestsQueue():
            return ANY_REQUEST
        case DeadQueue():
            return ""
        case _:
            return _fit(_path(queue))


def _path(queue: WorkflowQueue | ActivityQueue | StickyQueue) -> str:
    match queue:
        case WorkflowQueue():
            return f"workflow.{queue.task_queue}"
        case ActivityQueue():
            return f"activity.{queue.task_queue}"
        case StickyQueue():
            return f"sticky.{queue.worker}"


def _fit(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= _NAME_BYTES_MAX:
        return name
    kept = encoded[:_NAME_KEPT_BYTES].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(encoded).hexdigest()[:32]}"
