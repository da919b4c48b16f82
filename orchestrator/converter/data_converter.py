"""What clients and workers are given: a payload converter, a failure converter, and a codec.

The converters are deterministic and run inside workflow code; the codec may wait and runs outside.
Immutable and without state, so one instance serves every run of a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import msgspec

from orchestrator.converter.failure_converter import DefaultFailureConverter, FailureConverter
from orchestrator.converter.payload_codec import PayloadCodec, decode_places, encode_places
from orchestrator.converter.payload_converter import (
    CompositePayloadConverter,
    DefaultPayloadConverter,
    PayloadConverter,
)
from orchestrator.exceptions import ConversionError, PayloadTooLargeError
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload

_T = TypeVar("_T")
_VALUE_FIELDS = ("details", "last_heartbeat_details")
"""Of the details of a failure: those that hold payloads."""


@dataclass(frozen=True)
class DataConverter:
    """Python values ↔ payloads, exceptions ↔ failures.

    Classes of converters are given, not instances, as in Temporal; each is called once, without
    arguments. `to_…` and `from_…` do not wait and leave the codec out; `encode…` and `decode…`
    are the way of values into and out of the process, through the codec.
    """

    payload_converter_class: type[PayloadConverter] = DefaultPayloadConverter
    payload_codec: PayloadCodec | None = None
    failure_converter_class: type[FailureConverter] = DefaultFailureConverter
    payload_converter: PayloadConverter = field(init=False)
    failure_converter: FailureConverter = field(init=False)

    default: ClassVar[DataConverter]
    """The converter that is used when none is given."""

    def __post_init__(self) -> None:
        # A frozen dataclass sets its derived fields this way.
        object.__setattr__(self, "payload_converter", self.payload_converter_class())
        object.__setattr__(self, "failure_converter", self.failure_converter_class())
        if self.payload_codec is not None:
            _allow(self, self.payload_codec.payload_bytes_max)

    # Without the codec ----------------------------------------------------------------------------

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:  # Any: user's values
        """As `PayloadConverter.to_payloads`."""
        return self.payload_converter.to_payloads(values)

    def from_payloads(
        self,
        payloads: Sequence[Payload],
        type_hints: list[Any] | None = None,  # Any: annotations are of no common type
    ) -> list[Any]:  # Any: user's values
        """As `PayloadConverter.from_payloads`."""
        return self.payload_converter.from_payloads(payloads, type_hints)

    def to_failure(self, exception: BaseException) -> Failure:
        """`exception` with its causes, as data. Never raises."""
        return self.failure_converter.to_failure(exception, self.payload_converter)

    def from_failure(self, failure: Failure) -> BaseException:
        """An exception of ours, with its causes. Never raises."""
        return self.failure_converter.from_failure(failure, self.payload_converter)

    # Through the codec ----------------------------------------------------------------------------

    async def encode(self, values: Sequence[Any]) -> list[Payload]:  # Any: user's values
        """Payloads that may leave the process.

        Raises:
            ConversionError: a value cannot be converted, or the codec failed.
            PayloadTooLargeError: a value is over the limit.
        """
        return await self.seal(self.to_payloads(values))

    async def decode(
        self,
        payloads: Sequence[Payload],
        type_hints: list[Any] | None = None,  # Any: annotations are of no common type
    ) -> list[Any]:  # Any: user's values
        """The values of payloads that came in.

        Raises:
            ConversionError: the codec failed, or a payload does not fit its hint.
        """
        return self.from_payloads(await self.unseal(list(payloads)), type_hints)

    async def encode_failure(self, exception: BaseException) -> Failure:
        """As `to_failure`, as it may leave the process. Never raises."""
        return await self.seal_failure(self.to_failure(exception))

    async def decode_failure(self, failure: Failure) -> BaseException:
        """The exception of a failure that came in. Never raises; what the codec cannot read is
        said in the text."""
        try:
            return self.from_failure(await self.unseal(failure))
        except ConversionError as error:
            note = msgspec.structs.replace(failure, message=f"{failure.message} [{error}]")
            return self.from_failure(note)

    @property
    def has_codec(self) -> bool:
        """Whether payloads look different outside of this process."""
        return self.payload_codec is not None

    @property
    def inner(self) -> DataConverter:
        """The same without a codec: for the inside of the process, and for pools of processes,
        where keys have no business."""
        codec = self.payload_codec
        if codec is None:
            return self
        inner = replace(self, payload_codec=None)
        _allow(inner, codec.payload_bytes_max)
        return inner

    async def seal(self, value: _T) -> _T:
        """A message as it may leave the process: the payloads in it encoded, wherever they are.

        Raises:
            ConversionError: the codec failed.
            PayloadTooLargeError: what it made of a value is over the limit.
        """
        codec = self.payload_codec
        return value if codec is None else await encode_places(value, codec)

    async def unseal(self, value: _T) -> _T:
        """A message that came in, as the process reads it.

        Raises:
            ConversionError: the codec failed.
        """
        codec = self.payload_codec
        return value if codec is None else await decode_places(value, codec)

    async def seal_failure(self, failure: Failure) -> Failure:
        """As `seal`, and never raises: what cannot be encoded is left out, since a failure must
        always be told."""
        try:
            return await self.seal(failure)
        except (ConversionError, PayloadTooLargeError) as error:
            return _without_values(failure, error)


def _allow(values: DataConverter, payload_bytes_max: int) -> None:
    """Let values be as large as the codec takes them."""
    if isinstance(values.payload_converter, CompositePayloadConverter):
        values.payload_converter.payload_bytes_max = payload_bytes_max


def _without_values(failure: Failure, error: Exception) -> Failure:
    """What may be told in plain: the kind of each link, and what was plain before."""
    bare = _bare(failure)
    message = f"{bare.message} [values were left out: {error}]"
    return msgspec.structs.replace(bare, message=message)


def _bare(failure: Failure) -> Failure:
    kept = {name: () for name in _VALUE_FIELDS if getattr(failure.detail, name, ())}
    return msgspec.structs.replace(
        failure,
        detail=msgspec.structs.replace(failure.detail, **kept),
        encoded_attributes=None,
        cause=None if failure.cause is None else _bare(failure.cause),
    )


DataConverter.default = DataConverter()
