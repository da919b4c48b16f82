"""Large values in Redis, under the hash of what they are, each with a time to live.

Nobody counts who refers to one. Whoever stores or reads it puts its end off again, and never brings
it nearer: two processes with other times agree on the longer one.
"""

from __future__ import annotations

import asyncio

from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.keys import claim
from orchestrator.ids import Namespace


class Claims:
    """The large values of one namespace. Connects at the first call, to the loop that made it.

    Every call repeated is the same call, so one whose answer was lost may be made again.
    """

    def __init__(self, url: str, namespace: Namespace, *, ttl_ms: int) -> None:
        """Prepare.

        Raises:
            MisconfiguredError: `url` is none.
        """
        self._connection = Connection(url)
        self._namespace = namespace
        self._ttl_ms = ttl_ms
        self._opening = asyncio.Lock()
        self._is_open = False

    async def put(self, name: str, content: bytes) -> None:
        """Keep `content` for at least the time to live, counted from now.

        Raises:
            UnavailableError: the outcome is unknown, or the server is away or full.
            MisconfiguredError: the server evicts, is too old, or refuses this user.
        """
        key = await self._key(name)
        if await self._prolong(key):
            return  # Its bytes need not travel again.
        ttl = ("PX", self._ttl_ms)
        made = await self._connection.command("SET", key, content, *ttl, "NX")
        if made is None:  # It is there, and longer; or another has just made it, for less.
            await self._prolong(key)

    async def get(self, name: str) -> bytes | None:
        """What is kept, its end put off; None: nothing. Raises as `put` does."""
        key = await self._key(name)
        content: bytes | None = await self._connection.read("GET", key)
        if content is not None:
            await self._prolong(key)
        return content

    async def delete(self, name: str) -> None:
        """Forget it. Raises as `put` does."""
        await self._connection.command("DEL", await self._key(name))

    async def close(self) -> None:
        """Disconnect; the next call connects again."""
        async with self._opening:
            self._is_open = False
            await self._connection.close()

    async def _prolong(self, key: str) -> bool:
        """Whether it is there, and now lives longer than it would have."""
        return bool(await self._connection.command("PEXPIRE", key, self._ttl_ms, "GT"))

    async def _key(self, name: str) -> str:
        async with self._opening:
            if not self._is_open:
                await self._connection.open()
                self._is_open = True
        return claim(self._namespace, name)
