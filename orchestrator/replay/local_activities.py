"""The local activities of one run: asked for, run by the worker within the task, ended by markers.

A local activity leaves no trace when it is asked for. Its end is news that comes within a task: a
marker stands among the commands at the very place where the code had run until quiet, and a replay
hands it over there again. What is asked for and has no marker is to be run (again).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from orchestrator.exceptions import ActivityError, CancelledError, RetryState
from orchestrator.limits import PENDING_ACTIVITIES_MAX
from orchestrator.replay.control import NondeterminismError
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.source import Source, caller, describe
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c
from orchestrator.wire.failure import CanceledFailure, Failure
from orchestrator.wire.markers import LocalActivityEnd, read_local_activity
from orchestrator.wire.options import RetryOptions, RetryOutcome
from orchestrator.wire.payload import Header, Payload


class LocalActivity(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker shall run: from attempt number `attempt` on. `first_scheduled_at_ms` None:
    its schedule-to-close time begins now."""

    activity_id: str
    activity_type: str
    input: tuple[Payload, ...] = ()
    header: Header = {}
    schedule_to_close_timeout_ms: int | None = None
    schedule_to_start_timeout_ms: int | None = None
    start_to_close_timeout_ms: int | None = None
    retry_policy: RetryOptions = RetryOptions()
    local_retry_threshold_ms: int = 0
    attempt: int = 1
    first_scheduled_at_ms: int | None = None
    last_failure: Failure | None = None
    summary: str = ""


class LocalHost(Protocol):
    """Who takes the commands."""

    @property
    def evicting(self) -> bool: ...

    def add(self, command: c.Command, source: Source | None = None) -> None: ...


class PendingLocalActivity:
    """One that has not ended. `handed_over`: the code was quiet since it was asked for, so the
    worker may have begun; `timer` waits for an attempt that is far away."""

    def __init__(
        self,
        request: LocalActivity,
        future: asyncio.Future[Any],  # Any: results of any type
        *,
        result_type: Any,  # Any: an annotation
        cancellation_type: ActivityCancellationType,
        source: Source | None,
    ) -> None:
        self.request = request
        self.future = future
        self.result_type = result_type
        self.cancellation_type = cancellation_type
        self.source = source
        self.handed_over = False
        self.cancel_requested = False
        self.timer: asyncio.TimerHandle | None = None


