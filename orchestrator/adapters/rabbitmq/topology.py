"""What exists in RabbitMQ for a namespace: exchanges, queues with their arguments, bindings.

Pure: `broker.py` declares it, and `definitions.py` writes it as a file that RabbitMQ imports before
any worker runs. Both give the same arguments, because RabbitMQ refuses a queue that differs.

Classic queues have no dead-letter exchange: nothing but expiry would use it, and what expires is to
be dropped. Quorum queues have one, because they drop silently at their delivery limit without.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeAlias

import msgspec

from orchestrator.adapters.rabbitmq import names
from orchestrator.ids import Namespace
from orchestrator.limits import STICKY_EXPIRES_MS, STICKY_TTL_MS
from orchestrator.ports.broker import (
    DeadQueue,
    Queue,
    RequestsQueue,
    StickyQueue,
    WorkflowQueue,
)

Arguments: TypeAlias = dict[str, str | int]
DELIVERY_LIMIT = 20
"""Deliveries of one message on a quorum queue; RabbitMQ 4's default, set for all versions."""
DEAD_DELIVERY_LIMIT = 1_000_000
"""Looks at one dead letter; versions differ in how, and whether, no limit at all can be said."""


class QueueType(Enum):
    """A setting of the namespace."""

    CLASSIC = "classic"
    QUORUM = "quorum"


class ExchangePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A durable exchange."""

    name: str
    type: str
    arguments: Arguments


class QueuePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A durable queue and the keys that bind it to one exchange."""

    name: str
    arguments: Arguments
    exchange: str
    keys: Sequence[str]


def exchanges(namespace: Namespace) -> Sequence[ExchangePlan]:
    """The exchanges of `namespace`, in an order in which they can be declared."""
    to_dead: Arguments = {"alternate-exchange": names.dead_exchange(namespace)}
    return [
        ExchangePlan(name=names.dead_exchange(namespace), type="fanout", arguments={}),
        ExchangePlan(name=names.tasks_exchange(namespace), type="direct", arguments={}),
        ExchangePlan(name=names.requests_exchange(namespace), type="direct", arguments=to_dead),
        ExchangePlan(name=names.completions_exchange(namespace), type="direct", arguments={}),
        ExchangePlan(name=names.events_exchange(namespace), type="topic", arguments={}),
    ]


def shared_queues(namespace: Namespace, queue_type: QueueType) -> Sequence[QueuePlan]:
    """The queues that exist once in `namespace`."""
    completions = QueuePlan(
        name=names.completions_queue(namespace),
        arguments=_lasting_arguments(namespace, queue_type),
        exchange=names.completions_exchange(namespace),
        keys=names.COMPLETIONS,
    )
    own = (queue_plan(namespace, queue, queue_type) for queue in (DeadQueue(), RequestsQueue()))
    return [*own, completions]


def queue_plan(namespace: Namespace, queue: Queue, queue_type: QueueType) -> QueuePlan:
    """How `queue` is declared. Sticky queues are classic always: they come and go."""
    match queue:
        case StickyQueue():
            shared = WorkflowQueue(queue.task_queue)
            arguments: Arguments = {
                "x-queue-type": QueueType.CLASSIC.value,
                "x-message-ttl": STICKY_TTL_MS,
                "x-expires": STICKY_EXPIRES_MS,
                "x-dead-letter-exchange": names.tasks_exchange(namespace),
                "x-dead-letter-routing-key": names.routing_key(shared),
            }
        case DeadQueue():
            arguments = {"x-queue-type": queue_type.value}
            if queue_type is QueueType.QUORUM:
                # Nothing is behind it: at its limit, 20 by default, a letter would be dropped,
                # and each look at it is a delivery.
                arguments["x-delivery-limit"] = DEAD_DELIVERY_LIMIT
        case _:
            arguments = _lasting_arguments(namespace, queue_type)
    return QueuePlan(
        name=names.queue_name(namespace, queue),
        arguments=arguments,
        exchange=names.exchange_of(namespace, queue),
        keys=names.REQUESTS if isinstance(queue, RequestsQueue) else (names.routing_key(queue),),
    )


def _lasting_arguments(namespace: Namespace, queue_type: QueueType) -> Arguments:
    if queue_type is QueueType.CLASSIC:
        return {"x-queue-type": queue_type.value}
    return {
        "x-queue-type": queue_type.value,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": names.dead_exchange(namespace),
    }
