"""The store on Redis: every right on one connection."""

from __future__ import annotations

from random import SystemRandom
from typing import Any

from orchestrator.adapters.redis.activities import RedisActivities
from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.duties import RedisDuties
from orchestrator.adapters.redis.keys import Keys
from orchestrator.adapters.redis.presence import RedisPresence, RedisVisibility
from orchestrator.exceptions import MisconfiguredError
from orchestrator.ids import Namespace
from orchestrator.limits import SHARDS


class RedisStore(RedisActivities, RedisDuties, RedisPresence, RedisVisibility):
    """Implements `orchestrator.ports.store.Store`."""

    def __init__(
        self,
        url: str,
        *,
        namespace: Namespace = Namespace("default"),
        shards: int = SHARDS,
        queue_type: str = "classic",
    ) -> None:
        """Name the server and the settings of the namespace, which `open` compares."""
        super().__init__(Connection(url), Keys(namespace, shards), SystemRandom())
        self._queue_type = queue_type

    @property
    def shards(self) -> int:
        """The number of shards."""
        return self._keys.shards

    async def open(self) -> None:
        """See `Store.open`."""
        await self._connection.open()
        client, key = self._connection.client, self._keys.config()
        wanted = {"shards": str(self.shards), "queue_type": self._queue_type}
        for name, value in wanted.items():
            await self._connection.call(client.hsetnx(key, name, value))
            found: Any = await self._connection.call(client.hget(key, name))  # Any: redis-py's
            if found.decode() != value:
                raise MisconfiguredError(
                    f"namespace {self._keys.namespace!r} was made with {name} {found.decode()}, "
                    f"this process is set to {value}; use the namespace's own setting"
                )

    async def close(self) -> None:
        """See `Store.close`."""
        await self.stop_listening()
        await self._connection.close()
