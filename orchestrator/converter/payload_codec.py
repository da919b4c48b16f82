"""Payloads ↔ payloads as they leave the process: encryption, compression, storage elsewhere.

Codecs run outside of workflow code, where waiting and chance are allowed. What they made is what
Redis and RabbitMQ see.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from orchestrator.exceptions import ConversionError, PayloadTooLargeError
from orchestrator.limits import CODEC_CALLS_IN_FLIGHT_MAX, CODEC_TIMEOUT_MS, PAYLOAD_BYTES_MAX
from orchestrator.wire.payload import Payload
from orchestrator.wire.payload_places import change_payloads

_T = TypeVar("_T")
_Code = Callable[[Sequence[Payload]], Awaitable[Sequence[Payload]]]


class PayloadCodec(ABC):
    """Encodes what leaves and decodes what enters. Called on the event loop of a client or worker,
    several calls at a time; long work on the CPU belongs into a thread.

    The arguments of a call come together, and may be put together; anything else comes alone and
    must stay one payload. What was not encoded by this codec must be passed on as it is: start
    messages of other programs are plain.
    """

    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    """The largest value that it is given; what it makes of it is held to the limit of payloads."""

    @abstractmethod
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What shall travel in place of `payloads`."""

    @abstractmethod
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What was given to `encode`."""


class ChainedPayloadCodec(PayloadCodec):
    """Several codecs as one: the first encodes first, and decodes last."""

    def __init__(self, *codecs: PayloadCodec) -> None:
        self.codecs = codecs
        self.payload_bytes_max = max(
            (codec.payload_bytes_max for codec in codecs), default=PAYLOAD_BYTES_MAX
        )

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        found = list(payloads)
        for codec in self.codecs:
            found = await codec.encode(found)
        return found

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        found = list(payloads)
        for codec in reversed(self.codecs):
            found = await codec.decode(found)
        return found


async def encode_places(value: _T, codec: PayloadCodec) -> _T:
    """`value` with every payload in it encoded; see `change_payloads` for what it may be.

    Raises:
        ConversionError: the codec raised, or did not answer in time.
        PayloadTooLargeError: what it made is over the limit.
    """
    encoded = await _code_places(value, codec.encode, "encode")
    change_payloads(encoded, _check_sizes)
    return encoded


async def decode_places(value: _T, codec: PayloadCodec) -> _T:
    """The inverse of `encode_places`.

    Raises:
        ConversionError: the codec raised, or did not answer in time.
    """
    return await _code_places(value, codec.decode, "decode")


async def _code_places(value: _T, code: _Code, doing: str) -> _T:
    places: list[Sequence[Payload]] = []

    def note(payloads: Sequence[Payload]) -> Sequence[Payload]:
        places.append(payloads)
        return payloads

    change_payloads(value, note)
    if not places:
        return value
    results = iter(await _code_all(places, code, doing))
    try:
        return change_payloads(value, lambda _: next(results))
    except ValueError as error:
        raise ConversionError(f"the payload codec could not {doing}: {error}") from error


async def _code_all(
    places: Sequence[Sequence[Payload]], code: _Code, doing: str
) -> list[Sequence[Payload]]:
    if len(places) == 1:
        return [await _code_one(places[0], code, doing)]
    slots = asyncio.Semaphore(CODEC_CALLS_IN_FLIGHT_MAX)

    async def one(payloads: Sequence[Payload]) -> Sequence[Payload]:
        async with slots:
            return await _code_one(payloads, code, doing)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(payloads)) for payloads in places]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _code_one(payloads: Sequence[Payload], code: _Code, doing: str) -> Sequence[Payload]:
    try:
        async with asyncio.timeout(CODEC_TIMEOUT_MS / 1000):
            return await code(payloads)
    except TimeoutError as error:
        raise ConversionError(
            f"the payload codec did not {doing} within {CODEC_TIMEOUT_MS} ms"
        ) from error
    except Exception as error:  # the boundary of codecs, which users write
        encodings = ", ".join(sorted({payload.encoding for payload in payloads}))
        raise ConversionError(
            f"the payload codec could not {doing} payloads of encoding {encodings}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_sizes(payloads: Sequence[Payload]) -> Sequence[Payload]:
    for payload in payloads:
        if len(bytes(payload.data)) > PAYLOAD_BYTES_MAX:
            size_bytes = len(payload.content())
            if size_bytes > PAYLOAD_BYTES_MAX:
                raise PayloadTooLargeError("an encoded value", size_bytes, PAYLOAD_BYTES_MAX)
    return payloads
