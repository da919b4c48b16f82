"""Publishing: persistent, mandatory, confirmed; and what became of each message, told once.

What is published in one turn of the loop starts together and is written together. A confirm counts
only when it is a real `Basic.Ack`. `message_id` is left to the client library, which finds returned
messages by it: two in flight with the same id would get each other's outcome.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from aiormq import Channel
from aiormq.exceptions import PublishError
from pamqp import commands
from pamqp.common import FieldValue

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.connection import LOST, Link
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import Namespace
from orchestrator.limits import CONFIRM_TIMEOUT_MS, REASON_CHARS_MAX
from orchestrator.ports.broker import Outgoing, Published, Queue, ReplyTo

IN_FLIGHT_MAX = 1_000
"""Messages without an answer; more wait here, where they cost less."""
WAITING_MAX = 10_000
"""Messages that wait behind those; beyond, the outcome is unknown at once: RabbitMQ is blocked."""
PERSISTENT = 2
TRANSIENT = 1
Done: TypeAlias = Callable[[Published], None]


class Publisher:
    """Sends on channels of its own and owns the tasks that wait for confirms."""

    def __init__(self, link: Link, namespace: Namespace) -> None:
        self._link = link
        self._namespace = namespace
        self._channels: dict[bool, Channel] = {}
        self._opening = asyncio.Lock()
        self._waiting: deque[tuple[Outgoing, Done | None, float]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn_planned = False
        self._is_closed = False

    def publish(self, message: Outgoing, done: Done | None) -> None:
        """Send in the next turn of the loop; `done` is called once, in a later one."""
        loop = asyncio.get_running_loop()
        if self._is_closed or len(self._waiting) >= WAITING_MAX:
            if done is not None:
                loop.call_soon(done, Published.UNKNOWN)
            return
        self._waiting.append((message, done, loop.time() + CONFIRM_TIMEOUT_MS / 1000))
        self._plan_turn()

    async def close(self) -> None:
        """Wait for what is in flight, at most as long as a confirm may take; then all is told."""
        self._is_closed = True
        while self._waiting or self._tasks:
            self._turn()
            await asyncio.wait(list(self._tasks))

    def _plan_turn(self) -> None:
        if not self._turn_planned:
            self._turn_planned = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        while self._waiting and len(self._tasks) < IN_FLIGHT_MAX:
            task = asyncio.get_running_loop().create_task(self._send(*self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._waiting:
            self._plan_turn()
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of a publish failed", "exception": error, "task": task}
            )

    async def _send(self, message: Outgoing, done: Done | None, deadline: float) -> None:
        result = Published.UNKNOWN
        try:
            async with asyncio.timeout_at(deadline):
                result = await self._write(message)
        except PublishError:
            result = Published.UNROUTABLE
        except (*LOST, UnavailableError):
            pass  # Refused, timed out or cut off: unknown.
        except asyncio.CancelledError:
            # The library cancels what waits on a channel that closes; anybody else's cancel counts.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            if done is not None:
                done(result)

    async def _write(self, message: Outgoing) -> Published:
        if isinstance(message.to, ReplyTo):
            channel = await self._channel(confirms=False)
            await channel.basic_publish(
                message.body,
                routing_key=message.to.address,
                properties=properties_of(message),
                wait=False,
            )
            return Published.CONFIRMED
        channel = await self._channel(confirms=True)
        return await publish_confirmed(channel, self._namespace, message.to, message)

    async def _channel(self, *, confirms: bool) -> Channel:
        channel = self._channels.get(confirms)
        if channel is not None and not channel.is_closed:
            return channel
        async with self._opening:
            channel = self._channels.get(confirms)
            if channel is None or channel.is_closed:
                channel = await self._link.channel(confirms=confirms)
                self._channels[confirms] = channel
            return channel


async def publish_confirmed(
    channel: Channel, namespace: Namespace, to: Queue, message: Outgoing
) -> Published:
    """Publish `message` to a queue and wait for the answer.

    Raises:
        PublishError: it came back, no queue wanted it.
        AMQPError: refused or cut off.
    """
    answer = await channel.basic_publish(
        message.body,
        exchange=names.exchange_of(namespace, to),
        routing_key=names.routing_key(to),
        properties=properties_of(message),
        mandatory=True,
        wait=False,
    )
    return Published.CONFIRMED if isinstance(answer, commands.Basic.Ack) else Published.UNKNOWN


def properties_of(message: Outgoing) -> commands.Basic.Properties:
    """The AMQP properties of `message`."""
    return commands.Basic.Properties(
        delivery_mode=TRANSIENT if isinstance(message.to, ReplyTo) else PERSISTENT,
        reply_to=message.reply_to,
        correlation_id=message.correlation_id,
        expiration=None if message.expires_in_ms is None else str(message.expires_in_ms),
        headers=None if message.reason is None else _reason(message.reason),
    )


def _reason(text: str) -> dict[str, FieldValue]:
    """A reason may quote what it found, and a header over one frame would close the connection."""
    return {names.REASON_HEADER: text[:REASON_CHARS_MAX]}
