"""A channel in confirm mode for many senders: a turn's messages in one write, outcomes by callback.

No message costs a task or a timer: confirms resolve futures, one sweep a second ends what got no
answer in time. What is written and unconfirmed is bounded, in count and bytes, because the client
library writes without waiting for the peer; the rest waits here until it is too late for it. The
channel is opened by the first message and again after a loss, which leaves the outcome of
everything in flight unknown.

`message_id` is random for each publish: the client library finds returned messages by it, and two
in flight with the same id would get each other's outcome.
"""

# pyright: reportUnknownMemberType=false
# aiormq leaves some of its types open.
from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import pamqp.frame
from aiormq import Channel
from aiormq.abc import ChannelFrame
from aiormq.exceptions import PublishError
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.common import FieldValue
from pamqp.header import ContentHeader

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.connection import LOST, when_closed
from orchestrator.exceptions import OrchestratorError
from orchestrator.ids import Namespace
from orchestrator.limits import (
    CONFIRM_TIMEOUT_MS,
    PUBLISH_ROUTES_MAX,
    PUBLISHES_BYTES_IN_FLIGHT_MAX,
    PUBLISHES_IN_FLIGHT_MAX,
    PUBLISHES_SWEEP_MS,
    PUBLISHES_WAITING_MAX,
    REASON_CHARS_MAX,
    WRITER_BUSY_PAUSE_MS,
)
from orchestrator.ports.broker import Outgoing, Published, ReplyTo
from orchestrator.telemetry.metrics import Counters

Done: TypeAlias = Callable[[Published], None]
OpenChannel: TypeAlias = Callable[[], Awaitable[Channel]]
"""A fresh channel with confirms; raises an error of ours."""
PERSISTENT = 2
TRANSIENT = 1


@dataclass(slots=True)
class _Pending:
    """A message whose outcome is not known. `done` is None once it was told, or nobody asks."""

    message: Outgoing
    done: Done | None
    until: float
    is_late: bool = False


