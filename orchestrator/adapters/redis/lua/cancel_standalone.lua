#!lua
-- cancel_standalone.lua: ask a standalone activity to end; one that nobody runs ends at once.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of workflow_id, run_id, id, row, mark, requested, close,
--   process_channel; optional key, first_run_id
-- Returns: asked | closed | not_open
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
if not head.run_id then return answer{kind = 'not_open'} end
local refusal = not_open(head)
if refusal then return answer(refusal) end
local record = read_record(head)
if not record then return answer{kind = 'not_open', run_id = head.run_id, status = head.status} end
if record.cancel then return answer{kind = 'asked'} end
local runs = record.state == 'running'
if runs then
  redis.call('PUBLISH', a.process_channel .. (record.holder or ''),
    cmsgpack.pack{a.workflow_id, a.run_id, tonumber(a.id), record.key, tonumber(record.attempt)})
else
  tell(a.close)
end
local id = tonumber(head.last_event_id) + 1
write_event(HISTORY, {type = a.requested.type, time = iso(now), data = a.requested.data}, id)
set_head(head, {last_event_id = int(id)})
if runs then
  store(record, {cancel = '1'})
  return answer{kind = 'asked'}
end
close_standalone(head, a.close, a.mark)
return answer{kind = 'closed'}
