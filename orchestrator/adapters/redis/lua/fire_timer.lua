#!lua
-- fire_timer.lua: turn a due timer into an inbox entry.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, run_id, row, entry, mark, first_repeat_ms
-- Returns: none | not_open | appended
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local due = redis.call('ZSCORE', TIMERS, a.row)
if not due or tonumber(due) > now then return answer{kind = 'none'} end
redis.call('ZREM', TIMERS, a.row)
if head.run_id ~= a.run_id or head.status ~= 'running' then
  return answer{kind = 'not_open', run_id = a.run_id, status = redis.call('HGET', RUN, 'status') or nil}
end
add_entry(head, a.entry)
local woken = wake_once(head)
return answer{kind = 'appended', run_id = head.run_id, number = tonumber(head.inbox_last), woken = woken,
  task_queue = head.task_queue, sticky = head.sticky}
