"""Which clock runs against an activity, and which comes first.

An activity has one row in `timers`: the nearest of its deadlines. Here stands what that row means
when it is due; the store only compares that nothing has moved meanwhile.
"""

from __future__ import annotations

from orchestrator.limits import ASK_HOLDER_MS, DISPATCH_REPEATS_MS, HELD_DELIVERY_MAX_MS
from orchestrator.wire.events import ActivityTaskScheduled
from orchestrator.wire.tasks import ActivityTask


def first_due_at_ms(scheduled: ActivityTaskScheduled, *, now_ms: int) -> int:
    """When a fresh activity is looked at first: nobody began it, or a deadline of its own."""
    deadlines = _given(
        scheduled.schedule_to_start_timeout_ms, scheduled.schedule_to_close_timeout_ms
    )
    return now_ms + min([DISPATCH_REPEATS_MS[0], *deadlines])


def dispatch_due_in_ms(scheduled: ActivityTaskScheduled, *, waited_ms: int, repeats: int) -> int:
    """When a task that was published `repeats` times again is looked at next, from now.

    `waited_ms` is the time since this attempt was scheduled.
    """
    repeat = DISPATCH_REPEATS_MS[min(repeats, len(DISPATCH_REPEATS_MS) - 1)]
    to_start = scheduled.schedule_to_start_timeout_ms
    if to_start is None:
        return repeat
    return max(0, min(repeat, to_start - waited_ms))


def running_due_in_ms(task: ActivityTask) -> int | None:
    """When a begun attempt is looked at first: start-to-close, heartbeat, or to ask its holder."""
    times = _given(task.start_to_close_timeout_ms, task.heartbeat_timeout_ms)
    if not task.hold:
        times.append(ASK_HOLDER_MS)
    return min(times, default=None)


def beaten_due_in_ms(task: ActivityTask, *, running_ms: int) -> int | None:
    """When an attempt that runs for `running_ms` and has just beaten is looked at next: a heartbeat
    moves its own deadline, not start-to-close."""
    times = _given(task.heartbeat_timeout_ms)
    if task.start_to_close_timeout_ms is not None:
        times.append(max(0, task.start_to_close_timeout_ms - running_ms))
    if not task.hold:
        times.append(ASK_HOLDER_MS)
    return min(times, default=None)


def detached_due_in_ms(
    scheduled: ActivityTaskScheduled | ActivityTask, *, running_ms: int
) -> int | None:
    """As `beaten_due_in_ms`, for an attempt that has no holder who could be asked."""
    times = _given(scheduled.heartbeat_timeout_ms)
    if scheduled.start_to_close_timeout_ms is not None:
        times.append(max(0, scheduled.start_to_close_timeout_ms - running_ms))
    return min(times, default=None)


def holds_delivery(scheduled: ActivityTaskScheduled) -> bool:
    """Whether the delivery stays unacknowledged while an attempt runs.

    Only attempts that end well within RabbitMQ's ack time-out may: its expiry closes the channel
    and brings back every delivery on it.
    """
    longest = min(
        _given(scheduled.start_to_close_timeout_ms, scheduled.schedule_to_close_timeout_ms),
        default=None,
    )
    return longest is not None and longest <= HELD_DELIVERY_MAX_MS


def _given(*times_ms: int | None) -> list[int]:
    return [time for time in times_ms if time is not None]
