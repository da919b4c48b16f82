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

from orchestrator.adapters.rabbitmq.transport import ReadableTransport
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.limits import AMQP_HEARTBEAT_S, CONNECT_TIMEOUT_MS, DELIVERY_FRAMES_BUFFERED

LOST = (aiormq.exceptions.AMQPError, OSError, TimeoutError, RuntimeError)
"""What the client raises when a channel or connection is not there (any more)."""
# What its own logger has to say is in our errors. Where nobody has set up logging, it would be
# printed beside them.
logging.getLogger("aiormq").addHandler(logging.NullHandler())


REFUSED = (
    aiormq.exceptions.AuthenticationError,
    aiormq.exceptions.ProbableAuthenticationError,
    aiormq.exceptions.ConnectionNotAllowed,
    aiormq.exceptions.InvalidFrameError,
)
"""What it raises while connecting when repeating does not help; the last one is a virtual host that
is not there, or no RabbitMQ."""


def read_url(url: str) -> URL:
    """The URL of a RabbitMQ.

    Raises:
        MisconfiguredError: it is none. The text does not quote it: it may hold a password.
    """
    try:
        found = URL(url)
    except ValueError:
        found = URL()
    if found.scheme not in ("amqp", "amqps") or not found.host:
        raise MisconfiguredError(
            "the broker's URL cannot be read: expected amqp[s]://[user:password@]host[:port][/vhost]"
            ", with special characters of the password percent-encoded"
        )
    return found


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
        self._url = read_url(url)
        if "heartbeat" not in self._url.query:
            self._url = self._url.update_query(heartbeat=AMQP_HEARTBEAT_S)
        self._name = name
        self.connections = 0
        """How many connections were made; a new number means that nothing of before holds."""
        self._connection: AbstractConnection | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        """Whether the connection is there, as far as it has been noticed."""
        return self._connection is not None and not self._connection.is_closed

    async def channel(self, *, confirms: bool) -> aiormq.Channel:
        """A fresh channel.

        Raises:
            UnavailableError: no answer within 5 s, or the link is closed.
            MisconfiguredError: user, password or virtual host are refused.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                connection = await self._connected()
                channel = await connection.channel(
                    publisher_confirms=confirms, frame_buffer_size=DELIVERY_FRAMES_BUFFERED
                )
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
            connection = self._connection
            if connection is None or connection.is_closed:
                connection = self._connection = await self._connect()
                self.connections += 1
            return connection

    async def _connect(self) -> AbstractConnection:
        properties: FieldTable = {"connection_name": self._name}
        try:
            return await aiormq.connect(
                self._url, client_properties=properties, transport_factory=ReadableTransport()
            )
        except REFUSED as error:
            raise MisconfiguredError(
                f"RabbitMQ at {self._shown} refuses access: {self._reason(error)}; "
                "check user, password and virtual host"
            ) from None

    def _hidden(self, error: BaseException) -> str:
        return (
            f"RabbitMQ at {self._shown} does not answer within {CONNECT_TIMEOUT_MS} ms: "
            f"{self._reason(error)}"
        )

    @property
    def _shown(self) -> URL:
        shown = self._url.with_query(None)
        return shown.with_password("***") if shown.password else shown

    def _reason(self, error: BaseException) -> str:
        reason = str(error) or type(error).__name__
        for secret in (self._url.password, self._url.raw_password):
            if secret:
                reason = reason.replace(secret, "***")
        return reason
