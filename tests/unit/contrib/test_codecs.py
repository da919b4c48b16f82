"""The codecs that come along: encryption with keys that change, and compression."""

from __future__ import annotations

import os

import pytest

from orchestrator.contrib.compression import CompressionCodec
from orchestrator.contrib.encryption import EncryptionCodec
from orchestrator.converter import ChainedPayloadCodec, DataConverter, Payload, PayloadCodec
from orchestrator.exceptions import ConversionError

OLD, NEW = os.urandom(32), os.urandom(32)
TEXT = "pizza " * 1_000


def converter(codec: PayloadCodec) -> DataConverter:
    return DataConverter(payload_codec=codec)


async def test_encrypted_values_come_back_and_show_nothing() -> None:
    values = converter(EncryptionCodec({"k1": OLD}, key_id="k1"))
    everything = ["a secret", None, b"raw", {"a": [1, 2.5, None]}, ""]
    payloads = await values.encode(everything)
    assert await values.decode(payloads) == everything
    assert all(payload.encoding == "binary/encrypted" for payload in payloads)
    assert all(payload.metadata["encryption-key-id"] == "k1" for payload in payloads)
    assert b"secret" not in b"".join(payload.content() for payload in payloads)


async def test_equal_values_do_not_look_equal() -> None:
    values = converter(EncryptionCodec({"k1": OLD}, key_id="k1"))
    one, other = await values.encode(["same", "same"])
    assert one.content() != other.content()


async def test_keys_are_rotated_without_losing_what_is_there() -> None:
    before = converter(EncryptionCodec({"k1": OLD}, key_id="k1"))
    between = converter(EncryptionCodec({"k1": OLD, "k2": NEW}, key_id="k1"))
    after = converter(EncryptionCodec({"k1": OLD, "k2": NEW}, key_id="k2"))
    old, new = await before.encode(["old"]), await after.encode(["new"])
    assert await between.decode([*old, *new]) == ["old", "new"]
    assert await after.decode([*old, *new]) == ["old", "new"]
    with pytest.raises(ConversionError, match="key 'k2'; this process has k1"):
        await before.decode(new)


@pytest.mark.parametrize("index", [0, 12, -1], ids=["nonce", "text", "tag"])
async def test_a_payload_that_was_changed_on_its_way_is_refused(index: int) -> None:
    codec = EncryptionCodec({"k1": OLD}, key_id="k1")
    (payload,) = await converter(codec).encode(["x"])
    content = bytearray(payload.content())
    content[index] ^= 1
    changed = Payload.of_bytes(bytes(content), encoding=payload.encoding, metadata=payload.metadata)
    with pytest.raises(ConversionError, match="changed on its way"):
        await converter(codec).decode([changed])
    empty = Payload.of_bytes(b"", encoding=payload.encoding, metadata=payload.metadata)
    with pytest.raises(ConversionError, match="cannot be decrypted"):
        await converter(codec).decode([empty])


async def test_a_key_under_another_id_is_not_accepted() -> None:
    (payload,) = await converter(EncryptionCodec({"k1": OLD}, key_id="k1")).encode(["x"])
    renamed = Payload(
        data=payload.data, encoding=payload.encoding, metadata={"encryption-key-id": "k2"}
    )
    other = converter(EncryptionCodec({"k2": OLD}, key_id="k2"))
    with pytest.raises(ConversionError, match="cannot be decrypted"):
        await other.decode([renamed])


async def test_plain_payloads_pass() -> None:
    codec = ChainedPayloadCodec(CompressionCodec(), EncryptionCodec({"k1": OLD}, key_id="k1"))
    assert await converter(codec).decode(DataConverter().to_payloads(["plain"])) == ["plain"]


def test_keys_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="found 'k2'"):
        EncryptionCodec({"k1": OLD}, key_id="k2")
    with pytest.raises(ValueError, match="16, 24 or 32 bytes, found 5"):
        EncryptionCodec({"k1": b"short"}, key_id="k1")


@pytest.mark.parametrize("text", [TEXT, TEXT * 50], ids=["here", "in a thread"])
async def test_large_values_are_compressed_and_come_back(text: str) -> None:
    values = converter(CompressionCodec())
    (payload,) = await values.encode([text])
    assert payload.encoding == "binary/zlib"
    assert len(bytes(payload.data)) < len(text) // 10
    assert await values.decode([payload]) == [text]


async def test_what_does_not_shrink_is_left_alone() -> None:
    values = converter(CompressionCodec())
    small, noise = await values.encode(["small", os.urandom(10_000)])
    assert (small.encoding, noise.encoding) == ("json/plain", "binary/plain")


async def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    values = converter(CompressionCodec())
    (payload,) = await values.encode([TEXT])
    monkeypatch.setattr("orchestrator.contrib.compression.DECOMPRESSED_BYTES_MAX", 1_000)
    with pytest.raises(ConversionError, match="larger than 1000 bytes"):
        await values.decode([payload])


@pytest.mark.parametrize("cut", [0, 5, -3])
async def test_damaged_bytes_are_refused(cut: int) -> None:
    values = converter(CompressionCodec())
    (payload,) = await values.encode([TEXT])
    damaged = Payload.of_bytes(payload.content()[:cut], encoding=payload.encoding)
    with pytest.raises(ConversionError, match="damaged"):
        await values.decode([damaged])
