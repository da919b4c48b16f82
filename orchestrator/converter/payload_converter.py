"""Values ↔ payloads.

A composite asks its parts in order; the first that takes a value writes the payload, and the name
of its encoding tells the reader which part to ask. Converters run inside workflow code: they are
deterministic, do no I/O and keep no state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.common import RawValue
from orchestrator.converter.json_values import decode_json, encode_json, name_of_type
from orchestrator.exceptions import ConversionError, PayloadTooLargeError
from orchestrator.limits import MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX
from orchestrator.wire.payload import BINARY_NULL, BINARY_PLAIN, JSON_PLAIN, Payload
from orchestrator.wire.strict_json import check_depth

_BYTES_TYPES = (bytes, bytearray, memoryview)


class PayloadConverter(ABC):
    """Python values ↔ payloads, one payload per value."""

    @abstractmethod
    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:  # Any: user's values
        """One payload per value, in order.

        Raises:
            ConversionError: no converter takes a value, or its JSON nests deeper than
                `limits.JSON_DEPTH_MAX`; the text names its type and place.
            PayloadTooLargeError: a value's bytes are over `limits.PAYLOAD_BYTES_MAX`, or those of
                all values over `limits.MESSAGE_BYTES_MAX`.
        """

    @abstractmethod
    def from_payloads(
        self,
        payloads: Sequence[Payload],
        type_hints: list[Any] | None = None,  # Any: annotations are of no common type
    ) -> list[Any]:  # Any: user's values
        """One value per payload, in order; a payload beyond the hints gives plain data.

        Raises:
            ConversionError: a payload does not fit its hint, or its encoding is unknown.
        """

    def to_payload(self, value: Any) -> Payload:  # Any: user's value
        """As `to_payloads`, for one value."""
        return self.to_payloads([value])[0]

    def from_payload(
        self,
        payload: Payload,
        type_hint: Any | None = None,  # Any: annotations are of no common type
    ) -> Any:  # Any: user's value
        """As `from_payloads`, for one payload."""
        return self.from_payloads([payload], [type_hint])[0]


class EncodingPayloadConverter(ABC):
    """One encoding: a part of a `CompositePayloadConverter`."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The name that payloads of this converter carry."""

    @abstractmethod
    def to_payload(self, value: Any) -> Payload | None:  # Any: user's value
        """The payload, or None when this encoding does not take such values.

        Raises:
            ConversionError: it takes such values, but not this one.
        """

    @abstractmethod
    def from_payload(
        self,
        payload: Payload,
        type_hint: Any | None = None,  # Any: annotations are of no common type
    ) -> Any:  # Any: user's value
        """The value of a payload of this encoding; None as hint asks for plain data.

        Raises:
            ConversionError: the payload does not fit the hint.
        """


class BinaryNullPayloadConverter(EncodingPayloadConverter):
    """None, as a payload without content."""

    @property
    def encoding(self) -> str:
        return BINARY_NULL

    def to_payload(self, value: Any) -> Payload | None:  # Any: user's value
        return Payload.of_bytes(b"", encoding=BINARY_NULL) if value is None else None

    def from_payload(
        self,
        payload: Payload,
        type_hint: Any | None = None,  # Any: annotations are of no common type
    ) -> Any:  # Any: user's value
        if payload.content():
            raise ConversionError(f"a payload of encoding {BINARY_NULL!r} must have no content")
        return decode_json(b"null", type_hint)


class BinaryPlainPayloadConverter(EncodingPayloadConverter):
    """Raw bytes."""

    @property
    def encoding(self) -> str:
        return BINARY_PLAIN

    def to_payload(self, value: Any) -> Payload | None:  # Any: user's value
        if isinstance(value, bytes | bytearray):
            return Payload.of_bytes(bytes(value), encoding=BINARY_PLAIN)
        return None

    def from_payload(
        self,
        payload: Payload,
        type_hint: Any | None = None,  # Any: annotations are of no common type
    ) -> Any:  # Any: user's value
        content = payload.content()
        if type_hint is None:
            return content
        try:
            return msgspec.convert(content, type=type_hint, builtin_types=_BYTES_TYPES)
        except Exception as error:  # boundary: a hint is the user's, and may be anything
            raise ConversionError(
                f"expected {name_of_type(type_hint)}, found raw bytes: {error}"
            ) from error


