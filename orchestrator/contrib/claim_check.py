"""Claim check: large values are kept in a store of their own, and histories hold a reference.

`ClaimCheckCodec` goes last in a chain, behind compression and encryption. A reference is the hash
of what is stored, so the same bytes are stored once however often they are sent, and what comes
back is what was sent. Nobody counts references: what is stored is deleted by age, when no run can
need it any more. Whatever is stored or read again is young again, also by a replay.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from orchestrator.adapters.redis.claims import Claims
from orchestrator.converter import Payload, PayloadCodec
from orchestrator.exceptions import ConversionError
from orchestrator.ids import Namespace
from orchestrator.limits import CLAIM_THRESHOLD_BYTES, CLAIMED_BYTES_MAX
from orchestrator.units import to_ms

ENCODING = "claim/sha256"
KEY = "claim-key"
SIZE = "claim-bytes"
_KEY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".partial-"


class StorageDriver(ABC):
    """Where large values are kept. A key is 64 hexadecimal digits and always means the same
    bytes."""

    @abstractmethod
    async def store(self, key: str, content: bytes) -> None:
        """Keep `content`; durable once this returns. Again is the same, and makes it young."""

    @abstractmethod
    async def retrieve(self, key: str) -> bytes:
        """What was stored; makes it young.

        Raises:
            KeyError: there is nothing of this key.
        """

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Forget it; again does nothing."""


class DirectoryDriver(StorageDriver):
    """Files in a folder that all processes share, one a value."""

    def __init__(self, folder: str | Path) -> None:
        """The folder is made when it is needed."""
        self._folder = Path(folder)

    async def store(self, key: str, content: bytes) -> None:
        """See `StorageDriver.store`: a file is there whole or not at all."""
        await asyncio.to_thread(self._store, key, content)

    async def retrieve(self, key: str) -> bytes:
        """See `StorageDriver.retrieve`."""
        try:
            return await asyncio.to_thread(self._retrieve, key)
        except FileNotFoundError as error:
            raise KeyError(key) from error

    async def delete(self, key: str) -> None:
        """See `StorageDriver.delete`."""
        await asyncio.to_thread(self._path(key).unlink, True)

    async def delete_older_than(self, age: timedelta) -> int:
        """Delete what was neither stored nor read for so long; how much that was. A run that still
        refers to it stalls: choose more than the longest run and the retention together."""
        return await asyncio.to_thread(self._delete_older_than, age.total_seconds())

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):  # It may come from a message: no path may be made of it.
            raise ConversionError(f"a claim's key has 64 hexadecimal digits, found {key!r:.80}")
        return self._folder / key[:2] / key

    def _retrieve(self, key: str) -> bytes:
        path = self._path(key)
        content = path.read_bytes()
        with contextlib.suppress(OSError):  # Gone meanwhile, or the folder is there to read only.
            os.utime(path)
        return content

    def _store(self, key: str, content: bytes) -> None:
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError):  # A sweep may run at this very moment.
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # The name must outlast a power cut as the bytes do.
        finally:
            os.close(folder)

    def _delete_older_than(self, age_seconds: float) -> int:
        before = time.time() - age_seconds
        old = [path for path in self._folder.glob("??/*") if path.stat().st_mtime < before]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


class RedisDriver(StorageDriver):
    """Values in Redis, each of which goes by itself when nobody has stored or read it for long.

    For the event loop in which it is first used; see `close`.
    """

    def __init__(self, url: str, *, keep: timedelta, namespace: str = "default") -> None:
        """Nothing is connected yet.

        Args:
            url: As the store's. A Redis of its own leaves the store's memory alone.
            keep: How long after it was last stored or read. A run that still refers to what is gone
                stalls: choose more than the longest run and the retention together.
            namespace: Of the runs; users that may use its keys may use these too.

        Raises:
            MisconfiguredError: `url` is none.
            ValueError: `keep` is not positive.
        """
        if keep <= timedelta():
            raise ValueError(f"how long values are kept must be positive, found {keep}")
        self._claims = Claims(url, Namespace(namespace), ttl_ms=to_ms(keep))

    async def store(self, key: str, content: bytes) -> None:
        """See `StorageDriver.store`; as durable as that Redis is set to be.

        Raises:
            UnavailableError: it does not answer; the same again does no harm.
            MisconfiguredError: it evicts, is older than 7.0, or refuses this user.
        """
        await self._claims.put(key, content)

    async def retrieve(self, key: str) -> bytes:
        """See `StorageDriver.retrieve`; raises as `store` does too."""
        content = await self._claims.get(key)
        if content is None:
            raise KeyError(key)
        return content

    async def delete(self, key: str) -> None:
        """See `StorageDriver.delete`; raises as `store` does."""
        await self._claims.delete(key)

    async def close(self) -> None:
        """Disconnect; the next call connects again, from whatever loop it is made."""
        await self._claims.close()


class ClaimCheckCodec(PayloadCodec):
    """Stores payloads above a size, and sends references in their place."""

    payload_bytes_max = CLAIMED_BYTES_MAX

    def __init__(
        self, driver: StorageDriver, *, threshold_bytes: int = CLAIM_THRESHOLD_BYTES
    ) -> None:
        """Payloads of more than `threshold_bytes` go to `driver`."""
        self._driver = driver
        self._threshold_bytes = threshold_bytes

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec.encode`."""
        return [await self._encode(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec.decode`; what is no reference is passed on.

        Raises:
            ConversionError: what a reference names is gone, or is not what was stored.
        """
        return [await self._decode(payload) for payload in payloads]

    async def _encode(self, payload: Payload) -> Payload:
        if len(bytes(payload.data)) <= self._threshold_bytes:
            return payload
        whole = payload.to_bytes()
        key = hashlib.sha256(whole).hexdigest()
        await self._driver.store(key, whole)
        return Payload.of_bytes(b"", encoding=ENCODING, metadata={KEY: key, SIZE: str(len(whole))})

    async def _decode(self, payload: Payload) -> Payload:
        if payload.encoding != ENCODING:
            return payload
        key = payload.metadata.get(KEY, "")
        if not _KEY.fullmatch(key):
            raise ConversionError(f"a claim's key has 64 hexadecimal digits, found {key!r:.80}")
        try:
            whole = await self._driver.retrieve(key)
        except KeyError as error:
            raise ConversionError(
                f"the large value of claim {key} is not in its store: expected it to be kept "
                "for as long as a run refers to it; keep values for longer than runs and their "
                "retention"
            ) from error
        if hashlib.sha256(whole).hexdigest() != key:
            raise ConversionError(f"the large value of claim {key} was changed in its store")
        return Payload.from_bytes(whole)
