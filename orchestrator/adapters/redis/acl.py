"""Who may do what in Redis: the lines of an ACL file, made from the key names and the scripts.

Redis checks commands and keys inside of scripts too, so a role's commands are those its scripts
call and those its code sends by itself, nothing else. Keys and channels are those of one namespace.

    worker   workflow and activity workers, with the duties of the engine
    engine   the duties alone; its scripts are the workers'
    client   clients of this package: start, signal, query, cancel, resume, list, wait; the same
             of standalone activities
    viewer   people who look: reads, and no writes
    health   PING, for health checks

The user `default` is off. Redis cannot tell one script from another, so a client could write what a
worker writes: programs that are not trusted with that speak AMQP only, and need no user here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from orchestrator.adapters.redis.keys import Keys
from orchestrator.exceptions import MisconfiguredError
from orchestrator.ids import Namespace

_CONNECTING = ("info", "ping", "select")
"""Not CLIENT SETINFO, which the client library sends and does not need: Redis 7.0 does not know it,
and a server does not start on an ACL file that names an unknown command."""
_SCRIPTING = ("eval", "evalsha", "script|exists", "script|load")
_OPENING = ("hmget", "hsetnx")
_READING = ("hget", "hgetall", "hmget", "xrange", "xrevrange", "zcard", "zrange")
_LISTENING = ("subscribe", "unsubscribe")
_PRESENCE = ("del", "exists", "pubsub|numsub", "set", "zrem")
_CLAIMING = ("del", "get", "pexpire", "set")
"""Large values, of those who keep them in Redis."""
_LOOKING = ("exists", "pttl", "scan", "strlen", "ttl", "type", "xinfo|stream", "xlen")
_LOOKING_DEEPER = ("get", "hlen", "zcount", "zrevrange", "zscore")
_CALL = re.compile(r"redis\.p?call\('([A-Za-z]+)'")


class _Role(msgspec.Struct, frozen=True, kw_only=True):
    """What the code of a role sends. `scripts` None: every script."""

    commands: tuple[str, ...]
    scripts: tuple[str, ...] | None = ()
    keys: str = "~"
    processes: bool = False
    closes: bool = False
    tells_processes: bool = False
    """Publishes to the channels of processes, and does not listen there."""


_WORKER = _Role(
    commands=(*_CONNECTING, *_SCRIPTING, *_OPENING, *_READING, *_LISTENING, *_PRESENCE, *_CLAIMING),
    scripts=None,
    processes=True,
    closes=True,
)
_ROLES: Mapping[str, _Role] = {
    "worker": _WORKER,
    "engine": _WORKER,
    "client": _Role(
        commands=(*_CONNECTING, *_SCRIPTING, *_OPENING, *_READING, *_LISTENING, *_CLAIMING),
        scripts=("start_run", "append_entry", "force_close", "move_row", "cancel_standalone"),
        closes=True,
        tells_processes=True,  # of the cancel of a standalone activity
    ),
    "viewer": _Role(commands=(*_CONNECTING, *_READING, *_LOOKING, *_LOOKING_DEEPER), keys="%R~"),
    "health": _Role(commands=("ping",), keys=""),
}
USERS: Sequence[str] = tuple(_ROLES)


def rules(user: str, namespace: Namespace) -> list[str]:
    """The rules of `user` without a password, as ACL SETUSER takes them."""
    role, keys = _ROLES[user], Keys(namespace, shards=1)
    patterns = [f"{role.keys}{pattern}" for pattern in keys.key_patterns() if role.keys]
    channels = [
        f"&{pattern}"
        for pattern, is_heard in (
            (keys.process_channels(), role.processes),
            (keys.closes_channels(), role.closes),
        )
        if is_heard
    ]
    selectors = [f"(+publish &{keys.process_channels()})"] if role.tells_processes else []
    commands = sorted({*role.commands, *_called_by(role.scripts)})
    return [
        *("resetkeys", *patterns),
        *("resetchannels", *channels),
        *("-@all", *(f"+{command}" for command in commands)),
        *selectors,
    ]


def as_file(namespace: Namespace, *, passwords: Mapping[str, str]) -> str:
    """The text of an ACL file; passwords stand in it as hashes.

    Raises:
        MisconfiguredError: a user has no password in `passwords`.
    """
    missing = [user for user in USERS if not passwords.get(user)]
    if missing:
        raise MisconfiguredError(f"Redis's users need a password each; missing: {missing}")
    lines = ["user default off resetpass resetkeys resetchannels -@all"]
    for user in USERS:
        password = f"#{hashlib.sha256(passwords[user].encode()).hexdigest()}"
        lines.append(" ".join(["user", user, "on", password, *rules(user, namespace)]))
    return "\n".join(lines) + "\n"


@cache
def _called_by(scripts: tuple[str, ...] | None) -> frozenset[str]:
    """The commands that `scripts` and the steps which all of them share call."""
    folder = files("orchestrator.adapters.redis") / "lua"
    if scripts == ():
        return frozenset()
    shared = ("steps.inc", "attempts.inc")
    wanted = None if scripts is None else {*shared, *(f"{name}.lua" for name in scripts)}
    sources = [
        source.read_text(encoding="utf-8")
        for source in folder.iterdir()
        if wanted is None or source.name in wanted
    ]
    return frozenset(name.lower() for text in sources for name in _CALL.findall(text))
