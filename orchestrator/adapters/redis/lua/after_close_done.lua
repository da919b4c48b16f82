#!lua
-- after_close_done.lua: drop rows of a closed run, move it in the index, arm its retention.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of the fields read below as `a.<name>`
-- Returns: done
-- Invariants: every check stands before the first write; absent records are not re-created.
local due = redis.call('ZSCORE', TIMERS, a.row)
if not due or tonumber(due) > now then return answer{kind = 'done'} end
local record = hash(RUN)
for _, row in ipairs(a.rows) do redis.call('ZREM', TIMERS, row) end
redis.call('ZREM', TIMERS, a.row)
if record.run_id and record.status ~= 'running' then
  file_closed(a, record.started_at_ms)
end
return answer{kind = 'done'}