class LocalActivities:
    """What is pending, and whose end has come."""

    def __init__(self, host: LocalHost, loop: DurableLoop, values: Values) -> None:
        self._host = host
        self._loop = loop
        self._values = values
        self._pending: dict[str, PendingLocalActivity] = {}
        self.abandoned: set[str] = set()
        """Nobody waits for these, and nobody shall stop them."""

    def start(
        self,
        request: LocalActivity,
        *,
        result_type: Any,  # Any: an annotation
        cancellation_type: ActivityCancellationType,
    ) -> ActivityHandle[Any]:  # Any: the face knows the result's type
        """Ask for a local activity.

        Raises:
            RuntimeError: one of this id is pending, or too many are.
        """
        identity = request.activity_id
        if identity in self._pending:
            raise RuntimeError(f"a local activity with id {identity!r} is pending; choose another")
        if len(self._pending) >= PENDING_ACTIVITIES_MAX:
            raise RuntimeError(
                f"{PENDING_ACTIVITIES_MAX} local activities are pending; wait for some first"
            )
        pending = PendingLocalActivity(
            request,
            self._loop.create_future(),
            result_type=result_type,
            cancellation_type=cancellation_type,
            source=caller(),
        )
        self._pending[identity] = pending
        handle: ActivityHandle[Any] = ActivityHandle(
            pending.future,
            request_cancel=lambda _: self._cancel(pending),
            evicting=lambda: self._host.evicting,
            numbers=self._loop,
            loop=self._loop,
            name=f"local activity {request.activity_type} {identity}",
        )
        self._loop.keep(handle)
        return handle

    def hand_over(self) -> None:
        """The code is quiet: from now on the worker may run what was asked for."""
        for pending in self._pending.values():
            pending.handed_over = True

    @property
    def to_run(self) -> Sequence[tuple[LocalActivity, bool]]:
        """What the worker shall run, in the order of asking, and whether it shall be stopped."""
        return [
            (pending.request, pending.cancel_requested)
            for pending in self._pending.values()
            if pending.handed_over and pending.timer is None
        ]

    def check_recorded(self, count: int) -> None:
        """Compare with how many were running when the task was written.

        Raises:
            NondeterminismError: this code has asked for others.
        """
        running = [one for one in self._pending.values() if one.timer is None]
        if len(running) == count:
            return
        if len(running) > count:
            extra = running[count]
            raise NondeterminismError(
                f"the code asked for local activity {extra.request.activity_type!r} (id "
                f"{extra.request.activity_id!r}) at {describe(extra.source)}, but history has no "
                "marker of its end, and none was running when its task was done"
            )
        raise NondeterminismError(
            f"history has {count} local activities running at the end of its task, but the code "
            f"waits for {len(running)}"
        )

    def end(self, marker: c.RecordMarker) -> None:
        """Note the end, and give it to the waiting code.

        Raises:
            NondeterminismError: this code is not waiting for it.
        """
        found = read_local_activity(marker)
        pending = self._pending.get(found.activity_id)
        if (
            pending is None
            or not pending.handed_over
            or pending.timer is not None
            or pending.request.activity_type != found.activity_type
        ):
            raise NondeterminismError(
                f"history has the end of local activity {found.activity_type!r} (id "
                f"{found.activity_id!r}), but the code waits for {self._waits_for()}"
            )
        self._host.add(marker, pending.source)
        if found.backoff_ms is not None and not pending.cancel_requested:
            self._back_off(pending, found, marker.failure, found.backoff_ms)
            return
        del self._pending[found.activity_id]
        if not pending.future.done():
            self._settle(pending, found, marker)

    def _waits_for(self) -> str:
        running = [one for one in self._pending.values() if one.timer is None]
        if not running:
            return "no local activity"
        first, more = running[0], len(running) - 1
        return (
            f"local activity {first.request.activity_type!r} (id {first.request.activity_id!r}), "
            f"asked for at {describe(first.source)}" + (f", and {more} more" if more else "")
        )

    def _back_off(
        self,
        pending: PendingLocalActivity,
        found: LocalActivityEnd,
        failure: Failure | None,
        backoff_ms: int,
    ) -> None:
        def again() -> None:
            pending.timer = None
            pending.handed_over = False
            pending.request = msgspec.structs.replace(
                pending.request,
                attempt=found.attempt + 1,
                first_scheduled_at_ms=found.first_scheduled_at_ms,
                last_failure=failure,
            )

        summary = f"retry of local activity {found.activity_type}"
        pending.timer = self._loop.call_later_with(backoff_ms / 1000, again, summary=summary)

    def _cancel(self, pending: PendingLocalActivity) -> None:
        if self._host.evicting or pending.future.done() or pending.cancel_requested:
            return
        pending.cancel_requested = True
        identity, kind = pending.request.activity_id, pending.cancellation_type
        is_running = pending.handed_over and pending.timer is None
        if pending.timer is not None:
            pending.timer.cancel()
        if is_running and kind is ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
            return
        if is_running and kind is ActivityCancellationType.ABANDON:
            self.abandoned.add(identity)
        del self._pending[identity]
        self._fail(
            pending,
            "Activity cancelled",
            CancelledError("Cancelled"),
            RetryOutcome.CANCEL_REQUESTED,
        )

    def _settle(
        self, pending: PendingLocalActivity, found: LocalActivityEnd, marker: c.RecordMarker
    ) -> None:
        failure = marker.failure
        if failure is not None:
            is_cancelled = isinstance(failure.detail, CanceledFailure)
            self._fail(
                pending,
                "Activity cancelled" if is_cancelled else "Activity task failed",
                self._values.from_failure(failure),
                RetryOutcome.CANCEL_REQUESTED if is_cancelled else found.retry_outcome,
            )
            return
        results = marker.details.get("result", ())
        if not results:
            pending.future.set_result(None)
            return
        hints = None if pending.result_type is None else [pending.result_type]
        try:
            (result,) = self._values.from_payloads(results[:1], hints)
        except Exception as error:  # the boundary of converters, which users may write
            _raise(pending, error)
        else:
            pending.future.set_result(result)

    def _fail(
        self,
        pending: PendingLocalActivity,
        message: str,
        cause: BaseException,
        outcome: RetryOutcome | None,
    ) -> None:
        error = ActivityError(
            message,
            scheduled_event_id=0,
            started_event_id=0,
            identity="",
            activity_type=pending.request.activity_type,
            activity_id=pending.request.activity_id,
            retry_state=None if outcome is None else RetryState[outcome.name],
        )
        error.__cause__ = cause
        _raise(pending, error)


def _raise(pending: PendingLocalActivity, error: BaseException) -> None:
    pending.future.set_exception(error)
    # Looked at here: whether it is reported as unseen is decided by the handle, a task.
    pending.future.exception()
