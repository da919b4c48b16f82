"""Something outside has no callback: it is asked until it is ready, seldomer and seldomer.

The activity fails while there is no answer, and its retry policy is the clock: an hour of asking is
one event in the history.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import ApplicationError, ApplicationErrorCategory


@activity.defn
async def look_for_report(number: int) -> str:
    """Raises ApplicationError while the report is not ready; here that is at the sixth look."""
    attempt = activity.info().attempt
    if attempt < 6:
        raise ApplicationError(
            "not ready yet", type="NotReady", category=ApplicationErrorCategory.BENIGN
        )
    return f"report {number} after {attempt} looks"


@workflow.defn
class ReportPolling:
    """Waits for a report up to an hour."""

    @workflow.run
    async def run(self, number: int) -> str:
        return await workflow.execute_activity(
            look_for_report,
            number,
            start_to_close_timeout=timedelta(seconds=5),
            schedule_to_close_timeout=timedelta(hours=1),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=10),
                backoff_coefficient=2.0,
                maximum_interval=timedelta(minutes=5),
            ),
        )


WORKFLOWS: list[type] = [ReportPolling]
ACTIVITIES: list[Callable[..., object]] = [look_for_report]
