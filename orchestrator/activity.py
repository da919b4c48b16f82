"""What activity code imports. The worker sets the context around each attempt.

Names and meanings are those of Temporal's Python SDK. Everything that waits exists twice: awaited
on the worker's loop by async activities, and `_sync` for those in threads and other processes.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

from orchestrator.common import Priority, RetryPolicy
from orchestrator.converter import PayloadConverter
from orchestrator.definition.activity import defn
from orchestrator.metering import MetricMeter

__all__ = [
    "defn",
    "Info",
    "info",
    "in_activity",
    "heartbeat",
    "ActivityCancellationDetails",
    "cancellation_details",
    "is_cancelled",
    "wait_for_cancelled",
    "wait_for_cancelled_sync",
    "shield_thread_cancel_exception",
    "is_worker_shutdown",
    "wait_for_worker_shutdown",
    "wait_for_worker_shutdown_sync",
    "payload_converter",
    "metric_meter",
    "client",
    "raise_complete_async",
    "LoggerAdapter",
    "logger",
]


@dataclass(frozen=True)
class Info:
    """What is known about the attempt."""

    activity_id: str
    activity_type: str
    attempt: int
    """From 1."""
    current_attempt_scheduled_time: datetime
    heartbeat_details: Sequence[Any]  # Any: user's values
    """What the last attempt that told any said last."""
    heartbeat_timeout: timedelta | None
    is_local: bool
    retry_policy: RetryPolicy | None
    schedule_to_close_timeout: timedelta | None
    scheduled_event_id: int
    """The event of the run's history that scheduled the activity: with the run id it names the
    activity whatever its attempt, as an idempotency key for others must."""
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    """Names this attempt and no other."""
    workflow_id: str | None
    """None of an activity without a workflow, as run id and type are."""
    workflow_namespace: str
    workflow_run_id: str | None
    workflow_type: str | None
    priority: Priority = Priority.default
    activity_run_id: str | None = None
    """Of an activity without a workflow: which of those of its id."""

    @property
    def namespace(self) -> str:
        """The namespace of the activity."""
        return self.workflow_namespace

    @property
    def in_workflow(self) -> bool:
        """Whether a workflow has asked for it."""
        return self.workflow_id is not None


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """Why the attempt was asked to end."""

    not_found: bool = False
    """The run is closed, or the attempt is not the current one any more."""
    cancel_requested: bool = False
    """The workflow asked for it."""
    paused: bool = False
    """An operator has paused the activity: the next attempt waits until it may begin."""
    timed_out: bool = False
    """Its start-to-close, schedule-to-close or heartbeat time is over."""
    worker_shutdown: bool = False
    """The worker's grace is over; another worker begins the next attempt."""
    reset: bool = False
    """An operator has reset the activity: the next attempt is number 1."""


class Occurrence(Protocol):
    """Something that happens at most once; may be asked and waited for from anywhere."""

    def is_set(self) -> bool:
        """Whether it has happened."""
        ...

    async def wait(self) -> None:
        """Return when it has happened."""
        ...

    def wait_sync(self, timeout_s: float | None) -> None:
        """Block the thread until it has happened or the time is over."""
        ...


class ActivityContext(Protocol):
    """What the worker gives to one attempt. Its methods may be called from any thread."""

    @property
    def info(self) -> Info: ...

    @property
    def payload_converter(self) -> PayloadConverter: ...

    @property
    def metric_meter(self) -> MetricMeter: ...

    @property
    def client(self) -> Any: ...  # Any: a Client, of a layer above; None in sync activities

    @property
    def cancelled(self) -> Occurrence: ...

    @property
    def worker_shutdown(self) -> Occurrence: ...

    def heartbeat(self, *details: Any) -> None:  # Any: user's values
        """Note a sign of life; never waits for a server, the last details win."""
        ...

    def cancellation_details(self) -> ActivityCancellationDetails | None:
        """Why it was asked to end; None while it was not."""
        ...

    def shield(self) -> AbstractContextManager[None]:
        """Inside, no cancellation is raised in the attempt's thread."""
        ...


current_context: ContextVar[ActivityContext] = ContextVar("orchestrator_activity")
"""Set by the worker around an attempt."""


class CompleteAsyncError(BaseException):
    """Ends the code of an attempt and not the attempt; raised by `raise_complete_async` only."""


def in_activity() -> bool:
    """Whether the caller is activity code."""
    return current_context.get(None) is not None


def info() -> Info:
    """What is known about the attempt.

    Raises:
        RuntimeError: the caller is not activity code, as with the functions below.
    """
    return _context().info


