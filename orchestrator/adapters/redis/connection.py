"""The way to one Redis: what a process needs to be sure of before it trusts a connection to it.

Every new connection is checked, so a server that comes back as another one is noticed: older than
7.0 or evicting it is refused, and when it is not the server of before (restarted, or failed over),
the owner is told, because acknowledged writes of the last moments may be gone. Commands that are
short travel on one connection, long reads on another, so that no commit waits behind a history.
The password never appears in an error.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# redis-py leaves some of its types open.
from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from orchestrator.adapters.redis.lane import Lane, Part, Socket
from orchestrator.exceptions import MisconfiguredError, OrchestratorError, UnavailableError
from orchestrator.limits import CONNECT_TIMEOUT_MS, PRESENCE_TTL_MS
from orchestrator.telemetry.metrics import Counters

_SERVER_TROUBLES = (
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    TryAgainError,
    BusyLoadingError,
)
_TROUBLE_CODES = frozenset(
    {"BUSY", "CLUSTERDOWN", "MASTERDOWN", "MISCONF", "NOREPLICAS", "TRYAGAIN"}
)
"""What a server that is there says when it cannot do it now, where redis-py has no class, or had
none in its older releases."""
_REFUSALS = (AuthenticationError, AuthenticationWrongNumberOfArgsError, NoPermissionError)


class Connection:
    """One Redis as one process sees it. Answers are bytes, in the forms of RESP2."""

    def __init__(
        self,
        url: str,
        *,
        counters: Counters | None = None,
        on_failover: Callable[[], None] | None = None,
        settling_ms: int = PRESENCE_TTL_MS,
    ) -> None:
        """Prepare; nothing is connected before `open`.

        Raises:
            MisconfiguredError: `url` is none.
        """
        self.counters = Counters() if counters is None else counters
        self.scripts: Sequence[tuple[str, bytes]] = ()
        """Hash and source of what every server is to know before it is asked for it."""
        self._on_failover = on_failover
        self._server: tuple[str, str] | None = None
        self._settling_ms = settling_ms
        self._settled_at = 0.0
        self._commands: Lane | None = None
        self._reads: Lane | None = None
        self._url = url
        self._kind, self._options, self._secrets = _parsed(url)

    async def open(self) -> None:
        """Connect, and check that the server keeps what it is given.

        Raises:
            UnavailableError: no answer within 5 s.
            MisconfiguredError: it evicts, is older than 7.0, or refuses this user.
        """
        if self._commands is None or self._reads is None:
            self._commands, self._reads = self._lane(), self._lane()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                await self.command("PING")
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {CONNECT_TIMEOUT_MS} ms") from error

    async def close(self) -> None:
        """Disconnect; calls under way fail."""
        lanes, self._commands, self._reads = (self._commands, self._reads), None, None
        for lane in lanes:
            if lane is not None:
                await lane.close()

    async def script(self, *parts: Part) -> bytes:
        """The answer of a script.

        Raises:
            NoScriptError: the server does not know it; nothing was done.
            UnavailableError, MisconfiguredError: as `command`.
        """
        self.counters.add("redis_scripts")
        answer: bytes = await self._answer(self._commands, parts)
        return answer

    async def command(self, *parts: Part) -> Any:  # Any: what Redis answers
        """The answer to a short command that is no script.

        Raises:
            UnavailableError: there is none, or the server is loading, read-only or out of memory.
            MisconfiguredError: it refuses this user, or the command; repeating does not help.
        """
        self.counters.add("redis_commands")
        return await self._answer(self._commands, parts)

    async def read(self, *parts: Part) -> Any:  # Any: what Redis answers
        """The answer to a read that may be long; errors as `command`."""
        self.counters.add("redis_reads")
        return await self._answer(self._reads, parts)

    async def listening(self) -> Socket:
        """A further checked connection, its caller's to use and to end; errors as `open`."""
        return await self._connect()

    @property
    def is_settled(self) -> bool:
        """Whether everybody has had the time to connect again to a server that is new."""
        return asyncio.get_running_loop().time() >= self._settled_at

    @property
    def is_answered(self) -> bool:
        """Whether short commands were answered when it was last tried."""
        return self._commands is not None and self._commands.is_answered

    @property
    def shown_url(self) -> str:
        """The URL without user, password and options."""
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    async def _answer(self, lane: Lane | None, parts: tuple[Part, ...]) -> Any:  # Any: as above
        if lane is None:
            raise self._unavailable("the client is closed, or was not opened")
        try:
            return await lane.call(*parts)
        except NoScriptError:
            raise  # Whoever called a script loads it.
        except RedisError as error:
            raise self._explained(error) from error

    def _lane(self) -> Lane:
        def wrote() -> None:
            self.counters.add("redis_writes")

        return Lane(self._connect, shown_url=self.shown_url, on_write=wrote)

    async def _connect(self) -> Socket:
        """A connection that is ready and checked."""
        socket: Socket = self._kind(**self._options)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                await socket.connect()
                [found] = await _ask(socket, ("INFO",))
                self._check(_facts(found))
                await self._load_scripts(socket)
        except BaseException as error:  # whatever happened, the socket is not left open
            await socket.disconnect(nowait=True)
            if isinstance(error, OrchestratorError) or not isinstance(error, Exception):
                raise
            # Whatever it was: whoever keeps a connection alive must not end over it.
            raise self._explained(error) from error
        return socket

    def _check(self, server: Mapping[str, str]) -> None:
        version = server.get("redis_version", "0")
        if int(version.split(".")[0]) < 7:
            raise MisconfiguredError(f"Redis 7.0 or newer is needed, {self.shown_url} is {version}")
        policy = server.get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            raise MisconfiguredError(
                f"Redis at {self.shown_url} would drop runs when memory is short: "
                f"maxmemory-policy is {policy}, set it to noeviction"
            )
        before, self._server = (
            self._server,
            (server.get("run_id", ""), server.get("master_replid", "")),
        )
        loop, is_other = asyncio.get_running_loop(), before not in (None, self._server)
        up_ms = 0 if is_other else int(server.get("uptime_in_seconds", "0")) * 1000
        settled_at = loop.time() + (self._settling_ms - up_ms) / 1000
        self._settled_at = max(self._settled_at, settled_at)
        if is_other and self._on_failover is not None:
            loop.call_soon(self._on_failover)

    async def _load_scripts(self, socket: Socket) -> None:
        if not self.scripts:
            return
        hashes = [name for name, _ in self.scripts]
        try:
            [known] = await _ask(socket, ("SCRIPT", "EXISTS", *hashes))
        except NoPermissionError:
            return  # Who only looks needs none; whoever calls one is told then.
        missing = [
            source
            for (_, source), is_known in zip(self.scripts, known, strict=True)
            if not is_known
        ]
        if missing:
            await _ask(socket, *(("SCRIPT", "LOAD", source) for source in missing))

    def _explained(self, error: BaseException) -> OrchestratorError:
        """The error in our words."""
        text = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            text = f"no answer within {CONNECT_TIMEOUT_MS} ms"
        if isinstance(error, _REFUSALS):
            return MisconfiguredError(
                self._hidden(
                    f"Redis at {self.shown_url} refuses access: {text}; "
                    "check user and password, and what the user may do (ACL)"
                )
            )
        is_answer = isinstance(error, ResponseError) and not isinstance(error, _SERVER_TROUBLES)
        if is_answer and text.partition(" ")[0] not in _TROUBLE_CODES:
            return MisconfiguredError(
                self._hidden(
                    f"Redis at {self.shown_url} refused what repeating does not cure: {text}; "
                    "is something else writing to these keys?"
                )
            )
        return self._unavailable(text)

    def _unavailable(self, problem: str) -> UnavailableError:
        return UnavailableError(self._hidden(f"Redis at {self.shown_url}: {problem}"))

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


