"""Content headers: what the client library can decode stays as it is, what it cannot is dropped."""

from __future__ import annotations

import pamqp.frame
import pytest
from pamqp import commands
from pamqp.header import ContentHeader

from orchestrator.adapters.rabbitmq.transport import readable

END = b"\xce"
ALL = commands.Basic.Properties(
    headers={"a": "ODD", "b": 1},
    reply_to="ODD",
    correlation_id="7",
    message_id="1",
    delivery_mode=2,
)


def payload_of(properties: commands.Basic.Properties) -> bytes:
    """As it stands in its frame, behind type, channel and length."""
    header = ContentHeader(properties=properties, body_size=5)
    return pamqp.frame.marshal(header, 1)[7:]


def decoded(payload: bytes) -> ContentHeader:
    assert payload.endswith(END)
    header = ContentHeader()
    header.unmarshal(payload[:-1])
    return header


@pytest.mark.parametrize(
    "properties",
    [
        ALL,
        commands.Basic.Properties(),
        commands.Basic.Properties(reply_to="grüße", delivery_mode=1, expiration="500"),
    ],
)
def test_what_can_be_decoded_is_not_touched(properties: commands.Basic.Properties) -> None:
    payload = payload_of(properties)
    assert readable(payload) is payload
    assert decoded(payload).properties.reply_to == properties.reply_to


@pytest.mark.parametrize("odd", [b"\x03ODD", b"\x01aS", b"\x01bb"], ids=["text", "kind", "number"])
def test_what_cannot_be_decoded_is_left_out_and_the_size_of_the_body_stays(odd: bytes) -> None:
    payload = payload_of(ALL)
    assert odd in payload
    spoilt = payload.replace(odd, odd[:-1] + b"\xff")
    with pytest.raises(ValueError):
        decoded(spoilt)
    header = decoded(readable(spoilt))
    assert len(readable(spoilt)) == len(spoilt)
    assert header.body_size == 5
    assert header.properties.reply_to is None
    assert not header.properties.headers
