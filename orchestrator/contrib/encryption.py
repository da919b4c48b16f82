"""Encryption of payloads with AES-GCM, so that Redis and RabbitMQ see no value of the user's.

Needs the extra `encryption`. Each payload has a random nonce and names its key; new payloads are
encrypted with the current key, older keys stay readable as long as they are given (rotation: add
the new key to all processes, then make it the current one, and drop the old one when no run needs
it). Ids, types, times and headers stay readable; for messages and stacks of errors use
`DefaultFailureConverterWithEncodedAttributes`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.converter import Payload, PayloadCodec
from orchestrator.exceptions import ConversionError

ENCODING = "binary/encrypted"
KEY_ID = "encryption-key-id"
CIPHER = "encryption-cipher"
_AES_GCM = "AES-GCM"
_NONCE_BYTES = 12
_KEY_BYTES = (16, 24, 32)


class EncryptionCodec(PayloadCodec):
    """Encrypts every payload; decrypts those whose key it has."""

    def __init__(self, keys: Mapping[str, bytes], *, key_id: str) -> None:
        """Take the keys.

        Args:
            keys: Key id → 16, 24 or 32 random bytes. Ids are not secret: they travel.
            key_id: The key for what is encrypted from now on.

        Raises:
            ValueError: that key is not given, or one has another size.
        """
        if key_id not in keys:
            known = ", ".join(sorted(keys)) or "none"
            raise ValueError(f"key_id: expected one of the keys given ({known}), found {key_id!r}")
        for name, key in keys.items():
            if len(key) not in _KEY_BYTES:
                raise ValueError(f"key {name!r}: expected 16, 24 or 32 bytes, found {len(key)}")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._key_id = key_id

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec.encode`."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec.decode`; what is not encrypted is passed on.

        Raises:
            ConversionError: the key is not known, or the payload was changed on its way.
        """
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        # The key's id is authenticated with it, so that it cannot be exchanged for another.
        sealed = self._ciphers[self._key_id].encrypt(
            nonce, payload.to_bytes(), self._key_id.encode()
        )
        return Payload.of_bytes(
            nonce + sealed,
            encoding=ENCODING,
            metadata={KEY_ID: self._key_id, CIPHER: _AES_GCM},
        )

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.encoding != ENCODING:
            return payload
        key_id = payload.metadata.get(KEY_ID, "")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(sorted(self._ciphers))
            raise ConversionError(
                f"a payload is encrypted with key {key_id!r}; this process has {known}: give it "
                "that key too"
            )
        content = payload.content()
        nonce, sealed = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        try:
            return Payload.from_bytes(cipher.decrypt(nonce, sealed, key_id.encode()))
        except (InvalidTag, ValueError) as error:
            raise ConversionError(
                f"a payload of key {key_id!r} cannot be decrypted: it was changed on its way, or "
                "this is another key of the same id"
            ) from error
