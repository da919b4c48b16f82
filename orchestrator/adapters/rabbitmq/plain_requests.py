"""Requests as a program publishes them that has an AMQP library and nothing of ours but two names.

The demo places its orders with it. A request exists only in its message until somebody has
committed it, so whoever asks repeats what is not answered, under the same request id, for as long
as it takes: after a lost connection at once, else after a few seconds.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from orchestrator.adapters.rabbitmq.names import REPLY_TO, requests_exchange
from orchestrator.ids import Namespace
from orchestrator.limits import CONNECT_TIMEOUT_MS

OnAnswer = Callable[[str, Mapping[str, Any]], None]  # Any: JSON
"""Called once for each request with its id and its answer, as plain data."""
REPEAT_S = 3.0
"""An unanswered request is published again after this time."""
_RECONNECT_S = 0.5
_LOOK_S = 0.25
_TROUBLES = (AMQPError, OSError, TimeoutError, asyncio.InvalidStateError, RuntimeError)
"""What aio-pika raises when a connection goes while it is used."""


class Unanswered:
    """Requests that nobody has answered yet, and when each was last published."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._published_s: dict[str, float] = {}
        self.repeats = 0

    def __len__(self) -> int:
        return len(self._bodies)

    def add(self, request_id: str, body: bytes) -> None:
        """Publish this one until it is answered."""
        self._bodies[request_id] = body

    def answered(self, request_id: str) -> bool:
        """Note an answer; False when there was one before, or nobody asked."""
        self._published_s.pop(request_id, None)
        return self._bodies.pop(request_id, None) is not None

    def connection_lost(self) -> None:
        """What was published may be lost: all of it is due."""
        self._published_s = dict.fromkeys(self._published_s, float("-inf"))

    def take_due(self, now_s: float) -> list[bytes]:
        """What is to be published now, for the first time or again, in the order of asking."""
        due = [
            request_id
            for request_id in self._bodies
            if now_s - self._published_s.get(request_id, float("-inf")) >= REPEAT_S
        ]
        self.repeats += sum(request_id in self._published_s for request_id in due)
        self._published_s.update(dict.fromkeys(due, now_s))
        return [self._bodies[request_id] for request_id in due]


class PlainRequests:
    """Publishes requests of one kind until each is answered; see `run`."""

    def __init__(
        self, url: str, namespace: Namespace, *, routing_key: str, on_answer: OnAnswer
    ) -> None:
        self._url = url
        self._exchange = requests_exchange(namespace)
        self._routing_key = routing_key
        self._on_answer = on_answer
        self._news = asyncio.Event()
        self.unanswered = Unanswered()

    def ask(self, requests: Mapping[str, bytes]) -> None:
        """Publish these too: request id → body."""
        for request_id, body in requests.items():
            self.unanswered.add(request_id, body)
        self._news.set()

    async def run(self) -> None:
        """Publish, repeat and take answers until cancelled. A broker that is away is waited for."""
        while True:
            try:
                await self._over_one_connection()
            except _TROUBLES:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # A connection that cannot be closed while it is left hides the cancellation.
                    raise asyncio.CancelledError from None
                self.unanswered.connection_lost()
                await asyncio.sleep(_RECONNECT_S)

    async def _over_one_connection(self) -> None:
        connection = await aio_pika.connect(self._url, timeout=CONNECT_TIMEOUT_MS / 1000)
        async with connection:
            channel = await connection.channel()
            lost = asyncio.Event()

            def on_close(*reason: object) -> None:
                lost.set()

            channel.close_callbacks.add(on_close)
            replies = await channel.get_queue(REPLY_TO, ensure=False)
            await replies.consume(self._take, no_ack=True)
            exchange = await channel.get_exchange(self._exchange, ensure=False)
            while not lost.is_set():
                self._news.clear()
                publishes = [
                    exchange.publish(
                        aio_pika.Message(
                            body,
                            content_type="application/json",
                            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                            reply_to=REPLY_TO,
                        ),
                        routing_key=self._routing_key,
                        timeout=CONNECT_TIMEOUT_MS / 1000,
                    )
                    for body in self.unanswered.take_due(time.monotonic())
                ]
                await asyncio.gather(*publishes)
                with suppress(TimeoutError):  # Nothing new; something may be due for a repeat.
                    async with asyncio.timeout(_LOOK_S):
                        await self._news.wait()
        raise ConnectionError("the channel was closed")

    async def _take(self, message: AbstractIncomingMessage) -> None:
        answer = json.loads(message.body)
        request_id = str(answer.get("request_id", ""))
        if self.unanswered.answered(request_id):
            self._on_answer(request_id, answer)
