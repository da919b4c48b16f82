#!lua
-- redispatch_attempt.lua: make a due attempt ready to be published, or move its row.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of the fields read below as `a.<name>`
-- Returns: redispatched | done | gone
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

if a.postpone then
  if record and tonumber(record.attempt) == a.attempt and record.state ~= 'done' and redis.call('ZSCORE', TIMERS, a.row) then
    move_row()
  end
  return answer{kind = 'done'}
end
if not record then
  redis.call('ZREM', TIMERS, a.row)
  return answer{kind = 'gone'}
end
local due = redis.call('ZSCORE', TIMERS, a.row)
if record.state == 'done' or tonumber(record.attempt) ~= a.attempt or record.token ~= a.token
  or not due or tonumber(due) > now then
  return answer{kind = 'gone'}
end
local again = record.state == 'scheduled' and a.next_attempt == a.attempt
store{state = 'scheduled', attempt = int(a.next_attempt), token = '', holder = '', started_at_ms = '', heartbeat_at_ms = '',
  attempt_scheduled_at_ms = again and record.attempt_scheduled_at_ms or int(now),
  dispatches = again and int(tonumber(record.dispatches) + 1) or '0',
  losses = int(tonumber(record.losses) + (a.lost and 1 or 0))}
move_row()
return answer{kind = 'redispatched', record = record}
