#!lua
-- heartbeat_attempt.lua: keep a running attempt alive.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of the fields read below as `a.<name>`
-- Returns: beaten | gone
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local prefix, record = a.id .. '.', nil
if head.run_id == a.run_id and head.status == 'running' and redis.call('HGET', ACTIVITIES, prefix .. 'key') == a.key then
  record = {}
  for i, name in ipairs(a.fields) do record[name] = redis.call('HGET', ACTIVITIES, prefix .. name) or nil end
end

local function store(changes)
  for _, name in ipairs(a.fields) do
    local value = changes[name]
    if value == '' then
      record[name] = nil
      redis.call('HDEL', ACTIVITIES, prefix .. name)
    elseif value then
      record[name] = value
      redis.call('HSET', ACTIVITIES, prefix .. name, value)
    end
  end
end
local function move_row()
  local due = a.due_in_ms and now + a.due_in_ms or nil
  local deadline = tonumber(record.deadline_ms or '')
  if deadline and (not due or deadline < due) then due = deadline end
  if due then redis.call('ZADD', TIMERS, int(due), a.row) else redis.call('ZREM', TIMERS, a.row) end
end

if not record or record.state ~= 'running' or tonumber(record.attempt) ~= a.attempt or record.token ~= a.token then
  return answer{kind = 'gone'}
end
store{heartbeat_at_ms = int(now), details = a.details}
if a.due_in_ms then move_row() end
return answer{kind = 'beaten', woken = record.cancel ~= nil}
