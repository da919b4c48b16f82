#!lua
-- move_row.lua: extend the row of a task, or hand the run back.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, delay_ms, hand_back; optional attempt, problem
-- Returns: done
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if head.row and head.row ~= 'delayed' and head.row ~= 'waiting' then
  if a.hand_back then
    set_row(head, 'backing_off', now + a.delay_ms)
    drop_from_head(head, {'sticky'})
    if a.problem then set_head(head, {problem = a.problem}) end
    if a.attempt and tonumber(head.attempt or '0') > a.attempt then set_head(head, {attempt = int(a.attempt)}) end
  elseif head.row == 'called' then
    redis.call('ZADD', WAKEUPS, int(now + a.delay_ms), a.workflow_id)
  end
end
return answer{kind = 'done'}
