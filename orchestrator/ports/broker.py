"""The port to the carrier of work (RabbitMQ, or memory).

Messages may be lost, doubled, delayed and reordered; nothing here is a lock. Deliveries arrive in
batches through a plain callback on the event loop's thread; nobody awaits inside of it. A publish
is done when its callback says so, with one of three outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

import msgspec

from orchestrator.ids import TaskQueue


class WorkflowQueue(msgspec.Struct, frozen=True):
    """Wake-ups and queries that any workflow worker of a task queue may take."""

    task_queue: TaskQueue


class ActivityQueue(msgspec.Struct, frozen=True):
    """Activity tasks of a task queue."""

    task_queue: TaskQueue


class StickyQueue(msgspec.Struct, frozen=True):
    """A worker's own wake-ups; after 500 ms, or when it is gone, they go to `WorkflowQueue`."""

    worker: str
    task_queue: TaskQueue


class RequestsQueue(msgspec.Struct, frozen=True):
    """Requests of clients that speak AMQP only."""


class DeadQueue(msgspec.Struct, frozen=True):
    """What could not be understood, with the reason in a header."""


class ReplyTo(msgspec.Struct, frozen=True):
    """Whoever asked: the `reply_to` of a delivery."""

    address: str


Queue: TypeAlias = WorkflowQueue | ActivityQueue | StickyQueue | RequestsQueue | DeadQueue
Destination: TypeAlias = Queue | ReplyTo


OnMade: TypeAlias = Callable[[Sequence[Queue]], None]
"""Told of queues that were not there although their process relied on them: what they held is gone
and is to be repeated (`DutyStore.wake_now`). Brokers take it when they are made; it is called for
queues that `consume` or a recovery had to make, not for those that `declare` returns."""


class Published(Enum):
    """What became of a publish."""

    CONFIRMED = "confirmed"
    """The broker has it, in at least one queue."""
    UNROUTABLE = "unroutable"
    """No queue wanted it: a worker's own queue is gone, or nothing was declared."""
    UNKNOWN = "unknown"
    """Refused, timed out or cut off; it may or may not be there."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message to publish. Persistent and mandatory, except to `ReplyTo`.

    `expires_in_ms` drops it when nobody took it in time; `reason` is a header of dead letters.
    """

    to: Destination
    body: bytes
    reply_to: str | None = None
    correlation_id: str | None = None
    expires_in_ms: int | None = None
    reason: str | None = None


class Delivery(Protocol):
    """A message in hand, unacknowledged."""

    @property
    def body(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def redelivered(self) -> bool:
        """A hint that it was in other hands before."""
        ...

    @property
    def reply_to(self) -> str | None:
        """Where an answer goes."""
        ...

    @property
    def correlation_id(self) -> str | None:
        """What an answer repeats."""
        ...

    @property
    def reason(self) -> str | None:
        """Why it is a dead letter, if it is one and the reason is known."""
        ...

    def ack(self) -> None:
        """Its effect is definite; forget it. Never fails: a lost ack means a redelivery."""
        ...

    def give_back(self) -> None:
        """Put it back for anybody. Never fails."""
        ...


class Consumer(Protocol):
    """A subscription to one queue."""

    @property
    def is_consuming(self) -> bool:
        """Whether deliveries can come now: not while it waits to subscribe again, nor after
        `stop`."""
        ...

    async def stop(self) -> None:
        """Take no further deliveries; those in hand stay in hand until acked or the broker
        closes."""
        ...


class Broker(Protocol):
    """The carrier of work. What it lost it declares again by itself before work goes on."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known without asking."""
        ...

    async def open(self) -> None:
        """Connect and declare exchanges and shared queues.

        Raises:
            UnavailableError: no answer within 5 s.
            MisconfiguredError: what is declared there differs from what we need.
        """
        ...

    async def close(self) -> None:
        """Flush acks and disconnect; unacknowledged deliveries go back to their queues."""
        ...

    async def declare(self, *queues: Queue) -> Sequence[Queue]:
        """Make queues and their bindings; those that did not exist before are returned."""
        ...

    async def delete(self, queue: Queue) -> None:
        """Remove a queue, e.g. a worker's own at its end."""
        ...

    def publish(self, message: Outgoing, done: Callable[[Published], None] | None = None) -> None:
        """Send without waiting; `done` is called exactly once on the loop's thread, never inside of
        this call. Messages of one turn of the loop are written together. Answers (`ReplyTo`) call
        `done` at once after the write, unconfirmed."""
        ...

    async def consume(
        self,
        queue: Queue,
        on_batch: Callable[[Sequence[Delivery]], None],
        *,
        prefetch: int,
    ) -> Consumer:
        """Deliver up to `prefetch` unacknowledged messages of `queue`. Survives reconnects; after
        one the deliveries in hand are void and will come again."""
        ...

    async def ready(self, queue: Queue) -> int | None:
        """How many messages wait in `queue`; None when it does not exist."""
        ...

    async def request(self, to: Destination, body: bytes, *, timeout_ms: int) -> bytes:
        """Publish and wait for the one answer.

        Raises:
            UnavailableError: no answer in time, or nobody listens.
        """
        ...
