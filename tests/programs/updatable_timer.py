"""A wait whose end can be moved while it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from orchestrator import workflow


class UpdatableTimer:
    """Sleeps until `wake_up_at`, which may be set to another time meanwhile, earlier or later."""

    def __init__(self, wake_up_at: datetime) -> None:
        self.wake_up_at = wake_up_at

    async def sleep(self) -> None:
        """Return when the time, as it was set last, has come."""
        while (left := self.wake_up_at - workflow.now()).total_seconds() > 0:
            planned = self.wake_up_at
            try:
                await workflow.wait_condition(lambda: self.wake_up_at != planned, timeout=left)  # noqa: B023  # looked at in this turn of the loop only
            except TimeoutError:
                return


@workflow.defn
class Reminder:
    """Ends at a time that signals can move."""

    @workflow.init
    def __init__(self, wake_up_at: datetime) -> None:
        self._timer = UpdatableTimer(wake_up_at)

    @workflow.run
    async def run(self, wake_up_at: datetime) -> datetime:
        """When it ended."""
        await self._timer.sleep()
        return workflow.now()

    @workflow.signal
    def move(self, wake_up_at: datetime) -> None:
        """End then instead."""
        self._timer.wake_up_at = wake_up_at

    @workflow.query
    def wake_up_at(self) -> datetime:
        """When it will end."""
        return self._timer.wake_up_at


WORKFLOWS: list[type] = [Reminder]
ACTIVITIES: list[Callable[..., object]] = []
