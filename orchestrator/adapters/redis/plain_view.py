"""A stream as `redis-cli` shows it, for demos and how-tos on machines without that program."""

# pyright: reportUnknownMemberType=false
# redis-py leaves some of its types open.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, Union

from redis.asyncio import Redis

from orchestrator.adapters.redis.keys import Keys
from orchestrator.ids import Namespace, RunId, WorkflowId

Reply: TypeAlias = Union[bytes, "Sequence[Reply]"]
"""What Redis answers: texts, and arrays of answers."""
_ESCAPES = {
    0x22: '\\"',
    0x5C: "\\\\",
    0x07: "\\a",
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
}


def history_key(namespace: Namespace, shards: int, workflow_id: str, run_id: str) -> str:
    """The key of the stream that is a run's history."""
    return Keys(namespace, shards).of_run("history", WorkflowId(workflow_id), RunId(run_id))


async def xrange_lines(url: str, key: str) -> list[str]:
    """What `redis-cli XRANGE key - +` prints at a terminal."""
    client = Redis.from_url(url)
    try:
        entries: Any = await client.xrange(key)  # Any: redis-py's type fits no decoder at once
    finally:
        await client.aclose()
    reply: list[Reply] = [
        [name, [part for pair in fields.items() for part in pair]] for name, fields in entries
    ]
    return render(reply)


def render(reply: Reply, prefix: str = "") -> list[str]:
    """Lines of a reply: arrays are numbered and indented, texts are quoted and escaped."""
    if isinstance(reply, bytes):
        return [f"{prefix}{quote(reply)}"]
    if not reply:
        return [f"{prefix}(empty array)"]
    width = len(str(len(reply)))
    lines: list[str] = []
    for number, member in enumerate(reply, start=1):
        lead = prefix if number == 1 else " " * len(prefix)
        lines += render(member, f"{lead}{number:>{width}}) ")
    return lines


def quote(text: bytes) -> str:
    """One text as redis-cli prints it: bytes that are not printable ASCII are escaped."""
    parts = [
        _ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
        for byte in text
    ]
    return f'"{"".join(parts)}"'
