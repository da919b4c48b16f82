#!lua
-- take_turn.lua: hand out the next turn of a rate limit.
-- KEYS[1]: string, until when turns are given away, epoch microseconds
-- ARGV[1]: a msgpack map of interval_us, saved_us
-- Returns: turn
-- Invariants: stands alone, without the shared steps: it belongs to no shard.
local a = cmsgpack.unpack(ARGV[1])
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local turn = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now_us - a.saved_us)
local reserved = turn + a.interval_us
local ttl_ms = math.ceil(math.max(0, reserved - now_us + a.saved_us) / 1000) + 1000
redis.call('SET', KEYS[1], string.format('%d', reserved), 'PX', string.format('%d', ttl_ms))
return cmsgpack.pack{kind = 'turn', now_ms = math.floor(now_us / 1000), due_at_ms = math.floor(turn / 1000)}
