"""Values and exceptions as they travel: the public face of conversion.

A `DataConverter` is what clients and workers are given. The names are those of Temporal's Python
SDK; payloads and failures are ours (`orchestrator.wire`).
"""

from __future__ import annotations

from orchestrator.converter.data_converter import DataConverter
from orchestrator.converter.failure_converter import (
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    FailureConverter,
)
from orchestrator.converter.json_values import value_to_type
from orchestrator.converter.payload_codec import ChainedPayloadCodec, PayloadCodec
from orchestrator.converter.payload_converter import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    CompositePayloadConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadConverter,
)
from orchestrator.wire.payload import Payload

__all__ = [
    "DataConverter",
    "default",
    "PayloadConverter",
    "CompositePayloadConverter",
    "DefaultPayloadConverter",
    "EncodingPayloadConverter",
    "BinaryNullPayloadConverter",
    "BinaryPlainPayloadConverter",
    "JSONPlainPayloadConverter",
    "PayloadCodec",
    "ChainedPayloadCodec",
    "Payload",
    "FailureConverter",
    "DefaultFailureConverter",
    "DefaultFailureConverterWithEncodedAttributes",
    "value_to_type",
]


def default() -> DataConverter:
    """The converter that is used when none is given: `DataConverter.default`."""
    return DataConverter.default