class JSONPlainPayloadConverter(EncodingPayloadConverter):
    """Everything that has a JSON form; put last, for it takes any value or raises."""

    @property
    def encoding(self) -> str:
        return JSON_PLAIN

    def to_payload(self, value: Any) -> Payload | None:  # Any: user's value
        return Payload.of_json(encode_json(value))

    def from_payload(
        self,
        payload: Payload,
        type_hint: Any | None = None,  # Any: annotations are of no common type
    ) -> Any:  # Any: user's value
        return decode_json(payload.content(), type_hint)


class CompositePayloadConverter(PayloadConverter):
    """Asks its parts in order, and holds every payload to the limits of size and depth. A RawValue
    is passed on as it is, and given where one is asked for."""

    def __init__(self, *converters: EncodingPayloadConverter) -> None:
        """Of two parts with one encoding, the first reads.

        Args:
            converters: Asked in this order for each value.
        """
        self.converters = converters
        self.payload_bytes_max = PAYLOAD_BYTES_MAX
        """More where a codec stores large values elsewhere."""
        self._readers = {part.encoding: part for part in reversed(converters)}

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:  # Any: user's values
        payloads = [self._to_payload(place, value) for place, value in enumerate(values, 1)]
        if len(payloads) > 1:
            _check_together(payloads)
        return payloads

    def from_payloads(
        self,
        payloads: Sequence[Payload],
        type_hints: list[Any] | None = None,  # Any: annotations are of no common type
    ) -> list[Any]:  # Any: user's values
        hints: list[Any] = list(type_hints or [])  # Any: as above
        hints += [None] * (len(payloads) - len(hints))
        return [self._from_payload(*pair) for pair in enumerate(zip(payloads, hints, strict=False))]

    def _to_payload(self, place: int, value: Any) -> Payload:  # Any: user's value
        try:
            payload = self._first_payload(value)
            text = bytes(payload.data)
            _check_depth(value, text)
        except ConversionError as error:
            raise ConversionError(f"value {place}: {error}") from error
        # The text on the wire bounds the content from above, and costs nothing to measure.
        limit = self.payload_bytes_max
        if len(text) > limit:
            size_bytes = len(payload.content())
            if size_bytes > limit:
                what = f"value {place}, a {name_of_type(type(value))},"
                raise PayloadTooLargeError(what, size_bytes, limit)
        return payload

    def _first_payload(self, value: Any) -> Payload:  # Any: user's value
        if isinstance(value, RawValue):
            if isinstance(value.payload, Payload):
                return value.payload
            raise ConversionError(f"a RawValue holds a Payload, found {value.payload!r:.80}")
        for part in self.converters:
            payload = part.to_payload(value)
            if payload is not None:
                return payload
        raise ConversionError(f"no converter takes a value of type {name_of_type(type(value))}")

    def _from_payload(self, index: int, pair: tuple[Payload, Any]) -> Any:  # Any: hint, value
        payload, hint = pair
        if hint is RawValue:
            return RawValue(payload)
        reader = self._readers.get(payload.encoding)
        if reader is None:
            known = ", ".join(sorted(self._readers)) or "none"
            raise ConversionError(
                f"payload {index + 1}: expected one of the encodings {known}; "
                f"found {payload.encoding!r}"
            )
        try:
            return reader.from_payload(payload, hint)
        except ConversionError as error:
            raise ConversionError(f"payload {index + 1}: {error}") from error


class DefaultPayloadConverter(CompositePayloadConverter):
    """None, raw bytes, then JSON."""

    def __init__(self) -> None:
        super().__init__(
            BinaryNullPayloadConverter(), BinaryPlainPayloadConverter(), JSONPlainPayloadConverter()
        )


def _check_depth(value: object, text: bytes) -> None:
    """A message that nests deeper than a reader allows would be dead on arrival."""
    try:
        check_depth(text)
    except ValueError as error:
        raise ConversionError(
            f"a value of type {name_of_type(type(value))} is {error}; give it fewer levels"
        ) from error


def _check_together(payloads: Sequence[Payload]) -> None:
    size_bytes = sum(len(bytes(payload.data)) for payload in payloads)
    if size_bytes > MESSAGE_BYTES_MAX:
        what = f"what is passed in {len(payloads)} values"
        raise PayloadTooLargeError(what, size_bytes, MESSAGE_BYTES_MAX)
