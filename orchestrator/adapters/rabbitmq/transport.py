"""The bytes that come from RabbitMQ, made readable for the client library before it sees them.

AMQP lets a publisher put any bytes into the properties of a message, and RabbitMQ hands them on as
they are. The client library drops the whole connection over properties that it cannot decode; the
message comes again on the next one, and no consumer of the process ever gets on. So such a message
loses its properties here, and keeps its body, which is all that is needed to judge it.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import constants
from pamqp.header import ContentHeader
from yarl import URL

_HEADER_TYPE = bytes([constants.FRAME_HEADER])
_FIXED_BYTES = 12
"""Class, weight and body size; the flags that say which properties follow come next."""
_SIMPLE_FLAGS = (
    ContentHeader().properties.flags["delivery_mode"]
    | ContentHeader().properties.flags["message_id"]
    | ContentHeader().properties.flags["reply_to"]
    | ContentHeader().properties.flags["correlation_id"]
    | ContentHeader().properties.flags["expiration"]
)
"""What our own messages carry: short texts, always readable while they are ASCII."""


class ReadableTransport(TransportFactory):
    """Connects as the client library does, and looks at what comes in."""

    async def create(
        self,
        url: URL,
        **kwargs: Any,  # Any: the client library's own
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to `url`; errors are the client library's."""
        is_secure = url.scheme == "amqps"
        factory = TLSTransportFactory() if is_secure else TCPTransportFactory()
        reader, writer = await factory.create(url, **kwargs)
        # The client library reads from it, and does nothing else with it.
        return cast("asyncio.StreamReader", _FrameReader(reader)), writer


class _FrameReader:
    """A stream as the client library reads it: of each frame its type, then channel and length,
    then the rest."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._part = 0
        self._is_header = False

    def at_eof(self) -> bool:
        return self._reader.at_eof()

    async def read(self, count: int = -1) -> bytes:
        return await self._reader.read(count)

    async def readexactly(self, count: int) -> bytes:
        found = await self._reader.readexactly(count)
        part, self._part = self._part, (self._part + 1) % 3
        if part == 0:
            self._is_header = found == _HEADER_TYPE
        elif part == 2 and self._is_header:
            return readable(found)
        return found


def readable(payload: bytes) -> bytes:
    """`payload` of a content header, with its end mark; without properties if these cannot be
    decoded. The length stays: what follows the flags is then not looked at."""
    flags = int.from_bytes(payload[_FIXED_BYTES : _FIXED_BYTES + 2])
    if not flags & ~_SIMPLE_FLAGS and payload[_FIXED_BYTES + 2 : -1].isascii():
        return payload
    try:
        ContentHeader().unmarshal(payload[:-1])
    except Exception:  # the boundary to the client library: whatever it stumbles over
        none = b"\x00\x00"
        return payload[:_FIXED_BYTES] + none + payload[_FIXED_BYTES + 2 :]
    return payload
