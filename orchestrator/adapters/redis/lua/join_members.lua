#!lua
-- join_members.lua: renew a membership, drop those that ran out, tell who is left.
-- KEYS[1]: zset, the processes that share the shards, scored by when their membership runs out
-- ARGV[1]: a msgpack map of process, ttl_ms
-- Returns: members
-- Invariants: stands alone, without the shared steps: it belongs to no shard.
local a = cmsgpack.unpack(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%d', now + a.ttl_ms), a.process)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now))
return cmsgpack.pack{kind = 'members', now_ms = now, members = redis.call('ZRANGE', KEYS[1], 0, -1)}
