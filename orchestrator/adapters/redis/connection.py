"""The connection to Redis: checked when opened, never repeating a call by itself.

A call without an answer has an unknown outcome and raises `UnavailableError`; whoever asked repeats
the same operation, which then answers as it did before.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# redis-py leaves some of its types open.
from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from orchestrator.exceptions import MisconfiguredError, UnavailableError
from orchestrator.limits import CONNECT_TIMEOUT_MS, STORE_TIMEOUT_MS

_T = TypeVar("_T")
_CONNECTIONS_MAX = 16
_SERVER_TROUBLES = (ReadOnlyError, OutOfMemoryError, ClusterDownError, TryAgainError)


class Connection:
    """One client of one Redis. `client` answers bytes."""

    def __init__(self, url: str) -> None:
        self._url = url
        pools: Any = BlockingConnectionPool  # Any: redis-py's types are half unknown
        pool = pools.from_url(
            url,
            max_connections=_CONNECTIONS_MAX,
            timeout=STORE_TIMEOUT_MS / 1000,
            socket_timeout=STORE_TIMEOUT_MS / 1000,
            socket_connect_timeout=CONNECT_TIMEOUT_MS / 1000,
            retry=Retry(NoBackoff(), 0),
        )
        self.client: Any = Redis(connection_pool=pool)  # Any: redis-py's types are half unknown

    async def open(self) -> None:
        """Check that the server is there, new enough, and keeps what it is given.

        Raises:
            UnavailableError: no answer within 5 s.
            MisconfiguredError: it evicts, or is older than 7.0.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_MS / 1000):
                server: Any = await self.call(self.client.info())  # Any: redis-py's own type
        except TimeoutError as error:
            raise UnavailableError(f"Redis at {self.shown_url} does not answer") from error
        version = str(server.get("redis_version", "0"))
        if int(version.split(".")[0]) < 7:
            raise MisconfiguredError(f"Redis 7.0 or newer is needed, {self.shown_url} is {version}")
        policy = server.get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            raise MisconfiguredError(
                f"Redis at {self.shown_url} would drop runs when memory is short: "
                f"maxmemory-policy is {policy}, set it to noeviction"
            )

    async def close(self) -> None:
        """Disconnect; calls under way fail."""
        await self.client.aclose()
        await self.client.connection_pool.disconnect()

    async def call(self, command: Awaitable[_T] | Any) -> _T:  # Any: redis-py's two-faced types
        """The answer to a command.

        Raises:
            UnavailableError: there is none, or the server is loading, read-only or out of memory.
        """
        try:
            answer: _T = await command
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise UnavailableError(f"Redis at {self.shown_url}: {error}") from error
        except _SERVER_TROUBLES as error:
            raise UnavailableError(f"Redis at {self.shown_url}: {error}") from error
        except ResponseError:
            raise  # A bug of ours or a script that is not loaded: the caller decides.
        except RedisError as error:
            raise UnavailableError(f"Redis at {self.shown_url}: {error}") from error
        return answer

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self._url)
        if parts.password is None:
            return self._url
        return parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl()
