"""Message and stack of a failure as a payload, so that a codec can hide them from others.

Types and causes stay readable: retry policies need them.
"""

from __future__ import annotations

import msgspec

from orchestrator.converter.payload_converter import PayloadConverter
from orchestrator.wire.failure import Failure

HIDDEN_MESSAGE = "Encoded failure"
"""Stands in place of a message that travels in `encoded_attributes`."""


def hidden(failure: Failure, payload_converter: PayloadConverter) -> Failure:
    """The link with its text in a payload."""
    common = {"message": failure.message, "stack_trace": failure.stack_trace}
    try:
        attributes = payload_converter.to_payload(common)
    except Exception:  # boundary: a converter of the user; its text must not get out instead
        attributes = None
    return msgspec.structs.replace(
        failure, message=HIDDEN_MESSAGE, stack_trace="", encoded_attributes=attributes
    )


def shown(failure: Failure, payload_converter: PayloadConverter) -> Failure:
    """The inverse of `hidden`; what cannot be read stays hidden."""
    if failure.encoded_attributes is None:
        return failure
    try:
        common = payload_converter.from_payload(failure.encoded_attributes)
        message, stack = common["message"], common["stack_trace"]
    except Exception:  # boundary: a foreign payload, or one that nobody has decoded
        return failure
    if not isinstance(message, str) or not isinstance(stack, str):
        return failure
    return msgspec.structs.replace(
        failure, message=message, stack_trace=stack, encoded_attributes=None
    )
