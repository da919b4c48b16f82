#!lua
-- adjust_attempt.lua: pause, unpause, reset or change an activity that has not ended.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of run_id, id, key, row, operation, attempt; optional pause, unpause, reset, drop_details, options,
--   new_key, deadline_ms, due_in_ms, limited_by, turns
-- Returns: adjusted | gone
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local record = read_record(head)
if not record or record.state == 'done' then return answer{kind = 'gone'} end
if record.adjusted == a.operation then return answer{kind = 'adjusted', record = record} end
if a.limited_by and (record.state ~= 'scheduled' or tonumber(record.attempt) ~= a.attempt) then
  return answer{kind = 'gone'}
end
local runs, holds = record.state == 'running', (record.paused and not a.unpause) or a.pause
local changes = {adjusted = a.operation}
if a.pause then changes.paused = '1' end
if a.limited_by then changes.limited_by, changes.turns = a.limited_by, int(a.turns) end
if a.unpause then changes.paused = '' end
if a.options then
  if runs then changes.next_options = a.options else
    changes.options, changes.key = a.options, a.new_key
  end
  changes.deadline_ms = a.deadline_ms > 0 and int(a.deadline_ms) or ''
end
if a.reset and runs then changes.reset = a.drop_details and 'all' or '1' end
if a.drop_details and not runs then changes.details = '' end
-- What waits is due anew, as after a failed attempt: its message is made again.
local moves = not runs and ((a.unpause and record.paused) or a.reset or a.options or a.limited_by)
if moves then
  local before = tonumber(record.attempt)
  if record.state == 'scheduled' then before = before - 1 end
  if a.reset then before = 0 end
  changes.state, changes.attempt, changes.dispatches = 'backing_off', int(before), '0'
end
store(record, changes)
if moves then
  local due = int(now + (a.due_in_ms or 0))
  if not holds then changes = {attempt_scheduled_at_ms = due, retry_at_ms = due}; store(record, changes) end
  local deadline = tonumber(record.deadline_ms or '')
  redis.call('ZADD', TIMERS, deadline and deadline < tonumber(due) and int(deadline) or due, a.row)
end
return answer{kind = 'adjusted', record = record}
