#!lua
-- sync_run.lua: read head and inbox before a workflow task, and move its row; a run that is held back
-- shows its head only.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, task_timeout_ms, count_attempt, page_entries
-- Returns: none | synced with head and unread
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if not head.run_id then return answer{kind = 'none'} end
if head.row ~= 'called' then return answer{kind = 'synced', head = head, unread = {}} end
set_row(head, 'called', now + a.task_timeout_ms)
if a.count_attempt then set_head(head, {attempt = int(tonumber(head.attempt or '0') + 1)}) end
return answer{kind = 'synced', head = head, unread = page()}
