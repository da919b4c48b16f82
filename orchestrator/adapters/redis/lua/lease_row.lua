#!lua
-- lease_row.lua: move a row of timers on, unless it has moved or gone since it was read.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of row, due_at_ms, due_in_ms
-- Returns: none | done with due_at_ms
-- Invariants: every check stands before the first write; absent records are not re-created.
local due = redis.call('ZSCORE', TIMERS, a.row)
if not due or tonumber(due) ~= a.due_at_ms then return answer{kind = 'none'} end
redis.call('ZADD', TIMERS, int(now + a.due_in_ms), a.row)
return answer{kind = 'done', due_at_ms = now + a.due_in_ms}
