#!lua
-- finish_attempt.lua: end an attempt: the retry when it may be, else the entry.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, run_id, id, key, attempt, row, due_only, entry, mark,
--   first_repeat_ms; optional token, retry_ms, failure, waiting_too, reset_ms, close
-- With a.close the activity is a standalone one: its run closes where another's gets the entry.
-- Returns: finished | retry | gone
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local record = read_record(head)
if not record then
  redis.call('ZREM', TIMERS, a.row)
  if a.close and a.token and head.run_id == a.run_id and head.token == a.token then
    return answer{kind = 'finished'}
  end
  return answer{kind = 'gone'}
end
local again = a.token ~= nil and record.ended_token == a.token
if record.state == 'done' then
  again = again or (a.token == nil and record.token == nil)
  if again and tonumber(record.attempt) == a.attempt then
    return answer{kind = 'finished', woken = true, task_queue = head.task_queue, sticky = head.sticky}
  end
  return answer{kind = 'gone'}
end
if again then return answer{kind = 'retry', due_at_ms = tonumber(record.retry_at_ms)} end
local may_end = record.state == 'scheduled' or a.token == nil or a.waiting_too
if record.state == 'running' then may_end = record.token == a.token end
local due = redis.call('ZSCORE', TIMERS, a.row)
if tonumber(record.attempt) ~= a.attempt or not may_end or (a.due_only and (not due or tonumber(due) > now)) then
  return answer{kind = 'gone'}
end
local deadline = tonumber(record.deadline_ms or '')
local retry_ms = a.retry_ms
if record.reset then retry_ms = a.reset_ms end
if retry_ms and not record.cancel and (not deadline or now + retry_ms < deadline) then
  local at = int(now + retry_ms)
  local changes = next_options(record)
  if record.reset then changes.attempt, changes.reset = '0', '' end
  if record.reset == 'all' then changes.details = '' end
  local ended = {state = 'backing_off', ended_token = a.token or '', token = '', holder = '', started_at_ms = '', heartbeat_at_ms = '',
    attempt_scheduled_at_ms = at, retry_at_ms = at, dispatches = '0', losses = '0', failure = a.failure, detached = ''}
  for name, value in pairs(ended) do changes[name] = value end
  store(record, changes)
  redis.call('ZADD', TIMERS, at, a.row)
  return answer{kind = 'retry', due_at_ms = now + retry_ms}
end
if a.close then
  close_standalone(head, a.close, a.token or a.mark)
  return answer{kind = 'finished'}
end
store(record, {state = 'done', ended_token = a.token or '', token = a.token or '', holder = '', detached = ''})
redis.call('ZREM', TIMERS, a.row)
add_entry(head, a.entry)
local woken = wake_once(head)
return answer{kind = 'finished', number = tonumber(head.inbox_last), woken = woken,
  task_queue = head.task_queue, sticky = head.sticky}
