#!lua flags=no-writes
-- read_due.lua: read what a shard has due, and when the next row after that is.
-- KEYS: clock, wakeups, timers, current, inbox, seen, run, history, activities, open, closed, next run, next history
-- ARGV[1]: a msgpack map of limit
-- Returns: due with timers and wakeups (member, score, member, score …, one row more than the limit)
-- Invariants: writes nothing, not even the clock: what is done about a row asks for the time anew.
return packed{kind = 'due', timers = redis.call('ZRANGE', TIMERS, 0, a.limit, 'WITHSCORES'),
  wakeups = redis.call('ZRANGE', WAKEUPS, 0, a.limit, 'WITHSCORES')}
