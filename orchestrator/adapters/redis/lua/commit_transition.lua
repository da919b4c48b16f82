#!lua
-- commit_transition.lua: commit one activation of one run, if the run has not moved.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- With a.updates two more: updates, and a reply for each of its replies
-- Then the indexes that a.properties and a.run name by their numbers
-- ARGV[1]: a msgpack map of workflow_id, run_id, expected_token, token, first_event_id, events,
--   consumed_to, resolved, activities, cancels, timers, disarm, unfinished, process_channel,
--   mark, first_repeat_ms, page_entries; optional consumed_mark, sticky, close, run,
--   updates, updates_channel, updates_notice, properties
-- Returns: committed | stale | refused
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if not head.run_id then return answer{kind = 'stale'} end
if head.token == a.token then
  if not a.close then return answer{kind = 'committed', unread = page()} end
  return answer{kind = 'committed', unread = {}, woken = a.run ~= nil and first_wake(head, a.run.run_id),
    task_queue = head.task_queue, sticky = head.sticky}
end
if head.run_id ~= a.run_id or head.status ~= 'running' or head.token ~= a.expected_token
  or tonumber(head.last_event_id) + 1 ~= a.first_event_id then
  return answer{kind = 'stale'}
end
local last = int(a.consumed_to) .. '-0'
if a.consumed_mark then
  local found = redis.call('XRANGE', INBOX, last, last)[1]
  if not found or found[2][6] ~= a.consumed_mark then return answer{kind = 'stale'} end
elseif tonumber(head.consumed) ~= a.consumed_to then
  return answer{kind = 'stale'}
end
if a.close and not a.close.forced and tonumber(head.message_last) > a.consumed_to then
  local unseen = 0
  for _, entry in ipairs(redis.call('XRANGE', INBOX, '(' .. last, '+')) do
    if entry[2][9] == 'message' then unseen = unseen + 1 end
  end
  return answer{kind = 'refused', number = unseen}
end
local begun = a.properties and redis.call('HGET', RUN, 'started_at_ms') or int(now)
local function cancelled(cancel)
  return redis.call('HMGET', ACTIVITIES, cancel.id .. '.state', cancel.id .. '.holder',
    cancel.id .. '.key', cancel.id .. '.attempt')
end
if a.close then tell(a.close) end
if a.updates then redis.call('PUBLISH', a.updates_channel, a.updates_notice) end
for _, cancel in ipairs(a.close and {} or a.cancels) do
  local found = cancelled(cancel)
  if found[1] == 'running' then
    redis.call('PUBLISH', a.process_channel .. found[2],
      cmsgpack.pack{a.workflow_id, a.run_id, tonumber(cancel.id), found[3], tonumber(found[4])})
  end
end
for i, event in ipairs(a.events) do write_event(HISTORY, event, a.first_event_id + i - 1) end
for _, one in ipairs(a.updates and a.updates.stages or {}) do
  local UPDATES = KEYS[14]
  redis.call('HSET', UPDATES, one.id, one.stage)
end
for i, reply in ipairs(a.updates and a.updates.replies or {}) do
  local REPLY = KEYS[14 + i]
  redis.call('SET', REPLY, reply, 'PX', int(a.updates.reply_ttl_ms))
end
set_head(head, {token = a.token, last_event_id = int(a.first_event_id + #a.events - 1),
  consumed = int(a.consumed_to), attempt = '0'})
drop_from_head(head, {'problem', 'failures', 'sticky', 'unfinished'})
local is_all = tonumber(head.inbox_last) == a.consumed_to
if is_all then redis.call('DEL', INBOX) else redis.call('XTRIM', INBOX, 'MINID', int(a.consumed_to + 1) .. '-0') end
local function drop(id) redis.call('HDEL', ACTIVITIES, unpack(names_of(id))) end
for _, resolved in ipairs(a.resolved) do
  if not a.close then drop(resolved.id) end
  redis.call('ZREM', TIMERS, resolved.row)
end
if a.properties then
  set(RUN, a.properties.fields)
  for _, number in ipairs(a.properties.leave) do
    local INDEX = KEYS[number]
    redis.call('ZREM', INDEX, a.properties.member)
  end
  for _, number in ipairs(a.properties.join) do
    local INDEX = KEYS[number]
    redis.call('ZADD', INDEX, begun, a.properties.member)
  end
end
for _, row in ipairs(a.disarm) do redis.call('ZREM', TIMERS, row) end
for _, timer in ipairs(a.timers) do redis.call('ZADD', TIMERS, int(timer.due), timer.row) end
if a.close then
  end_run(head, a.close.status, a.close)
  local woken = false
  if a.run then woken = make_run(head, a.run, NEXT_RUN, NEXT_HISTORY) end
  return answer{kind = 'committed', unread = {}, woken = woken, task_queue = a.run and a.run.task_queue}
end
if a.sticky then set_head(head, {sticky = a.sticky}) end
if a.unfinished then set_head(head, {unfinished = '1'}) end
for _, new in ipairs(a.activities) do
  local record = {}
  for name, value in pairs(new.fields) do record[new.id .. '.' .. name] = value end
  set(ACTIVITIES, record)
  redis.call('ZADD', TIMERS, int(new.due), new.row)
end
for _, cancel in ipairs(a.cancels) do
  local found = cancelled(cancel)
  if found[1] == 'running' then
    redis.call('HSET', ACTIVITIES, cancel.id .. '.cancel', '1')
  elseif found[1] and found[1] ~= 'done' then
    drop(cancel.id)
    redis.call('ZREM', TIMERS, cancel.row)
    add_entry(head, cancel.entry)
  end
end
local unread = {}
if tonumber(head.inbox_last) ~= a.consumed_to then unread = page() end
if #unread == 0 and not a.unfinished then
  drop_row(head)
else
  local due = tonumber(redis.call('ZSCORE', WAKEUPS, a.workflow_id) or '0')
  set_row(head, 'called', math.max(due, now + a.first_repeat_ms))
end
return answer{kind = 'committed', unread = unread}
