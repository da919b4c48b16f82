"""A connection to RabbitMQ that comes back, and channels on it.

It is made again by whoever next asks for a channel; what a channel had (consumers, deliveries,
confirms in flight) is its user's to restore, because only the user knows what is void. The password
never appears in an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import aiormq
from aiormq.abc import AbstractConnection, FieldTable
from yarl import URL

from orchestrator.exceptions import UnavailableError
from orchestrator.limits import CONNECT_TIMEOUT_MS

LOST = (aiormq.exceptions.AMQPError, OSError, TimeoutError, RuntimeError)
"""What the client raises when a channel or connection is not there (any more)."""
# What its own logger has to say is in our errors. Where nobody has set up logging, it would be
# printed beside them.
logging.getLogger("aiormq").addHandler(logging.NullHandler())


def when_closed(channel: aiormq.Channel, callback: Callable[[], None]) -> None:
    """Call back once, on the loop's thread, when `channel` is closed by anybody."""
    closing = cast(
        "asyncio.Future[None]",
        channel.closing,  # pyright: ignore[reportUnknownMemberType]  # a bare Future in aiormq
    )
    closing.add_done_callback(lambda _: callback())


class Link:
    """One connection, made on demand."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = URL(url)
        self._name = name
        self._connection: AbstractConnection | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False

    async def channel(self, *, confirms: bool) -> aiormq.Channel:
        """A fresh channel.

        Raises:
            UnavailableError: no answer within 5 s, or the link is closed.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                connection = await self._connected()
                channel = await connection.channel(publisher_confirms=confirms)
        except LOST as error:
            raise UnavailableError(self._hidden(error)) from None
        if not isinstance(channel, aiormq.Channel):
            # Only the class itself, not its abstract base, can write without waiting.
            raise TypeError(f"expected an aiormq.Channel, found {type(channel).__name__}")
        return channel

    async def close(self) -> None:
        """Disconnect for good; channels close with it. Never fails."""
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                    await connection.close()
            except LOST:
                pass  # It is gone, which was the aim.

    async def _connected(self) -> AbstractConnection:
        async with self._lock:
            if self._is_closed:
                raise UnavailableError("the connection to RabbitMQ is closed")
            if self._connection is None or self._connection.is_closed:
                properties: FieldTable = {"connection_name": self._name}
                self._connection = await aiormq.connect(self._url, client_properties=properties)
            return self._connection

    def _hidden(self, error: BaseException) -> str:
        shown = self._url.with_query(None)
        if shown.password:
            shown = shown.with_password("***")
        reason = str(error) or type(error).__name__
        for secret in (self._url.password, self._url.raw_password):
            if secret:
                reason = reason.replace(secret, "***")
        return f"RabbitMQ at {shown} does not answer within {CONNECT_TIMEOUT_MS} ms: {reason}"
