"""Compression of payloads with zlib: smaller histories and messages for values of some size.

Compress before you encrypt: encrypted bytes do not shrink (`ChainedPayloadCodec`).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from orchestrator.converter import Payload, PayloadCodec
from orchestrator.exceptions import ConversionError
from orchestrator.limits import CODEC_INLINE_BYTES_MAX, DECOMPRESSED_BYTES_MAX

ENCODING = "binary/zlib"


class CompressionCodec(PayloadCodec):
    """Compresses what becomes smaller; everything else is passed on as it is."""

    def __init__(self, *, least_bytes: int = 1_024, level: int = 6) -> None:
        """Choose what is worth it.

        Args:
            least_bytes: Payloads below this size are not compressed.
            level: As zlib's, from 1 (fast) to 9 (small).

        Raises:
            ValueError: the level is none of these.
        """
        if not 1 <= level <= 9:
            raise ValueError(f"level: expected 1 to 9, found {level}")
        self._least_bytes = least_bytes
        self._level = level

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec.encode`."""
        return [await self._encode(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec.decode`.

        Raises:
            ConversionError: a compressed payload is damaged, or too large when unpacked.
        """
        return [await self._decode(payload) for payload in payloads]

    async def _encode(self, payload: Payload) -> Payload:
        if len(bytes(payload.data)) < self._least_bytes:
            return payload
        whole = payload.to_bytes()
        if len(whole) > CODEC_INLINE_BYTES_MAX:
            packed = await asyncio.to_thread(zlib.compress, whole, self._level)
        else:
            packed = zlib.compress(whole, self._level)
        # Base64 text is a third longer than what it holds.
        if len(packed) * 4 // 3 >= len(whole):
            return payload
        return Payload.of_bytes(packed, encoding=ENCODING)

    async def _decode(self, payload: Payload) -> Payload:
        if payload.encoding != ENCODING:
            return payload
        packed = payload.content()
        if len(packed) > CODEC_INLINE_BYTES_MAX:
            return Payload.from_bytes(await asyncio.to_thread(_unpacked, packed))
        return Payload.from_bytes(_unpacked(packed))


def _unpacked(packed: bytes) -> bytes:
    """A few bytes may claim to be terabytes: what is too large is not unpacked."""
    unpacker = zlib.decompressobj()
    try:
        whole = unpacker.decompress(packed, DECOMPRESSED_BYTES_MAX)
    except zlib.error as error:
        raise ConversionError(f"a compressed payload is damaged: {error}") from error
    if unpacker.unconsumed_tail:
        raise ConversionError(
            f"a compressed payload is larger than {DECOMPRESSED_BYTES_MAX} bytes when unpacked"
        )
    if not unpacker.eof:
        raise ConversionError("a compressed payload is damaged: it ends too early")
    return whole
