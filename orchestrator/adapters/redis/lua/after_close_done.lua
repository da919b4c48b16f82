#!lua flags=allow-oom
-- after_close_done.lua: drop rows of a closed run, arm its retention.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of row, rows, retention_ms, retention_row
-- Returns: done
-- Invariants: every check stands before the first write; absent records are not re-created.
local due = redis.call('ZSCORE', TIMERS, a.row)
if not due or tonumber(due) > now then return answer{kind = 'done'} end
local status = redis.call('HGET', RUN, 'status')
for _, row in ipairs(a.rows) do redis.call('ZREM', TIMERS, row) end
redis.call('ZREM', TIMERS, a.row)
if status and status ~= 'running' then arm_retention{retention_ms = a.retention_ms, retention_row = a.retention_row} end
return answer{kind = 'done'}
