"""What a Redis says of itself: versions, durability, memory, time. Reads only, for `doctor`.

What this user may not ask stays None: least privileges are no fault.
"""

from __future__ import annotations

import time

import msgspec

from orchestrator.adapters.redis.connection import Connection
from orchestrator.exceptions import MisconfiguredError


class RedisFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One server, as it stood when asked."""

    version: str
    role: str
    replicas: int
    is_append_only: bool
    append_fsync: str | None
    last_write_failed: bool
    """Of the append-only file, or of the last snapshot."""
    memory_used_bytes: int
    memory_max_bytes: int
    """0: no bound."""
    stream_node_bytes: int | None
    min_replicas_to_write: int | None
    round_trip_ms: float
    clock_ahead_ms: float | None
    """How far its clock is ahead of this machine's; within half a round trip."""


async def read_facts(url: str) -> RedisFacts:
    """Connect to `url` and ask.

    Raises:
        UnavailableError: no answer within 5 s.
        MisconfiguredError: it evicts, is too old, or refuses this user.
    """
    connection = Connection(url)
    try:
        await connection.open()
        begun = time.monotonic()
        await connection.command("PING")
        round_trip_ms = (time.monotonic() - begun) * 1000
        info = read_info(await connection.command("INFO"))
        return RedisFacts(
            version=info.get("redis_version", "?"),
            role=info.get("role", "?"),
            replicas=int(info.get("connected_slaves", "0")),
            is_append_only=info.get("aof_enabled") == "1",
            append_fsync=await _setting(connection, "appendfsync"),
            last_write_failed="err"
            in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")),
            memory_used_bytes=int(info.get("used_memory", "0")),
            memory_max_bytes=int(info.get("maxmemory", "0")),
            stream_node_bytes=_number(await _setting(connection, "stream-node-max-bytes")),
            min_replicas_to_write=_number(await _setting(connection, "min-replicas-to-write")),
            round_trip_ms=round_trip_ms,
            clock_ahead_ms=await _clock_ahead_ms(connection),
        )
    finally:
        await connection.close()


def read_info(text: bytes) -> dict[str, str]:
    """The fields of an INFO answer."""
    lines = text.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: value for name, sign, value in pairs if sign}


async def _setting(connection: Connection, name: str) -> str | None:
    try:
        found: list[bytes] = await connection.command("CONFIG", "GET", name)
    except MisconfiguredError:
        return None  # This user may not ask, or the command has another name here.
    return found[1].decode() if len(found) == 2 else None


async def _clock_ahead_ms(connection: Connection) -> float | None:
    before = time.time()
    try:
        seconds, microseconds = await connection.command("TIME")
    except MisconfiguredError:
        return None  # This user may not ask.
    middle = (before + time.time()) / 2
    return (int(seconds) + int(microseconds) / 1e6 - middle) * 1000


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
