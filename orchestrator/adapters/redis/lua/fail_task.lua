#!lua
-- fail_task.lua: record a failed workflow task, which consumes nothing.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, run_id, expected_token, token, first_event_id, events,
--   attempt, delay_ms, problem
-- Returns: committed | stale
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if head.run_id ~= a.run_id or head.status ~= 'running' then return answer{kind = 'stale'} end
if head.token == a.token then return answer{kind = 'committed'} end
if head.token ~= a.expected_token or tonumber(head.last_event_id) + 1 ~= a.first_event_id then
  return answer{kind = 'stale'}
end
for i, event in ipairs(a.events) do write_event(HISTORY, event, a.first_event_id + i - 1) end
set_head(head, {token = a.token, last_event_id = int(a.first_event_id + #a.events - 1), problem = a.problem,
  attempt = int(a.attempt), failures = int(tonumber(head.failures or '0') + 1)})
drop_from_head(head, {'sticky'})
if head.row then set_row(head, 'backing_off', now + a.delay_ms) end
return answer{kind = 'committed'}