class Sender:
    """Publishes messages; each `done` is called exactly once, never inside of `send`."""

    def __init__(self, open_channel: OpenChannel, namespace: Namespace, counters: Counters) -> None:
        self._open_channel = open_channel
        self._namespace = namespace
        self._counters = counters
        self._channel: Channel | None = None
        self._routes: dict[tuple[str, str], bytes] = {}
        self._waiting: deque[_Pending] = deque()
        self._unconfirmed: dict[int, _Pending] = {}
        self._unconfirmed_bytes = 0
        self._late = 0
        self._prefix = secrets.token_hex(8)
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_opening = False
        self._turn_planned = False
        self._sweep_planned: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()

    def send(self, message: Outgoing, done: Done | None) -> None:
        """Send in the next turn of the loop. Too many waiting, or closed: unknown at once."""
        loop = asyncio.get_running_loop()
        if self._is_closed or len(self._waiting) >= PUBLISHES_WAITING_MAX:
            if done is not None:
                loop.call_soon(done, Published.UNKNOWN)
            return
        until = loop.time() + CONFIRM_TIMEOUT_MS / 1000
        self._waiting.append(_Pending(message, done, until))
        self._plan_turn()
        if self._sweep_planned is None:
            self._sweep_planned = loop.call_later(PUBLISHES_SWEEP_MS / 1000, self._sweep)

    async def close(self) -> None:
        """Wait for what is under way, at most as long as a confirm may take; then all is told."""
        self._is_closed = True
        while self._waiting or len(self._unconfirmed) > self._late:
            self._emptied.clear()
            await self._emptied.wait()
        if self._sweep_planned is not None:
            self._sweep_planned.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _plan_turn(self) -> None:
        if not self._turn_planned:
            self._turn_planned = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Write what waits and may be in flight, all of it at once."""
        self._turn_planned = False
        if self._channel is not None and self._channel.is_closed:
            self._lost(self._channel)
        channel = self._channel
        if channel is None:
            self._open()
            return
        if channel.write_queue.full():
            self._turn_planned = True
            loop = asyncio.get_running_loop()
            loop.call_later(WRITER_BUSY_PAUSE_MS / 1000, self._turn)
            return
        payload: list[bytes] = []
        count = 0
        while self._waiting and self._has_room():
            pending = self._waiting.popleft()
            frames = self._frames(channel, pending.message)
            if frames is None:
                self._tell(pending, Published.UNKNOWN)
                continue
            payload += frames
            count += 1
            self._expect(channel, pending)
        if count:
            self._counters.add("amqp_published", count)
            frame = ChannelFrame(payload=b"".join(payload), should_close=False)
            channel.write_queue.put_nowait(frame)

    def _has_room(self) -> bool:
        return (
            len(self._unconfirmed) < PUBLISHES_IN_FLIGHT_MAX
            and self._unconfirmed_bytes < PUBLISHES_BYTES_IN_FLIGHT_MAX
        )

    def _frames(self, channel: Channel, message: Outgoing) -> list[bytes] | None:
        """The frames of a message as bytes; None when AMQP cannot carry what it says."""
        body = message.body
        step = channel.max_content_size if channel.max_content_size > 0 else len(body) or 1
        self._number += 1
        try:
            header = ContentHeader(
                properties=_properties_of(message, f"{self._prefix}-{self._number}"),
                body_size=len(body),
            )
            return [
                self._route(channel, message),
                pamqp.frame.marshal(header, channel.number),
                *(
                    pamqp.frame.marshal(ContentBody(body[i : i + step]), channel.number)
                    for i in range(0, len(body), step)
                ),
            ]
        except (ValueError, TypeError) as error:  # what pamqp raises for an over-long short string
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"a message to {message.to} cannot be published", "exception": error}
            )
            return None

    def _route(self, channel: Channel, message: Outgoing) -> bytes:
        if isinstance(message.to, ReplyTo):
            exchange, key, mandatory = "", message.to.address, False
        else:
            exchange = names.exchange_of(self._namespace, message.to)
            key, mandatory = names.routing_key(message.to), True
        found = self._routes.get((exchange, key))
        if found is None:
            frame = commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
            found = pamqp.frame.marshal(frame, channel.number)
            if len(self._routes) >= PUBLISH_ROUTES_MAX:
                self._routes.clear()
            self._routes[exchange, key] = found
        return found

    def _expect(self, channel: Channel, pending: _Pending) -> None:
        """Note the message as the channel's next one, where the client library looks for it."""
        channel.delivery_tag += 1
        tag, message_id = channel.delivery_tag, f"{self._prefix}-{self._number}"
        confirmation: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        confirmation.add_done_callback(partial(self._answered, channel, tag, message_id))
        channel.confirmations[tag] = confirmation
        channel.message_id_delivery_tag[message_id] = tag
        self._unconfirmed[tag] = pending
        self._unconfirmed_bytes += len(pending.message.body)
        if isinstance(pending.message.to, ReplyTo) and pending.done is not None:
            # Answers are not waited for; the callback is the next turn's.
            asyncio.get_running_loop().call_soon(pending.done, Published.CONFIRMED)
            pending.done = None

    def _answered(
        self, channel: Channel, tag: int, message_id: str, confirmation: asyncio.Future[object]
    ) -> None:
        channel.message_id_delivery_tag.pop(message_id, None)
        error = None if confirmation.cancelled() else confirmation.exception()
        if channel is not self._channel:
            return  # Everything of a channel was told when it was lost.
        result = Published.UNKNOWN
        if error is None and isinstance(_result_of(confirmation), commands.Basic.Ack):
            self._counters.add("amqp_confirmed")
            result = Published.CONFIRMED
        elif isinstance(error, PublishError):
            result = Published.UNROUTABLE
        pending = self._unconfirmed.pop(tag)
        self._unconfirmed_bytes -= len(pending.message.body)
        if pending.is_late:
            self._late -= 1
        self._tell(pending, result)
        if self._waiting:
            self._plan_turn()

    def _tell(self, pending: _Pending, result: Published) -> None:
        done, pending.done = pending.done, None
        if self._is_closed:
            self._emptied.set()
        if done is None:
            return
        try:
            done(result)
        except Exception as error:  # the boundary to foreign callbacks
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of a publish failed", "exception": error}
            )

    def _sweep(self) -> None:
        """End what got no answer in time; it stays in flight, it may still be confirmed."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and self._waiting[0].until <= now:
            self._tell(self._waiting.popleft(), Published.UNKNOWN)
        for pending in tuple(self._unconfirmed.values()):
            if pending.until > now:
                break
            if not pending.is_late:
                pending.is_late = True
                self._late += 1
                self._tell(pending, Published.UNKNOWN)
        self._sweep_planned = None
        if self._late >= PUBLISHES_IN_FLIGHT_MAX // 2:
            self._leave()
        if self._waiting or len(self._unconfirmed) > self._late:
            self._sweep_planned = loop.call_later(PUBLISHES_SWEEP_MS / 1000, self._sweep)

    def _leave(self) -> None:
        """Give up a channel that answers no more, before it holds up everything."""
        channel = self._channel
        if channel is not None:
            self._lost(channel)
            self._own(_close(channel))

    def _lost(self, channel: Channel) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        self._routes.clear()
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        self._unconfirmed_bytes = self._late = 0
        for pending in unconfirmed.values():
            self._tell(pending, Published.UNKNOWN)
        if self._waiting:
            self._plan_turn()

    def _open(self) -> None:
        if not self._is_opening and self._waiting:
            self._is_opening = True
            self._own(self._opened())

    async def _opened(self) -> None:
        try:
            channel = await self._open_channel()
        except OrchestratorError:
            while self._waiting:
                self._tell(self._waiting.popleft(), Published.UNKNOWN)
            return
        finally:
            self._is_opening = False
        self._channel = channel
        when_closed(channel, partial(self._lost, channel))
        self._plan_turn()

    def _own(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _properties_of(message: Outgoing, message_id: str) -> commands.Basic.Properties:
    return commands.Basic.Properties(
        delivery_mode=TRANSIENT if isinstance(message.to, ReplyTo) else PERSISTENT,
        message_id=message_id,
        reply_to=message.reply_to,
        correlation_id=message.correlation_id,
        expiration=None if message.expires_in_ms is None else str(message.expires_in_ms),
        headers=None if message.reason is None else _reason(message.reason),
    )


def _reason(text: str) -> dict[str, FieldValue]:
    """A reason may quote what it found, and a header over one frame would close the connection."""
    return {names.REASON_HEADER: text[:REASON_CHARS_MAX]}


def _result_of(confirmation: asyncio.Future[object]) -> object:
    return None if confirmation.cancelled() else confirmation.result()


async def _close(channel: Channel) -> None:
    try:
        await channel.close()
    except LOST:
        pass  # It is closed, which was the aim.
