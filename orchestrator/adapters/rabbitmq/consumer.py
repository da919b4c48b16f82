"""Consuming: deliveries of a turn in one call, acks of a turn in few frames.

A consumer has a channel of its own. When the channel is lost, or RabbitMQ cancels the consumer
(its queue was deleted), it subscribes anew; the deliveries of the old channel are void, because
delivery tags count per channel, and RabbitMQ sends them again. No error of a callback or of a
message gets into the client library, where it would leave the delivery in hand for ever.
"""

# pyright: reportUnknownMemberType=false
# aiormq leaves some of its types open.
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from aiormq import Channel
from aiormq.abc import ChannelFrame, DeliveredMessage
from pamqp import commands

from orchestrator.adapters.rabbitmq import names
from orchestrator.adapters.rabbitmq.connection import LOST, when_closed
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.limits import CONNECT_TIMEOUT_MS, WRITER_BUSY_PAUSE_MS
from orchestrator.ports.broker import Delivery
from orchestrator.telemetry.metrics import Counters

RESUBSCRIBE_PAUSES_S = (0.0, 0.1, 0.5, 1.0, 2.0)
"""Pauses between attempts to subscribe again; the last one is repeated for ever."""
STEADY_S = 5.0
"""A subscription that is lost sooner counts as a failed attempt."""
OnBatch: TypeAlias = Callable[[Sequence[Delivery]], None]
OpenChannel: TypeAlias = Callable[[], Awaitable[Channel]]
"""A fresh channel of the consuming connection, after the queue was declared."""
_log = logging.getLogger(__name__)


class RabbitDelivery:
    """A message in hand; implements `orchestrator.ports.broker.Delivery`."""

    def __init__(self, hand: Hand, tag: int, message: DeliveredMessage) -> None:
        properties = message.header.properties
        headers = properties.headers or {}
        reason = headers.get(names.REASON_HEADER)
        if reason is None and headers.get(names.DEATH_REASON_HEADER) != names.FELL:
            reason = headers.get(names.DEATH_REASON_HEADER)
        came = message.delivery
        if reason is None and isinstance(came, commands.Basic.Deliver):
            reason = names.unknown_key(came.exchange or "", came.routing_key or "")
        self._hand = hand
        self._tag = tag
        self.body: bytes = message.body
        self.redelivered = bool(message.redelivered)
        self.reply_to: str | None = properties.reply_to
        self.correlation_id: str | None = properties.correlation_id
        self.reason = None if reason is None else str(reason)

    def ack(self) -> None:
        """Forget the message, with the other acks of this turn."""
        self._hand.finish(self._tag, is_acked=True)

    def give_back(self) -> None:
        """Return the message to its queue, with the other returns of this turn."""
        self._hand.finish(self._tag, is_acked=False)


class Hand:
    """What came over one channel and is not finished; it dies with the channel."""

    def __init__(self, channel: Channel, on_batch: OnBatch, counters: Counters) -> None:
        self.channel = channel
        self.lost = asyncio.Event()
        self.taken = 0
        self._on_batch = on_batch
        self._counters = counters
        self._batch: list[RabbitDelivery] = []
        self._unfinished: dict[int, None] = {}
        self._acked: list[int] = []
        self._returned: list[int] = []
        self._flush_planned = False
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        when_closed(channel, self.lost.set)

    @property
    def is_empty(self) -> bool:
        """Whether everything that was taken is finished."""
        return not self._unfinished

    async def take(self, message: DeliveredMessage) -> None:
        """Keep `message` for the batch of this turn. Raises nothing."""
        tag = message.delivery_tag
        if tag is None or self.lost.is_set():
            return
        self.taken += 1
        self._unfinished[tag] = None
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._batch.append(RabbitDelivery(self, tag, message))

    def finish(self, tag: int, *, is_acked: bool) -> None:
        """Note that `tag` is done with; nothing when it is already, or the channel is lost."""
        if tag in self._unfinished and not self.lost.is_set():
            del self._unfinished[tag]
            (self._acked if is_acked else self._returned).append(tag)
            if not self._flush_planned:
                self._flush_planned = True
                asyncio.get_running_loop().call_soon(self._flush)

    async def finish_writing(self) -> None:
        """Write the acks and returns noted so far, and wait until they are on their way. Never
        fails: a lost ack is a redelivery."""
        frames = self._frames()
        if not frames or self.lost.is_set():
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                await self.channel.write_queue.put(
                    ChannelFrame.marshall(self.channel.number, frames, drain_future=written)
                )
                await written
        except TimeoutError:
            self.lost.set()

    def _flush(self) -> None:
        """Write the acks and returns of a turn together."""
        self._flush_planned = False
        if self.lost.is_set() or self.channel.is_closed:
            return
        if self.channel.write_queue.full():
            self._flush_planned = True
            loop = asyncio.get_running_loop()
            loop.call_later(WRITER_BUSY_PAUSE_MS / 1000, self._flush)
            return
        frames = self._frames()
        if frames:
            self.channel.write_queue.put_nowait(ChannelFrame.marshall(self.channel.number, frames))

    def _frames(self) -> list[commands.Basic.Ack | commands.Basic.Nack]:
        acked, self._acked = sorted(self._acked), []
        returned, self._returned = self._returned, []
        # Returns first, so that no ack of many covers one of them.
        frames: list[commands.Basic.Ack | commands.Basic.Nack] = [
            commands.Basic.Nack(delivery_tag=tag, requeue=True) for tag in returned
        ]
        acks = coalesce(acked, next(iter(self._unfinished), None))
        self._counters.add("amqp_acked", len(acks))
        frames += [
            commands.Basic.Ack(delivery_tag=tag, multiple=is_multiple) for tag, is_multiple in acks
        ]
        return frames

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        if self.lost.is_set():
            return
        self._counters.add("amqp_delivered", len(batch))
        try:
            self._on_batch(batch)
        except Exception as error:  # the boundary to foreign callbacks
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a consumer's callback failed", "exception": error}
            )

    def _cancelled(self, _: commands.Basic.Cancel) -> None:
        self.lost.set()


