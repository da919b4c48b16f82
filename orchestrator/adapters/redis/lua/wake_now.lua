#!lua
-- wake_now.lua: score the called row of one workflow id to now.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, task_queues
-- Returns: done with the number moved
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local queue = false
for _, name in ipairs(a.task_queues) do queue = queue or name == head.task_queue end
if head.row ~= 'called' or not queue then return answer{kind = 'done', number = 0} end
redis.call('ZADD', WAKEUPS, int(now), a.workflow_id)
return answer{kind = 'done', number = 1}
