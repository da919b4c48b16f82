#!lua
-- enter_limits.lua: give an attempt its places under concurrency limits, all of them or none.
-- KEYS[1]: zset, holders by when they are in doubt, epoch ms
-- KEYS[2]: zset, waiters by their places
-- KEYS[3]: hash, most, clock, `attempt <holder>`, `share <fairness key>`; and so on, three for each limit
-- ARGV[1]: a msgpack map of activity, attempt, mosts, priority, key, stride, band, doubt_in_ms, lasts_ms,
--   at_once; optional as_is
-- Returns: entered | waiting
-- Invariants: stands alone, without the shared steps: it belongs to no shard. Who waits holds nothing and
--   waits under one limit. The same again changes nothing but the doubt, which moves on.
local a = cmsgpack.unpack(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function int(n) return string.format('%d', n) end
local function keys_of(i) return KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i] end
local held, blocked, ahead, place, share = {}, nil, 0, nil, nil
for i, most in ipairs(a.mosts) do
  local HOLDERS, WAITERS, FACTS = keys_of(i)
  held[i] = redis.call('ZSCORE', HOLDERS, a.activity)
  if not held[i] and not a.as_is and not blocked then
    place = tonumber(redis.call('ZSCORE', WAITERS, a.activity) or '0')
    if place == 0 then
      local clock = tonumber(redis.call('HGET', FACTS, 'clock') or '0')
      share = math.max(clock, tonumber(redis.call('HGET', FACTS, 'share ' .. a.key) or '0')) + a.stride
      place = a.priority * a.band + share
    end
    ahead = redis.call('ZCOUNT', WAITERS, '-inf', '(' .. int(place))
    if most - redis.call('ZCARD', HOLDERS) <= ahead then blocked = i end
  end
end
local fresh, number = false, a.attempt
for i, most in ipairs(a.mosts) do
  local HOLDERS, WAITERS, FACTS = keys_of(i)
  redis.call('HSET', FACTS, 'most', int(most))
  if not blocked then
    local waited = tonumber(redis.call('ZSCORE', WAITERS, a.activity) or '0') % a.band
    if waited > 0 then
      redis.call('ZREM', WAITERS, a.activity)
      local clock = tonumber(redis.call('HGET', FACTS, 'clock') or '0')
      if waited > clock then redis.call('HSET', FACTS, 'clock', int(waited)) end
      if tonumber(redis.call('HGET', FACTS, 'share ' .. a.key) or '0') <= math.max(clock, waited) then
        redis.call('HDEL', FACTS, 'share ' .. a.key)
      end
    end
    local before = tonumber(redis.call('HGET', FACTS, 'attempt ' .. a.activity) or '0')
    local becomes = a.as_is and a.attempt or math.max(before, a.attempt)
    number, fresh = math.max(number, becomes), fresh or not held[i]
    redis.call('HSET', FACTS, 'attempt ' .. a.activity, int(becomes))
    redis.call('ZADD', HOLDERS, int(math.max(now + a.doubt_in_ms, (tonumber(held[i] or '0')) + 1)), a.activity)
  elseif i == blocked then
    if share and not redis.call('ZSCORE', WAITERS, a.activity) then redis.call('HSET', FACTS, 'share ' .. a.key, int(share)) end
    redis.call('ZADD', WAITERS, int(place), a.activity)
  else
    redis.call('ZREM', WAITERS, a.activity)
  end
  for _, KEY in ipairs({HOLDERS, WAITERS, FACTS}) do
    if redis.call('PTTL', KEY) < a.lasts_ms then redis.call('PEXPIRE', KEY, int(a.lasts_ms)) end
  end
end
if not blocked then return cmsgpack.pack{kind = 'entered', now_ms = now, number = number, fresh = fresh} end
local doubtful, following = {}, {}
for i, most in ipairs(a.mosts) do
  local HOLDERS, WAITERS, FACTS = keys_of(i)
  if i == blocked then
    for _, holder in ipairs(redis.call('ZRANGEBYSCORE', HOLDERS, '-inf', int(now), 'LIMIT', 0, a.at_once)) do
      redis.call('ZADD', HOLDERS, int(now + a.doubt_in_ms), holder)
      local number_of = redis.call('HGET', FACTS, 'attempt ' .. holder)
      doubtful[#doubtful + 1] = holder
      doubtful[#doubtful + 1] = number_of or '0'
      doubtful[#doubtful + 1] = int(now + a.doubt_in_ms)
    end
  end
  local room = math.min(most - redis.call('ZCARD', HOLDERS), a.at_once)
  if room > 0 then
    for _, waiter in ipairs(redis.call('ZRANGE', WAITERS, 0, room - 1)) do following[#following + 1] = waiter end
  end
end
return cmsgpack.pack{kind = 'waiting', now_ms = now, number = blocked, ahead = ahead, doubtful = doubtful,
  following = following}
