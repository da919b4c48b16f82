#!lua
-- answer_row.lua: put the answer of an act on another workflow into the inbox, and remove the rows that
-- waited for it.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, run_id, rows, entry, mark, first_repeat_ms; optional due_at_ms,
--   watch_row, watch_in_ms
-- Returns: none | not_open | appended
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local waiting = false
for _, row in ipairs(a.rows) do
  local due = redis.call('ZSCORE', TIMERS, row)
  if due and (not a.due_at_ms or tonumber(due) == a.due_at_ms) then waiting = true end
end
if not waiting then return answer{kind = 'none'} end
local status = redis.call('HGET', RUN, 'status') or nil
local is_open = head.run_id == a.run_id and head.status == 'running'
for _, row in ipairs(a.rows) do redis.call('ZREM', TIMERS, row) end
if not is_open then return answer{kind = 'not_open', run_id = a.run_id, status = status} end
if a.watch_row then redis.call('ZADD', TIMERS, int(now + a.watch_in_ms), a.watch_row) end
add_entry(head, a.entry)
local woken = wake_once(head)
return answer{kind = 'appended', run_id = head.run_id, number = tonumber(head.inbox_last), woken = woken,
  task_queue = head.task_queue, sticky = head.sticky}
