"""What a RabbitMQ says of itself and of our queues. Reads only, for `doctor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ChannelNotFoundEntity

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.connection import LOST, Link
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import Namespace
from orchestrator.ports.broker import Queue


class QueueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it stood when asked."""

    messages: int
    """Those that wait, not those in somebody's hand."""
    consumers: int


class RabbitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One server. A queue that is not there, or may not be looked at, has None."""

    product: str
    version: str
    queues: Mapping[Queue, QueueFacts | None]


async def read_facts(url: str, namespace: Namespace, queues: Sequence[Queue]) -> RabbitFacts:
    """Connect to `url` and ask.

    Raises:
        UnavailableError: no answer within 5 s.
        MisconfiguredError: user, password or virtual host are refused.
    """
    link = Link(url, name="orchestrator doctor")
    try:
        channel = await link.channel(confirms=False)
        properties = channel.connection.server_properties
        found = {queue: await _look(link, names.queue_name(namespace, queue)) for queue in queues}
        return RabbitFacts(
            product=str(properties.get("product", "?")),
            version=str(properties.get("version", "?")),
            queues=found,
        )
    finally:
        await link.close()


async def _look(link: Link, name: str) -> QueueFacts | None:
    channel = await link.channel(confirms=False)
    try:
        answer = await channel.queue_declare(name, passive=True)
    except (ChannelNotFoundEntity, ChannelAccessRefused, ChannelLockedResource):
        return None  # The channel went with the question.
    except LOST as error:
        raise UnavailableError(
            f"RabbitMQ did not answer: {error or type(error).__name__}"
        ) from error
    await channel.close()
    return QueueFacts(messages=answer.message_count or 0, consumers=answer.consumer_count or 0)