async def _ask(socket: Socket, *commands: tuple[Part, ...]) -> list[Any]:  # Any: Redis's answers
    """The answers to commands written together on a connection of one's own."""
    await socket.send_packed_command(socket.pack_commands(commands), check_health=False)
    return [await socket.read_response() for _ in commands]


def _facts(info: bytes) -> dict[str, str]:
    """What INFO tells, as a dict."""
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, sign, value in pairs if sign}


def _parsed(url: str) -> tuple[Any, dict[str, Any], tuple[str, ...]]:  # Any: redis-py's own
    """The class of connection that `url` asks for, its options, and what must not be shown."""
    pools: Any = ConnectionPool  # Any: redis-py's types are half unknown
    try:
        pool = pools.from_url(url)
        shown = urlsplit(url)
        _ = shown.port  # Reading it checks it.
    except ValueError:
        # Its text may quote the password, where a character of it was not encoded.
        raise MisconfiguredError(
            "the store's URL cannot be read: expected redis://[user:password@]host[:port][/db], "
            "with special characters of the password percent-encoded"
        ) from None
    options: dict[str, Any] = dict(pool.connection_kwargs)  # Any: redis-py's own
    options |= {
        "protocol": 2,
        "decode_responses": False,
        "socket_timeout": None,  # One clock for all calls, in the lane; see `STORE_TIMEOUT_MS`.
        "socket_connect_timeout": CONNECT_TIMEOUT_MS / 1000,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "retry_on_timeout": False,
    }
    if shown.scheme != "unix":
        options["socket_keepalive"] = True
    password = options.get("password")
    secrets = (password, quote(password, safe="")) if password else ()
    return pool.connection_class, options, secrets
