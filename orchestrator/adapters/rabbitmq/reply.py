"""Asking: one channel sends the questions and hears the answers, on RabbitMQ's direct reply-to.

An answer is known by its correlation id. One that comes too late, or that nobody asked for, is
dropped. When the channel is lost all open questions end: their answers have nowhere to go.
"""

from __future__ import annotations

import asyncio
import itertools

from aiormq import Channel
from aiormq.abc import DeliveredMessage

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.connection import LOST, when_closed
from orchestrator.adapters.rabbitmq.sender import OpenChannel, Sender
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import Namespace
from orchestrator.ports.broker import Destination, Outgoing, Published, ReplyTo
from orchestrator.telemetry.metrics import Counters


class Asker:
    """Questions of one process; its channel is opened by the first one."""

    def __init__(self, open_channel: OpenChannel, namespace: Namespace, counters: Counters) -> None:
        self._open_channel = open_channel
        self._sender = Sender(self._listening, namespace, counters)
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

        def published(result: Published) -> None:
            problem = {
                Published.UNROUTABLE: f"nobody listens at {to}",
                Published.UNKNOWN: f"the question to {to} was refused or cut off",
            }.get(result)
            if problem is not None and not answer.done():
                answer.set_exception(UnavailableError(problem))

        self._open[number] = answer
        self._sender.send(question, published)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await answer
        except TimeoutError:
            raise UnavailableError(f"no answer from {to} within {timeout_ms} ms") from None
        finally:
            del self._open[number]

    def give_up(self) -> None:
        """End all open questions with `UnavailableError`."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(UnavailableError("the connection was lost before an answer"))

    async def close(self) -> None:
        """End all open questions; ask no more."""
        self.give_up()
        await self._sender.close()

    async def _listening(self) -> Channel:
        """The channel to ask on; it hears answers before the first question is written."""
        channel = await self._open_channel()
        try:
            await channel.basic_consume(names.REPLY_TO, self._hear, no_ack=True)
        except LOST as error:
            raise UnavailableError(f"cannot listen for answers: {error}") from error
        when_closed(channel, self.give_up)
        return channel

    async def _hear(self, message: DeliveredMessage) -> None:
        answer = self._open.get(message.header.properties.correlation_id or "")
        if answer is not None and not answer.done():
            answer.set_result(message.body)
