"""The activities of one run: asked for, cancelled, ended.

An activity is known by its id until history has its event, and by that event's id from then on. It
stays known after a cancellation that nobody waits for, since its end is recorded all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from orchestrator.exceptions import ActivityError, CancelledError, RetryState
from orchestrator.limits import PENDING_ACTIVITIES_MAX
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.options import RetryOutcome
from orchestrator.wire.payload import Payload

ActivityEnd: TypeAlias = (
    e.ActivityTaskCompleted | e.ActivityTaskFailed | e.ActivityTaskTimedOut | e.ActivityTaskCanceled
)


class ActivityHost(Protocol):
    """Who takes the commands."""

    @property
    def evicting(self) -> bool: ...

    def add(self, command: c.Command) -> None: ...

    def drop_start(self, command: type[c.Command], identity: str) -> bool: ...


class PendingActivity:
    """An activity that was asked for and has not ended."""

    def __init__(
        self,
        *,
        activity_id: str,
        activity_type: str,
        future: asyncio.Future[Any],  # Any: results of any type
        result_type: Any,  # Any: an annotation
        cancellation_type: ActivityCancellationType,
    ) -> None:
        self.activity_id = activity_id
        self.activity_type = activity_type
        self.future = future
        self.result_type = result_type
        self.cancellation_type = cancellation_type
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
        self.raise_in_code(error)

    def raise_in_code(self, error: BaseException) -> None:
        """End the wait with `error`."""
        self.future.set_exception(error)
        # Looked at here: whether it is reported as unseen is decided by the handle, a task.
        self.future.exception()


class Activities:
    """Numbers activities in program order and settles the futures of their handles."""

    def __init__(self, host: ActivityHost, loop: DurableLoop, values: Values) -> None:
        self._host = host
        self._loop = loop
        self._values = values
        self._pending: dict[str, PendingActivity] = {}
        self._ids: dict[int, str] = {}
        self._last = 0

    def next_id(self, chosen: str | None) -> str:
        """The id of the next activity: the user's, or its number.

        Raises:
            RuntimeError: an activity of this id is pending, or too many are.
        """
        self._last += 1
        identity = chosen or str(self._last)
        if identity in self._pending:
            raise RuntimeError(f"an activity with id {identity!r} is pending; choose another id")
        if len(self._pending) >= PENDING_ACTIVITIES_MAX:
            raise RuntimeError(
                f"{PENDING_ACTIVITIES_MAX} activities are pending; wait for some before the next"
            )
        return identity

    def start(
        self,
        command: c.ScheduleActivityTask,
        *,
        result_type: Any,  # Any: an annotation
        cancellation_type: ActivityCancellationType,
    ) -> ActivityHandle[Any]:  # Any: the face knows the result's type
        """Wish for an activity whose id is from `next_id`."""
        self._host.add(command)
        pending = PendingActivity(
            activity_id=command.activity_id,
            activity_type=command.activity_type,
            future=self._loop.create_future(),
            result_type=result_type,
            cancellation_type=cancellation_type,
        )
        self._pending[command.activity_id] = pending
        handle: ActivityHandle[Any] = ActivityHandle(
            pending.future,
            request_cancel=lambda _: self._cancel(pending),
            evicting=lambda: self._host.evicting,
            numbers=self._loop,
            loop=self._loop,
            name=f"activity {command.activity_type} {command.activity_id}",
        )
        self._loop.keep(handle)
        return handle

    def bind(self, activity_id: str, event_id: int) -> None:
        """History has the activity as event `event_id`."""
        self._ids[event_id] = activity_id
        pending = self._pending.get(activity_id)
        if pending is not None:
            pending.scheduled_event_id = event_id

    def id_of(self, event_id: int) -> str | None:
        """Which activity without an end the event scheduled."""
        return self._ids.get(event_id)

    def end(self, event: ActivityEnd) -> None:
        """Give the waiting code the end of its activity; late ends of cancelled ones change
        nothing.

        Raises:
            NondeterminismError: no activity of this code is the one that history speaks of.
        """
        identity = self._ids.pop(event.scheduled_event_id, None)
        pending = None if identity is None else self._pending.pop(identity, None)
        if pending is None:
            raise NondeterminismError(
                f"history ends the activity of event {event.scheduled_event_id}, which this code "
                "did not schedule"
            )
        if not pending.future.done():
            self._settle(pending, event)

    def _cancel(self, pending: PendingActivity) -> None:
        if self._host.evicting or pending.future.done() or pending.cancel_requested:
            return
        pending.cancel_requested = True
        kind = pending.cancellation_type
        unsent = self._host.drop_start(c.ScheduleActivityTask, pending.activity_id)
        if unsent:
            del self._pending[pending.activity_id]
        elif kind is not ActivityCancellationType.ABANDON:
            self._host.add(c.RequestCancelActivityTask(activity_id=pending.activity_id))
        if unsent or kind is not ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
            pending.fail(
                "Activity cancelled",
                CancelledError("Cancelled"),
                outcome=RetryOutcome.CANCEL_REQUESTED,
            )

    def _settle(self, pending: PendingActivity, event: ActivityEnd) -> None:
        started = event.started_event_id
        match event:
            case e.ActivityTaskCompleted():
                self._complete(pending, event)
            case e.ActivityTaskFailed():
                pending.fail(
                    "Activity task failed",
                    self._values.from_failure(event.failure),
                    started_event_id=started,
                    identity=event.identity,
                    outcome=event.retry_outcome,
                )
            case e.ActivityTaskTimedOut():
                pending.fail(
                    "Activity task timed out",
                    self._values.from_failure(event.failure),
                    started_event_id=started,
                    outcome=event.retry_outcome,
                )
            case e.ActivityTaskCanceled():
                pending.fail(
                    "Activity task cancelled",
                    CancelledError("Cancelled", *self._details(event.details)),
                    started_event_id=started,
                    identity=event.identity,
                    outcome=RetryOutcome.CANCEL_REQUESTED,
                )

    def _details(self, payloads: Sequence[Payload]) -> list[Any]:  # Any: user's values
        try:
            return self._values.from_payloads(payloads)
        except Exception:  # the boundary of converters: what a worker sent may be unreadable
            return []

    def _complete(self, pending: PendingActivity, event: e.ActivityTaskCompleted) -> None:
        if event.result is None:
            pending.future.set_result(None)
            return
        hints = None if pending.result_type is None else [pending.result_type]
        try:
            (result,) = self._values.from_payloads([event.result], hints)
        except Exception as error:  # the boundary of converters, which users may write
            pending.raise_in_code(error)
        else:
            pending.future.set_result(result)
