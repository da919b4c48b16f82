"""The duties that keep every run moving: re-drive, timers, after-close, retention.

Every worker process does them by default and shares the shards with the others. Nothing here is
needed for correctness of a commit; everything here re-checks its row in the store's own act.
"""
