"""The options of an activity as they are now: its event's, unless an operator changed them."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from orchestrator.wire.events import ActivityTaskScheduled
from orchestrator.wire.options import ActivityOptions


def effective(
    scheduled: ActivityTaskScheduled, options: ActivityOptions | None
) -> ActivityTaskScheduled:
    """What tasks are made from, and clocks run by."""
    return scheduled if options is None else replace(scheduled, **asdict(options))


def options_of(scheduled: ActivityTaskScheduled) -> ActivityOptions:
    """The options that an event, or `effective`, has."""
    return ActivityOptions(
        task_queue=scheduled.task_queue,
        schedule_to_close_timeout_ms=scheduled.schedule_to_close_timeout_ms,
        schedule_to_start_timeout_ms=scheduled.schedule_to_start_timeout_ms,
        start_to_close_timeout_ms=scheduled.start_to_close_timeout_ms,
        heartbeat_timeout_ms=scheduled.heartbeat_timeout_ms,
        retry_policy=scheduled.retry_policy,
    )
