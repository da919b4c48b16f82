#!lua
-- heartbeat_attempt.lua: keep a running attempt alive.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of run_id, id, key, attempt, row, token; optional details, due_in_ms, detach
-- Returns: beaten | gone
-- Invariants: every check stands before the first write; absent records are not re-created.
local head = hash(CURRENT)
local record = read_record(head)
if not record or record.state ~= 'running' or tonumber(record.attempt) ~= a.attempt or record.token ~= a.token then
  return answer{kind = 'gone'}
end
store(record, {heartbeat_at_ms = int(now), details = a.details, detached = a.detach and '1'})
if a.due_in_ms then move_row(record) end
return answer{kind = 'beaten', woken = record.cancel ~= nil, paused = record.paused ~= nil, reset = record.reset ~= nil}
