#!lua
-- append_entry.lua: put an entry into the inbox of the newest run, and wake it once.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, entry, mark, first_repeat_ms, inbox_max, seen_max;
--   optional operation_id, run_id, first_run_id, ends_waiting
-- Returns: appended | duplicate | not_open | full
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if not head.run_id then return answer{kind = 'not_open'} end
if a.operation_id and redis.call('ZSCORE', SEEN, a.operation_id) then return answer{kind = 'duplicate'} end
local refusal = not_open(head)
if refusal then return answer(refusal) end
local unread = redis.call('XLEN', INBOX)
if a.entry.message and unread >= a.inbox_max then return answer{kind = 'full', number = unread} end
add_entry(head, a.entry)
if a.operation_id then remember(head, a.operation_id, a.seen_max) end
if a.ends_waiting and head.row == 'waiting' then set_head(head, {row = 'delayed'}) end
local woken = wake_once(head)
return answer{kind = 'appended', run_id = head.run_id, number = tonumber(head.inbox_last), woken = woken,
  task_queue = head.task_queue, sticky = head.sticky}
