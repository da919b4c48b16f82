#!lua
-- begin_attempt.lua: scheduled to running, before user code is entered.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of run_id, id, key, attempt, row, token, holder; optional take_over,
--   due_in_ms, limits
-- Returns: begun | running | done | gone
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local record = read_record(head)
if not record then return answer{kind = 'gone'} end
if record.state == 'running' and record.token == a.token then return answer{kind = 'begun', record = record} end
if tonumber(record.attempt) ~= a.attempt or record.state == 'backing_off' then return answer{kind = 'gone'} end
if record.detached or (record.paused and record.state ~= 'done') then return answer{kind = 'gone'} end
if record.state == 'done' then
  return answer{kind = 'done', task_queue = head.task_queue, sticky = head.sticky}
end
if record.state == 'running' then
  if a.take_over ~= record.token then return answer{kind = 'running', record = record} end
  store(record, {attempt = int(a.attempt + 1), attempt_scheduled_at_ms = int(now), dispatches = '0',
    losses = int(tonumber(record.losses) + 1)})
end
store(record, {state = 'running', token = a.token, holder = a.holder, started_at_ms = int(now), heartbeat_at_ms = '',
  limited_by = '', turns = '', limits = a.limits or ''})
move_row(record)
return answer{kind = 'begun', record = record}
