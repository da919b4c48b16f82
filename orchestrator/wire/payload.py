"""A converted value, encoded once and carried as bytes from then on.

A value of encoding `json/plain` stands in its message as JSON itself, so that a person who reads a
stream sees `"hello"`; anything else stands there as base64 text. Payloads are opaque to everything
but the data converter.
"""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import Mapping

import msgspec

from orchestrator.exceptions import ConversionError
from orchestrator.wire.base import WireStruct

JSON_PLAIN = "json/plain"
BINARY_PLAIN = "binary/plain"
BINARY_NULL = "binary/null"


class Payload(WireStruct, frozen=True, kw_only=True):
    """One argument, result or detail: an encoding, the value's bytes, and free metadata."""

    data: msgspec.Raw
    encoding: str = JSON_PLAIN
    metadata: dict[str, str] = {}

    @classmethod
    def of_json(cls, text: bytes, *, metadata: Mapping[str, str] | None = None) -> Payload:
        """A payload of the JSON document `text`, which is not checked again."""
        return cls(data=msgspec.Raw(text), metadata=dict(metadata or {}))

    @classmethod
    def of_bytes(
        cls, content: bytes, *, encoding: str, metadata: Mapping[str, str] | None = None
    ) -> Payload:
        """A payload of any bytes; `encoding` tells the converter how to read them."""
        if encoding == JSON_PLAIN:
            return cls.of_json(content, metadata=metadata)
        text = b'"' + base64.b64encode(content) + b'"' if content else b'""'
        return cls(data=msgspec.Raw(text), encoding=encoding, metadata=dict(metadata or {}))

    def content(self) -> bytes:
        """The value's bytes as its converter wrote them.

        Raises:
            ConversionError: a payload that is not JSON does not hold base64 text.
        """
        if self.encoding == JSON_PLAIN:
            return bytes(self.data)
        try:
            return base64.b64decode(msgspec.json.decode(self.data, type=str), validate=True)
        except (msgspec.DecodeError, Base64Error, ValueError) as error:
            raise ConversionError(
                f"a payload of encoding {self.encoding!r} must hold base64 text: {error}"
            ) from error

    def to_bytes(self) -> bytes:
        """The whole payload as bytes, for codecs that wrap one."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, content: bytes) -> Payload:
        """The inverse of `to_bytes`.

        Raises:
            ConversionError: these are not the bytes of a payload.
        """
        try:
            return msgspec.json.decode(content, type=cls)
        except msgspec.MsgspecError as error:
            raise ConversionError(f"expected the bytes of a payload: {error}") from error


Header = dict[str, Payload]
"""Payloads that interceptors pass along with a call, by name."""
