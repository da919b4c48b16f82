"""Events → the futures they settle: activities by the id of their scheduling event."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.exceptions import ActivityError, CancelledError, RetryState
from orchestrator.replay.values import Values
from orchestrator.wire import events as e
from orchestrator.wire.options import RetryOutcome


class PendingActivity:
    """An activity that was asked for and has not ended."""

    def __init__(
        self,
        *,
        activity_id: str,
        activity_type: str,
        future: asyncio.Future[Any],  # Any: results of any type
        result_type: Any,  # Any: an annotation
    ) -> None:
        self.activity_id = activity_id
        self.activity_type = activity_type
        self.future = future
        self.result_type = result_type
        self.scheduled_event_id = 0
        self.cancel_requested = False

    def fail(
        self,
        message: str,
        cause: BaseException,
        *,
        started_event_id: int = 0,
        identity: str = "",
        outcome: RetryOutcome | None = None,
    ) -> None:
        """End the wait with an ActivityError whose cause is `cause`."""
        if self.future.done():
            return
        error = ActivityError(
            message,
            scheduled_event_id=self.scheduled_event_id,
            started_event_id=started_event_id,
            identity=identity,
            activity_type=self.activity_type,
            activity_id=self.activity_id,
            retry_state=None if outcome is None else RetryState[outcome.name],
        )
        error.__cause__ = cause
        self.future.set_exception(error)


ActivityEnd = (
    e.ActivityTaskCompleted | e.ActivityTaskFailed | e.ActivityTaskTimedOut | e.ActivityTaskCanceled
)


def settle(pending: PendingActivity, event: ActivityEnd, values: Values) -> None:
    """Give the waiting code the end of its activity; late ends of abandoned ones change nothing."""
    if pending.future.done():
        return
    started = event.started_event_id
    match event:
        case e.ActivityTaskCompleted():
            payloads = () if event.result is None else (event.result,)
            hints = None if pending.result_type is None else [pending.result_type]
            try:
                decoded = values.from_payloads(payloads, hints if payloads else None)
            except Exception as error:  # the boundary of converters, which users may write
                pending.future.set_exception(error)
                return
            pending.future.set_result(decoded[0] if decoded else None)
        case e.ActivityTaskFailed():
            pending.fail(
                "Activity task failed",
                values.from_failure(event.failure),
                started_event_id=started,
                identity=event.identity,
                outcome=event.retry_outcome,
            )
        case e.ActivityTaskTimedOut():
            pending.fail(
                "Activity task timed out",
                values.from_failure(event.failure),
                started_event_id=started,
                outcome=event.retry_outcome,
            )
        case e.ActivityTaskCanceled():
            details = values.from_payloads(event.details)
            pending.fail(
                "Activity task cancelled",
                CancelledError("Cancelled", *details),
                started_event_id=started,
                identity=event.identity,
            )
