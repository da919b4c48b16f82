#!lua
-- start_run.lua: make a run, or do what the policies say.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- With a.message one more: updates of the newest run, which is a.expected_run_id
-- Then the indexes that a.run names by their numbers
-- ARGV[1]: a msgpack map of workflow_id, run, attach, after_completed, after_failed, remember_refusal,
--   only_refuse, mark, first_repeat_ms; optional close, expected_run_id, message
-- Returns: started | again | attached | refused | full | moved (another run is open: its keys are needed)
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if redis.call('EXISTS', NEXT_RUN) == 1 then
  local refused = redis.call('HMGET', NEXT_RUN, 'refused_for', 'workflow_type', 'refused_status')
  if refused[1] then
    return answer{kind = 'refused', run_id = refused[1], workflow_type = refused[2], status = refused[3]}
  end
  return answer{kind = 'again', woken = first_wake(head, a.run.run_id), task_queue = head.task_queue, sticky = head.sticky}
end
-- A refusal that is remembered is a record without a run: closed, and gone with its retention.
local function refuse()
  local found = {kind = 'refused', run_id = head.run_id or a.run.run_id, status = head.status or 'terminated',
    workflow_type = head.workflow_type or a.run.workflow_type}
  if a.remember_refusal then
    set(NEXT_RUN, {run_id = a.run.run_id, workflow_id = a.workflow_id, status = 'terminated',
      refused_for = found.run_id, refused_status = found.status, workflow_type = found.workflow_type})
    arm_retention(a.run)
  end
  return answer(found)
end
if a.only_refuse then return refuse() end
local message = a.message
if head.run_id and message and message.update_id then
  if a.expected_run_id ~= head.run_id then return answer{kind = 'moved', run_id = head.run_id} end
  local UPDATES = KEYS[14]
  local stage = redis.call('HGET', UPDATES, message.update_id)
  if stage and (head.status == 'running' or string.find(stage, ' ', 1, true)) then
    return answer{kind = 'attached', run_id = head.run_id}
  end
end
if head.run_id then
  local allowed
  if head.status == 'running' then
    if a.attach then
      if not message or redis.call('ZSCORE', SEEN, message.operation_id) then
        return answer{kind = 'attached', run_id = head.run_id}
      end
      local unread = redis.call('XLEN', INBOX)
      if unread >= message.inbox_max then return answer{kind = 'full', number = unread} end
      add_entry(head, message.entry)
      remember(head, message.operation_id, message.seen_max)
      local woken = wake_once(head)
      return answer{kind = 'attached', run_id = head.run_id, number = tonumber(head.inbox_last), woken = woken,
        task_queue = head.task_queue, sticky = head.sticky}
    end
    allowed = a.close ~= nil
  elseif head.status == 'completed' or head.status == 'continued_as_new' then
    allowed = a.after_completed
  else
    allowed = a.after_failed
  end
  if not allowed then return refuse() end
  if head.status == 'running' then
    if a.expected_run_id ~= head.run_id then return answer{kind = 'moved', run_id = head.run_id} end
    force(head, a.close, a.run.token)
  end
end
-- A standalone activity has a record and a row from its first moment, and never an inbox.
local function schedule(made, one)
  local at = now + one.delay_ms
  write_event(NEXT_HISTORY, {type = one.type, time = iso(now), data = one.data}, tonumber(one.id))
  set_head(made, {last_event_id = one.id})
  local record = {state = 'scheduled', key = one.key, attempt = '1', scheduled_at_ms = int(at),
    attempt_scheduled_at_ms = int(at), dispatches = '0', losses = '0'}
  if one.delay_ms > 0 then record.state, record.attempt, record.retry_at_ms = 'backing_off', '0', int(at) end
  if one.deadline_in_ms then record.deadline_ms = int(at + one.deadline_in_ms) end
  for name, value in pairs(record) do redis.call('HSET', ACTIVITIES, one.id .. '.' .. name, value) end
  redis.call('ZADD', TIMERS, int(one.delay_ms > 0 and at or now + one.due_in_ms), one.row)
end
local woken, number, made = make_run(head, a.run, NEXT_RUN, NEXT_HISTORY)
if a.run.standalone then schedule(made, a.run.standalone) end
if message then
  add_entry(made, message.entry)
  remember(made, message.operation_id, message.seen_max)
end
return answer{kind = 'started', woken = woken, task_queue = a.run.task_queue, number = number}
