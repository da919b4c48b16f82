#!lua
-- force_close.lua: end a run whose code is not asked.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- Then the indexes that a.run names by their numbers
-- ARGV[1]: a msgpack map of workflow_id, expected_run_id, close, token, due_only, mark,
--   first_repeat_ms; optional run_id, first_run_id, run, expected_last_event_id
-- Returns: closed | not_open | moved (the newest run is another one: its keys are needed)
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if not head.run_id then return answer{kind = 'not_open'} end
local target = a.run_id or head.run_id
if target ~= a.expected_run_id then return answer{kind = 'moved', run_id = target} end
if a.run and redis.call('EXISTS', NEXT_RUN) == 1 then
  return answer{kind = 'closed', run_id = target, woken = first_wake(head, a.run.run_id), task_queue = head.task_queue}
end
local last = redis.call('XREVRANGE', HISTORY, '+', '-', 'COUNT', 1)[1]
if last and last[2][2] == a.close.type and last[2][6] == a.close.data then
  return answer{kind = 'closed', run_id = target}
end
local refusal = not_open(head)
if refusal then return answer(refusal) end
local due = redis.call('ZSCORE', TIMERS, a.close.timeout_row)
local moved = a.expected_last_event_id and tonumber(head.last_event_id) ~= a.expected_last_event_id
if moved or a.due_only and (not due or tonumber(due) > now) then
  return answer{kind = 'not_open', run_id = target, status = 'running'}
end
force(head, a.close, a.token)
local woken = false
if a.run then woken = make_run(head, a.run, NEXT_RUN, NEXT_HISTORY) end
return answer{kind = 'closed', run_id = target, woken = woken, task_queue = a.run and a.run.task_queue}
