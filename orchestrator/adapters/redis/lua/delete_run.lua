#!lua flags=allow-oom
-- delete_run.lua: remove a closed run; head, inbox and seen ids only if it is the newest.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- One more: updates; then the indexes that a.indexes names by their numbers
-- ARGV[1]: a msgpack map of row, run_id, member, indexes
-- Returns: none | done
-- Invariants: every check stands before the first write; absent records are not re-created.
local UPDATES = KEYS[14]
local due = redis.call('ZSCORE', TIMERS, a.row)
if not due or tonumber(due) > now then return answer{kind = 'none'} end
local status = redis.call('HGET', RUN, 'status')
redis.call('ZREM', TIMERS, a.row)
if not status or status == 'running' then return answer{kind = 'none'} end
redis.call('DEL', RUN, HISTORY, ACTIVITIES, UPDATES)
redis.call('ZREM', CLOSED, a.member)
for _, number in ipairs(a.indexes) do
  local INDEX = KEYS[number]
  redis.call('ZREM', INDEX, a.member)
end
if redis.call('HGET', CURRENT, 'run_id') == a.run_id then redis.call('DEL', CURRENT, INBOX, SEEN) end
return answer{kind = 'done'}
