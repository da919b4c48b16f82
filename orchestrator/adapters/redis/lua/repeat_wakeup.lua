#!lua
-- repeat_wakeup.lua: take up a due row of wakeups.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, first_repeat_ms, repeats
-- Returns: none | repeat
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local due = redis.call('ZSCORE', WAKEUPS, a.workflow_id)
if not head.row or not due or tonumber(due) > now then return answer{kind = 'none'} end
local first, waited = head.row ~= 'called', now - tonumber(head.row_since)
if first then
  waited = 0
  set_row(head, 'called', now + a.first_repeat_ms)
else
  local count = math.min(tonumber(head.row_repeats) + 1, #a.repeats - 1)
  set_head(head, {row_repeats = int(count)})
  redis.call('ZADD', WAKEUPS, int(now + a.repeats[count + 1]), a.workflow_id)
end
drop_from_head(head, {'sticky'})
return answer{kind = 'repeat', woken = first, number = waited, task_queue = head.task_queue}
