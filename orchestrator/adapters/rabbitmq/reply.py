"""Asking: one channel sends the questions and hears the answers, on RabbitMQ's direct reply-to.

An answer is known by its correlation id. One that comes too late, or that nobody asked for, is
dropped. When the channel is lost all open questions end: their answers have nowhere to go.
"""

from __future__ import annotations

import asyncio
import itertools

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import PublishError

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.connection import LOST, Link, when_closed
from orchestrator.adapters.rabbitmq.publisher import publish_confirmed
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import Namespace
from orchestrator.ports.broker import Destination, Outgoing, Published, ReplyTo


class Asker:
    """Questions of one process; its channel is opened by the first one."""

    def __init__(self, link: Link, namespace: Namespace) -> None:
        self._link = link
        self._namespace = namespace
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[str, asyncio.Future[bytes]] = {}

    async def ask(self, to: Destination, body: bytes, *, timeout_ms: int) -> bytes:
        """Publish a question and wait for its answer.

        Raises:
            UnavailableError: no answer in time, nobody listens, or the channel was lost.
        """
        if isinstance(to, ReplyTo):
            raise UnavailableError("a question needs a queue; whoever asked takes answers only")
        number = str(next(self._numbers))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        question = Outgoing(
            to=to,
            body=body,
            reply_to=names.REPLY_TO,
            correlation_id=number,
            expires_in_ms=timeout_ms,
        )
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                channel = await self._ready_channel()
                self._open[number] = answer
                result = await publish_confirmed(channel, self._namespace, to, question)
                if result is not Published.CONFIRMED:
                    raise UnavailableError(f"RabbitMQ refused a question to {to}")
                return await answer
        except PublishError:
            raise UnavailableError(f"nobody listens at {to}") from None
        except TimeoutError:
            raise UnavailableError(f"no answer from {to} within {timeout_ms} ms") from None
        except LOST as error:
            raise UnavailableError(f"the question to {to} was cut off: {error}") from error
        finally:
            self._open.pop(number, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # Looked at, so that asyncio does not complain of it.

    def give_up(self) -> None:
        """End all open questions with `UnavailableError`."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(UnavailableError("the connection was lost before an answer"))

    async def _ready_channel(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                channel = await self._link.channel(confirms=True)
                await channel.basic_consume(names.REPLY_TO, self._hear, no_ack=True)
                when_closed(channel, self.give_up)
                self._channel = channel
            return self._channel

    async def _hear(self, message: DeliveredMessage) -> None:
        answer = self._open.get(message.header.properties.correlation_id or "")
        if answer is not None and not answer.done():
            answer.set_result(message.body)
