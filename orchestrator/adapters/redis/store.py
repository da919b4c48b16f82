"""The store on Redis: every right on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import SystemRandom

from orchestrator.adapters.redis.activities import RedisActivities
from orchestrator.adapters.redis.concurrency import RedisConcurrency
from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.duties import RedisDuties
from orchestrator.adapters.redis.keys import Keys
from orchestrator.adapters.redis.presence import RedisPresence
from orchestrator.adapters.redis.rates import RedisRates
from orchestrator.adapters.redis.relations import RedisRelations
from orchestrator.adapters.redis.visibility import RedisVisibility
from orchestrator.exceptions import MisconfiguredError
from orchestrator.ids import Namespace
from orchestrator.limits import PRESENCE_TTL_MS, RETENTION_MS, SHARDS
from orchestrator.telemetry.metrics import Counters


class RedisStore(
    RedisActivities,
    RedisRates,
    RedisConcurrency,
    RedisDuties,
    RedisRelations,
    RedisPresence,
    RedisVisibility,
):
    """Implements `orchestrator.ports.store.Store`."""

    def __init__(
        self,
        url: str,
        *,
        namespace: Namespace = Namespace("default"),
        shards: int = SHARDS,
        queue_type: str = "classic",
        retention_ms: int = RETENTION_MS,
        counters: Counters | None = None,
        on_time: Callable[[int], None] | None = None,
        on_failover: Callable[[], None] | None = None,
        settling_ms: int = PRESENCE_TTL_MS,
    ) -> None:
        """Name the server and the settings of the namespace, which `open` compares.

        `on_time` hears the store's time with every script's answer. `on_failover` is called when a
        connection finds another server than before (a restart counts): acknowledged writes of the
        last moments may be gone. For `settling_ms` after a server has come back, who does not
        listen is not held for dead. `counters` gets `redis_scripts`, `redis_reads`,
        `redis_commands` (neither of both) and `redis_writes` (what goes to the socket at once).

        Raises:
            MisconfiguredError: the URL cannot be read.
        """
        connection = Connection(
            url, counters=counters, on_failover=on_failover, settling_ms=settling_ms
        )
        super().__init__(
            connection, Keys(namespace, shards), SystemRandom(), on_time, retention_ms=retention_ms
        )
        self._queue_type = queue_type

    @property
    def shards(self) -> int:
        """The number of shards."""
        return self._keys.shards

    @property
    def is_connected(self) -> bool:
        """See `Store.is_connected`."""
        return self._connection.is_answered

    async def open(self) -> None:
        """See `Store.open`."""
        try:
            await self._connection.open()
            await self._compare_settings()
        except BaseException:  # whatever it was, a store that is not open holds no connection
            await self.close()
            raise

    async def close(self) -> None:
        """See `Store.close`."""
        await self._listener.close()
        await self._connection.close()

    async def _compare_settings(self) -> None:
        key = self._keys.config()
        wanted = {"shards": str(self.shards), "queue_type": self._queue_type}
        found = await self._connection.command("HMGET", key, *wanted)
        if None in found:
            await asyncio.gather(
                *(self._connection.command("HSETNX", key, *pair) for pair in wanted.items())
            )
            found = await self._connection.command("HMGET", key, *wanted)
        for (name, value), stored in zip(wanted.items(), found, strict=True):
            if stored.decode() != value:
                raise MisconfiguredError(
                    f"namespace {self._keys.namespace!r} was made with {name} {stored.decode()}, "
                    f"this process is set to {value}; use the namespace's own setting"
                )