def coalesce(acked: Sequence[int], lowest_unfinished: int | None) -> list[tuple[int, bool]]:
    """The acks to write for the ascending tags `acked`, as (tag, multiple).

    One ack of many covers all tags below the lowest unfinished one: everything down there is
    finished. The others are acked one by one.
    """
    below = [tag for tag in acked if lowest_unfinished is None or tag < lowest_unfinished]
    above = acked[len(below) :]
    acks = [(below[-1], len(below) > 1)] if below else []
    return acks + [(tag, False) for tag in above]


class RabbitConsumer:
    """A subscription that outlives its channels; implements the port's `Consumer`."""

    def __init__(
        self,
        open_channel: OpenChannel,
        queue_name: str,
        on_batch: OnBatch,
        *,
        prefetch: int,
        counters: Counters,
    ) -> None:
        self._open_channel = open_channel
        self._counters = counters
        self._queue_name = queue_name
        self._on_batch = on_batch
        self._prefetch = prefetch
        self._consumer_tag: str | None = None
        self._hand: Hand | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._taken_at_check = -1
        self._attempts = 0

    @property
    def is_consuming(self) -> bool:
        """Whether deliveries can come now."""
        return self._hand is not None and not self._hand.lost.is_set() and not self._is_stopped

    @property
    def is_finished(self) -> bool:
        """Whether it was stopped and nothing is in hand any more."""
        hand = self._hand
        return self._is_stopped and (hand is None or hand.lost.is_set() or hand.is_empty)

    async def start(self) -> None:
        """Subscribe, and stay subscribed until `stop` or `close`.

        Raises:
            UnavailableError: RabbitMQ does not answer.
            MisconfiguredError: the queue is there with other arguments.
        """
        hand = await self._subscribe()
        self._task = asyncio.get_running_loop().create_task(self._keep(hand))

    async def stop(self) -> None:
        """Take nothing more; what is in hand stays there, and can be acked, until `close`."""
        self._is_stopped = True
        hand, tag = self._hand, self._consumer_tag
        if hand is not None and tag is not None and not hand.lost.is_set():
            try:
                await hand.channel.basic_cancel(tag, timeout=CONNECT_TIMEOUT_MS / 1000)
            except LOST:
                hand.lost.set()

    async def close(self) -> None:
        """Write the last acks and give up the channel: what is in hand goes back. Never fails."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._hand is not None and not self._hand.lost.is_set():
            await self._hand.finish_writing()
            self._hand.lost.set()
            await _close_channel(self._hand.channel)

    def check(self, *, messages: int, consumers: int) -> None:
        """Compare with what RabbitMQ knows of the queue; a subscription that it has forgotten, or
        that takes nothing although something waits, is made anew."""
        hand = self._hand
        if hand is None or hand.lost.is_set() or self._is_stopped:
            return
        is_idle = hand.is_empty and hand.taken == self._taken_at_check
        self._taken_at_check = hand.taken
        if not consumers or (messages and is_idle):
            _log.warning("consumer_silent queue=%s messages=%d", self._queue_name, messages)
            hand.lost.set()

    async def _subscribe(self) -> Hand:
        channel = await self._open_channel()
        hand = Hand(channel, self._on_batch, self._counters)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                await channel.basic_qos(prefetch_count=self._prefetch)
                answer = await channel.basic_consume(self._queue_name, hand.take)
        except LOST as error:
            hand.lost.set()
            raise UnavailableError(f"cannot consume {self._queue_name}: {error}") from error
        self._consumer_tag = answer.consumer_tag
        self._hand = hand
        self._taken_at_check = -1
        if self._is_stopped:  # Meanwhile; `stop` saw the old channel.
            await self.stop()
        return hand

    async def _keep(self, hand: Hand) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await hand.lost.wait()
            if self._is_stopped:
                return
            if loop.time() - begun >= STEADY_S:
                self._attempts = 0
            _log.warning("consumer_lost queue=%s", self._queue_name)
            await _close_channel(hand.channel)
            restored = await self._subscribe_again()
            if restored is None:
                return
            hand = restored

    async def _subscribe_again(self) -> Hand | None:
        while not self._is_stopped:
            attempt = min(self._attempts, len(RESUBSCRIBE_PAUSES_S) - 1)
            self._attempts += 1
            await asyncio.sleep(RESUBSCRIBE_PAUSES_S[attempt])
            try:
                return await self._subscribe()
            except (UnavailableError, MisconfiguredError) as error:
                _log.warning("consumer_not_restored queue=%s error=%s", self._queue_name, error)
        return None


async def _close_channel(channel: Channel) -> None:
    """Let RabbitMQ take back what is in hand on a channel that lives on without its consumer."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
            await channel.close()
    except LOST:
        pass  # It is closed, which was the aim.
