#!lua
-- redispatch_attempt.lua: make a due attempt ready to be published, or move its row.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of run_id, id, key, attempt, row; optional token, due_in_ms, postpone,
--   next_attempt, lost
-- Returns: redispatched | done | gone
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local record = read_record(head)
if a.postpone then
  if record and tonumber(record.attempt) == a.attempt and record.state ~= 'done' and redis.call('ZSCORE', TIMERS, a.row) then
    move_row(record)
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
local changes = a.lost and next_options(record) or {}
local fresh = {state = 'scheduled', detached = '', attempt = int(a.next_attempt), token = '', holder = '', started_at_ms = '', heartbeat_at_ms = '',
  attempt_scheduled_at_ms = again and record.attempt_scheduled_at_ms or int(now),
  dispatches = again and int(tonumber(record.dispatches) + 1) or '0',
  losses = int(tonumber(record.losses) + (a.lost and 1 or 0))}
for name, value in pairs(fresh) do changes[name] = value end
store(record, changes)
move_row(record)
return answer{kind = 'redispatched', record = record}
