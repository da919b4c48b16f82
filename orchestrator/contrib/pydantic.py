"""Pydantic models as arguments and results, validated on the way in.

Needs the extra `pydantic` (version 2). With `data_converter=pydantic_data_converter` every value
goes through pydantic, led by its annotation; what pydantic does not know is converted as before.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pydantic
from pydantic_core import PydanticSerializationError, to_json

from orchestrator.converter import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    Payload,
)
from orchestrator.exceptions import ConversionError
from orchestrator.limits import TYPE_ADAPTERS_MAX
from orchestrator.wire.payload import JSON_PLAIN

__all__ = [
    "PydanticJSONPlainPayloadConverter",
    "PydanticPayloadConverter",
    "pydantic_data_converter",
]


def _adapter_of(type_hint: Any) -> pydantic.TypeAdapter[Any]:  # Any: annotations of no common type
    return pydantic.TypeAdapter(type_hint)


class PydanticJSONPlainPayloadConverter(EncodingPayloadConverter):
    """JSON by pydantic: models, and whatever else it knows."""

    def __init__(self) -> None:
        self._plain = JSONPlainPayloadConverter()
        self._adapter = lru_cache(TYPE_ADAPTERS_MAX)(_adapter_of)

    @property
    def encoding(self) -> str:
        """The name that payloads of this converter carry: any reader of JSON can read them."""
        return JSON_PLAIN

    def to_payload(self, value: Any) -> Payload | None:  # Any: user's value
        """See `EncodingPayloadConverter.to_payload`."""
        try:
            return Payload.of_json(to_json(value, inf_nan_mode="strings"))
        except PydanticSerializationError:
            return self._plain.to_payload(value)  # msgspec Structs; it says what does not fit

    def from_payload(
        self,
        payload: Payload,
        type_hint: Any | None = None,  # Any: annotations are of no common type
    ) -> Any:  # Any: user's value
        """See `EncodingPayloadConverter.from_payload`."""
        if type_hint is None or type_hint is Any or type_hint is object:
            return self._plain.from_payload(payload)
        try:
            adapter = self._adapter(type_hint)
        except (pydantic.PydanticSchemaGenerationError, pydantic.PydanticUserError, TypeError):
            return self._plain.from_payload(payload, type_hint)  # no type of pydantic's
        try:
            return adapter.validate_json(payload.content())
        except pydantic.ValidationError as error:
            raise ConversionError(str(error)) from error


class PydanticPayloadConverter(CompositePayloadConverter):
    """None, raw bytes, then JSON by pydantic."""

    def __init__(self) -> None:
        super().__init__(
            BinaryNullPayloadConverter(),
            BinaryPlainPayloadConverter(),
            PydanticJSONPlainPayloadConverter(),
        )


pydantic_data_converter = DataConverter(payload_converter_class=PydanticPayloadConverter)
"""For clients and workers whose values are pydantic models."""
