"""A typed wrapper for each script in `lua/`, of the same name; scripts are called by their hash.

Arguments travel as one msgpack map and answers come back as one, so that numbers stay numbers and
payloads stay opaque. A script's header is its signature: what it names is sent, nothing else is,
and what is missing is noticed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeAlias

import msgspec
from redis.exceptions import NoScriptError

from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.lane import Part

Fields: TypeAlias = Mapping[str, Any]  # Any: what msgpack carries; the script's header names it
StreamEntry: TypeAlias = tuple[str, list[str]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a script answers; which fields are set is told by `kind`."""

    kind: str
    now_ms: int
    run_id: str | None = None
    status: str | None = None
    workflow_type: str | None = None
    task_queue: str = ""
    sticky: str | None = None
    woken: bool = False
    paused: bool = False
    reset: bool = False
    number: int = 0
    due_at_ms: int = 0
    ahead: int = 0
    fresh: bool = False
    doubtful: list[str] = []
    following: list[str] = []
    head: dict[str, str] = {}
    record: dict[str, str] = {}
    unread: list[StreamEntry] = []
    timers: list[str] = []
    wakeups: list[str] = []
    members: list[str] = []


_answer_decoder = msgspec.msgpack.Decoder(Answer)


class Scripts:
    """The scripts of this release on one connection; `on_time` hears the time of each answer."""

    def __init__(self, connection: Connection, on_time: Callable[[int], None] | None) -> None:
        self._connection = connection
        self._on_time = on_time
        folder = files("orchestrator.adapters.redis") / "lua"
        self._all = {name: Script(folder, name) for name in _NAMES}
        connection.scripts = [(script.hash, script.source) for script in self._all.values()]

    async def _call(self, name: str, keys: Sequence[str], fields: Fields) -> Answer:
        script = self._all[name]
        arguments: tuple[Part, ...] = (len(keys), *keys, script.packed(fields))
        try:
            reply = await self._connection.script("EVALSHA", script.hash, *arguments)
        except NoScriptError:
            reply = await self._connection.script("EVAL", script.source, *arguments)
        answer = _answer_decoder.decode(reply)
        if self._on_time is not None:
            self._on_time(answer.now_ms)
        return answer

    async def adjust_attempt(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Pause, unpause, reset or change an activity that has not ended."""
        return await self._call("adjust_attempt", keys, fields)

    async def after_close_done(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Drop rows of a closed run, arm its retention."""
        return await self._call("after_close_done", keys, fields)

    async def answer_row(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Put the answer of an act on another workflow into the inbox, remove its rows."""
        return await self._call("answer_row", keys, fields)

    async def append_entry(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Put an entry into the inbox of the newest run, and wake it once."""
        return await self._call("append_entry", keys, fields)

    async def begin_attempt(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Scheduled to running, before user code is entered."""
        return await self._call("begin_attempt", keys, fields)

    async def cancel_standalone(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Ask a standalone activity to end; one that nobody runs ends at once."""
        return await self._call("cancel_standalone", keys, fields)

    async def commit_transition(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Commit one activation of one run, if the run has not moved."""
        return await self._call("commit_transition", keys, fields)

    async def delete_run(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Remove a closed run; head, inbox and seen ids only if it is the newest."""
        return await self._call("delete_run", keys, fields)

    async def enter_limits(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Give an attempt its places under concurrency limits, all of them or none."""
        return await self._call("enter_limits", keys, fields)

    async def fail_task(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Record a failed workflow task, which consumes nothing."""
        return await self._call("fail_task", keys, fields)

    async def finish_attempt(self, keys: Sequence[str], fields: Fields) -> Answer:
        """End an attempt: the retry when it may be, else the entry."""
        return await self._call("finish_attempt", keys, fields)

    async def fire_timer(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Turn a due timer into an inbox entry."""
        return await self._call("fire_timer", keys, fields)

    async def force_close(self, keys: Sequence[str], fields: Fields) -> Answer:
        """End a run whose code is not asked."""
        return await self._call("force_close", keys, fields)

    async def heartbeat_attempt(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Keep a running attempt alive."""
        return await self._call("heartbeat_attempt", keys, fields)

    async def join_members(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Renew a membership, drop those that ran out, tell who is left."""
        return await self._call("join_members", keys, fields)

    async def lease_row(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Move a row of timers on, unless it has moved or gone."""
        return await self._call("lease_row", keys, fields)

    async def leave_limits(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Take a holder or a waiter out of concurrency limits, and tell who may follow."""
        return await self._call("leave_limits", keys, fields)

    async def move_row(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Extend the row of a task, or hand the run back."""
        return await self._call("move_row", keys, fields)

    async def read_due(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Read what a shard has due, and when the next row after that is."""
        return await self._call("read_due", keys, fields)

    async def redispatch_attempt(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Make a due attempt ready to be published, or move its row."""
        return await self._call("redispatch_attempt", keys, fields)

    async def repeat_wakeup(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Take up a due row of wakeups."""
        return await self._call("repeat_wakeup", keys, fields)

    async def start_run(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Make a run, or do what the policies say."""
        return await self._call("start_run", keys, fields)

    async def sync_run(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Read head and inbox before a workflow task, and move its row."""
        return await self._call("sync_run", keys, fields)

    async def take_turn(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Hand out the next turn of a rate limit."""
        return await self._call("take_turn", keys, fields)

    async def wake_now(self, keys: Sequence[str], fields: Fields) -> Answer:
        """Score the called row of one workflow id to now."""
        return await self._call("wake_now", keys, fields)


_NAMES = (
    "adjust_attempt",
    "after_close_done",
    "answer_row",
    "append_entry",
    "begin_attempt",
    "cancel_standalone",
    "commit_transition",
    "delete_run",
    "enter_limits",
    "fail_task",
    "finish_attempt",
    "fire_timer",
    "force_close",
    "heartbeat_attempt",
    "join_members",
    "lease_row",
    "leave_limits",
    "move_row",
    "read_due",
    "redispatch_attempt",
    "repeat_wakeup",
    "start_run",
    "sync_run",
    "take_turn",
    "wake_now",
)

_ALONE = frozenset({"enter_limits", "join_members", "leave_limits", "take_turn"})
_OF_ATTEMPTS = frozenset(
    {
        "adjust_attempt",
        "begin_attempt",
        "cancel_standalone",
        "commit_transition",
        "finish_attempt",
        "heartbeat_attempt",
        "redispatch_attempt",
    }
)


class Script:
    """A script as it is sent, and the fields that its header names."""

    def __init__(self, folder: Traversable, name: str) -> None:
        """Read `<name>.lua`, and put the steps that it shares below its first line."""
        first, _, rest = (folder / f"{name}.lua").read_text("utf-8").partition("\n")
        shared = [] if name in _ALONE else ["steps.inc"]
        shared += ["attempts.inc"] if name in _OF_ATTEMPTS else []
        parts = [first, *((folder / part).read_text("utf-8") for part in shared), rest]
        self.source = "\n".join(parts).encode()
        self.hash = sha1(self.source, usedforsecurity=False).hexdigest()
        self.required, self.optional = _named_fields(rest)

    def packed(self, fields: Fields) -> bytes:
        """The map to send. An optional field that is missing or None stays out.

        Raises:
            KeyError: a field that the header names is missing.
        """
        sent = {name: fields[name] for name in self.required}
        for name in self.optional:
            value = fields.get(name)
            if value is not None:
                sent[name] = value
        return msgspec.msgpack.encode(sent)


def _named_fields(script: str) -> tuple[Sequence[str], Sequence[str]]:
    """The fields behind `a msgpack map of` in a header: those that must be there, and others."""
    header = re.search(r"-- ARGV\[1\]: a msgpack map of (.*\n(?:--   .*\n)*)", script)
    text = "" if header is None else re.sub(r"\s*\n(?:--\s+)?", " ", header[1])
    required, _, optional = text.partition("; optional ")
    return re.findall(r"\w+", required), re.findall(r"\w+", optional)