def heartbeat(*details: Any) -> None:  # Any: user's values
    """Say that the attempt is alive; the next attempt finds `details` in its info.

    Returns at once. Details are sent no more often than the heartbeat time-out needs; when the
    attempt fails, the last ones are stored before. Details that cannot be converted cancel the
    attempt and fail it.
    """
    _context().heartbeat(*details)


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the attempt was asked to end; None while it was not."""
    return _context().cancellation_details()


def is_cancelled() -> bool:
    """Whether the attempt was asked to end."""
    return _context().cancelled.is_set()


async def wait_for_cancelled() -> None:
    """Return when the attempt was asked to end; for async activities, which see
    `asyncio.CancelledError` at their next await anyway."""
    await _context().cancelled.wait()


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> None:
    """Block until the attempt was asked to end, at most for `timeout` (a number is seconds)."""
    _context().cancelled.wait_sync(_seconds(timeout))


def shield_thread_cancel_exception() -> AbstractContextManager[None]:
    """`with` it, and a cancellation is raised in the attempt's thread only at the end of the block;
    without effect in async activities and other processes, where nothing is raised so."""
    return _context().shield()


def is_worker_shutdown() -> bool:
    """Whether the worker is going; the attempt may end by itself while the grace lasts."""
    return _context().worker_shutdown.is_set()


async def wait_for_worker_shutdown() -> None:
    """Return when the worker begins to go."""
    await _context().worker_shutdown.wait()


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Block until the worker begins to go, at most for `timeout` (a number is seconds)."""
    _context().worker_shutdown.wait_sync(_seconds(timeout))


def payload_converter() -> PayloadConverter:
    """The converter of the worker's client."""
    return _context().payload_converter


def metric_meter() -> MetricMeter:
    """The meter of the worker's client, with namespace, task queue and activity type on each value.

    Raises:
        RuntimeError: the code runs in a process of a pool, where nobody exports anything.
    """
    return _context().metric_meter


def client() -> Any:  # Any: an `orchestrator.client.Client`, of a layer above
    """The worker's client, for async activities: it belongs to the worker's event loop.

    Raises:
        RuntimeError: the activity is not async, or its environment gives none.
    """
    found = _context().client
    if found is None:
        raise RuntimeError(
            "there is no client here: activity.client() is for async activities, which share the "
            "worker's event loop"
        )
    return found


def raise_complete_async() -> NoReturn:
    """End this code and leave the attempt open: it is completed from outside, by its `task_token`
    or its ids (`Client.get_async_activity_handle`), or its time runs out.

    Heartbeats before it count, and go on from outside. A worker that dies just before it may lead
    to a further attempt: whoever holds an old token is then told that it names nothing.
    """
    _context()
    raise CompleteAsyncError


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the attempt to each record.

    `activity_info_on_message` appends it to the text, `activity_info_on_extra` puts it into the
    record's `activity`, `full_activity_info_on_extra` the whole `Info` into `activity_info`.
    """

    def __init__(self, logger: logging.Logger, extra: dict[str, object] | None = None) -> None:
        super().__init__(logger, extra or {})
        self.activity_info_on_message = False
        self.activity_info_on_extra = True
        self.full_activity_info_on_extra = False

    def process(
        self,
        msg: Any,  # Any: logging's own type
        kwargs: MutableMapping[str, Any],  # Any: logging's own type
    ) -> tuple[Any, MutableMapping[str, Any]]:  # Any: logging's own type
        context = current_context.get(None)
        if context is None:
            return msg, kwargs
        found = context.info
        fields = {
            "namespace": found.workflow_namespace,
            "workflow_id": found.workflow_id,
            "run_id": found.workflow_run_id or found.activity_run_id,
            "activity_id": found.activity_id,
            "activity_type": found.activity_type,
            "attempt": found.attempt,
        }
        extra = dict(kwargs.get("extra") or {})
        if self.activity_info_on_extra:
            extra["activity"] = fields
        if self.full_activity_info_on_extra:
            extra["activity_info"] = asdict(found)
        if self.activity_info_on_message:
            msg = f"{msg} ({fields})"
        kwargs["extra"] = {**(self.extra or {}), **extra}
        return msg, kwargs


logger = LoggerAdapter(logging.getLogger("orchestrator.activity"))
"""For activity code: the attempt is in each record's `activity`."""


def _context() -> ActivityContext:
    context = current_context.get(None)
    if context is None:
        raise RuntimeError("not in activity code: a worker must be running this function")
    return context


def _seconds(timeout: timedelta | float | None) -> float | None:
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
