#!lua
-- leave_limits.lua: take a holder or a waiter out of concurrency limits, and tell who may follow.
-- KEYS[1]: zset, holders by when they are in doubt, epoch ms
-- KEYS[2]: zset, waiters by their places
-- KEYS[3]: hash, most, clock, `attempt <holder>`, `share <fairness key>`; and so on, three for each limit
-- ARGV[1]: a msgpack map of at_once; optional activity, attempt, until_ms
-- Returns: left
-- Invariants: stands alone, without the shared steps: it belongs to no shard. A holder leaves under the number
--   of its attempt only, so that a late word of an attempt does not cost the next one its place.
local a = cmsgpack.unpack(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local following = {}
for i = 1, #KEYS / 3 do
  local HOLDERS, WAITERS, FACTS = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local facts = redis.call('HMGET', FACTS, 'most', 'attempt ' .. (a.activity or ''))
  if a.attempt then
    local doubt = tonumber(redis.call('ZSCORE', HOLDERS, a.activity) or '-1')
    if tonumber(facts[2] or '0') == a.attempt and (not a.until_ms or doubt == a.until_ms) then
      redis.call('ZREM', HOLDERS, a.activity)
      redis.call('HDEL', FACTS, 'attempt ' .. a.activity)
    end
  elseif a.activity then
    redis.call('ZREM', WAITERS, a.activity)
  end
  local room = math.min(tonumber(facts[1] or '0') - redis.call('ZCARD', HOLDERS), a.at_once)
  if room > 0 then
    for _, waiter in ipairs(redis.call('ZRANGE', WAITERS, 0, room - 1)) do following[#following + 1] = waiter end
  end
end
return cmsgpack.pack{kind = 'left', now_ms = now, following = following}
