"""Timers and conditions of workflow code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from orchestrator.ids import check_text
from orchestrator.limits import SUMMARY_BYTES_MAX
from orchestrator.replay.context import current_run
from orchestrator.replay.waiting import as_completed, wait

__all__ = ["as_completed", "sleep", "wait", "wait_condition"]


async def sleep(duration: float | timedelta, *, summary: str | None = None) -> None:
    """Wait by a durable timer of any length, in seconds; 0 only yields.

    Args:
        duration: Rounded to milliseconds.
        summary: For people; it stands at the timer's event.

    Raises:
        ValueError: the duration is negative or over `limits.TIMER_MS_MAX`, or the summary over
            `limits.SUMMARY_BYTES_MAX`.
    """
    seconds = _seconds(duration)
    if not seconds >= 0:
        raise ValueError(f"sleep needs a duration ≥ 0, found {duration}")
    said = check_text("summary", summary or "", bytes_max=SUMMARY_BYTES_MAX)
    loop = current_run().loop
    awoken = loop.create_future()

    def awake() -> None:
        if not awoken.done():
            awoken.set_result(None)

    timer = loop.call_later_with(seconds, awake, summary=said)
    try:
        await awoken
    finally:
        timer.cancel()


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: timedelta | float | None = None,
    timeout_summary: str | None = None,
) -> None:
    """Wait until `fn()` is true. It is called often and must change nothing.

    Args:
        fn: Looked at whenever the workflow's code has nothing else to do.
        timeout: In seconds; a durable timer. None: no timer, and no end.
        timeout_summary: For people; it stands at the timer's event.

    Raises:
        asyncio.TimeoutError: `timeout` passed and `fn()` is still false.
    """
    seconds = None if timeout is None else _seconds(timeout)
    said = check_text("timeout_summary", timeout_summary or "", bytes_max=SUMMARY_BYTES_MAX)
    current = current_run()
    current.check_writable("wait")
    await current.conditions.wait(current.loop, fn, timeout=seconds, summary=said)


def _seconds(duration: timedelta | float) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
