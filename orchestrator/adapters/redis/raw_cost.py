"""What a script costs with nothing around it: the measure that `orchestrator bench` puts beside the
cost of a workflow. Plain redis-py, one call after another on each connection."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# redis-py leaves some of its types open.
from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from orchestrator.adapters.redis.keys import Keys
from orchestrator.ids import Namespace, ShardId

_SCRIPT = """#!lua
-- Writes about what a commit writes: two events, a hash of six fields, a row.
for number = 1, 2 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '1000', '*', 'type', 'Event', 'data', ARGV[1])
end
redis.call('HSET', KEYS[2], 'a', '1', 'b', '2', 'c', '3', 'd', '4', 'e', '5', 'f', '6')
redis.call('ZADD', KEYS[3], 1, 'row')
return 1
"""
_DATA = b'{"input":["0123456789012345678901234567890123456789"],"identity":"0123456789"}'


async def call_scripts(url: str, namespace: Namespace, *, count: int, in_flight: int) -> None:
    """Call a script of a commit's size `count` times, `in_flight` at a time, and leave nothing."""
    keys = Keys(namespace, shards=1)
    clients: list[Any] = [Redis.from_url(url) for _ in range(in_flight)]  # Any: redis-py's types
    names = [keys.of_shard(ShardId(0), f"bench:{part}") for part in ("events", "head", "rows")]
    script_hash: str = await clients[0].script_load(_SCRIPT)
    left = iter(range(count))

    async def work(client: Any) -> None:  # Any: as above
        for _ in left:
            await client.evalsha(script_hash, 3, *names, _DATA)

    try:
        await asyncio.gather(*(work(client) for client in clients))
        await clients[0].delete(*names)
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))
