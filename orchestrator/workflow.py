"""What workflow code imports. Everything here acts on the run whose code is executing.

Names and meanings are those of Temporal's Python SDK.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import uuid as _uuid
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypedDict, TypeVar, overload

from orchestrator.common import RetryPolicy
from orchestrator.definition.activity import ActivityDefinition, activity_name
from orchestrator.definition.workflow import WorkflowDefinition, defn, init, query, run, signal
from orchestrator.replay.context import current_run, current_run_or_none
from orchestrator.replay.control import (
    ContinueAsNewError,
    NondeterminismError,
    ReadOnlyContextError,
)
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.policies import from_options, to_options
from orchestrator.units import to_datetime, to_ms_or_none, to_timedelta, to_timedelta_or_none
from orchestrator.wire.commands import ContinueAsNewWorkflowExecution, ScheduleActivityTask

__all__ = [
    "defn",
    "run",
    "init",
    "signal",
    "query",
    "Info",
    "info",
    "in_workflow",
    "now",
    "time",
    "time_ns",
    "random",
    "uuid4",
    "logger",
    "ActivityCancellationType",
    "ActivityHandle",
    "start_activity",
    "execute_activity",
    "start_activity_method",
    "execute_activity_method",
    "start_activity_class",
    "execute_activity_class",
    "sleep",
    "wait_condition",
    "continue_as_new",
    "memo",
    "set_signal_handler",
    "all_handlers_finished",
    "unsafe",
    "ContinueAsNewError",
    "NondeterminismError",
    "ReadOnlyContextError",
]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Info:
    """What is known about the run."""

    attempt: int
    continued_run_id: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    namespace: str
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_start_time: datetime
    workflow_type: str

    def get_current_history_length(self) -> int:
        """Events of the history as of the current task."""
        return current_run().activation.history_length

    def get_current_history_size(self) -> int:
        """Bytes of the history as of the current task."""
        return current_run().activation.history_bytes

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the history has grown so long that the run should continue as new."""
        return current_run().activation.continue_as_new_suggested


def info() -> Info:
    """What is known about the run.

    Raises:
        RuntimeError: the caller is not workflow code, as with every function of this module.
    """
    facts = current_run().facts
    started = facts.started
    policy = started.retry_policy
    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_run_id,
        execution_timeout=to_timedelta_or_none(started.execution_timeout_ms),
        first_execution_run_id=started.first_run_id or facts.run_id,
        namespace=facts.namespace,
        retry_policy=None if policy is None else from_options(policy),
        run_id=facts.run_id,
        run_timeout=to_timedelta_or_none(started.run_timeout_ms),
        start_time=to_datetime(facts.start_time_ms),
        task_queue=started.task_queue,
        task_timeout=to_timedelta(started.task_timeout_ms),
        workflow_id=facts.workflow_id,
        workflow_start_time=to_datetime(facts.start_time_ms),
        workflow_type=started.workflow_type,
    )


def in_workflow() -> bool:
    """Whether the caller is workflow code."""
    return current_run_or_none() is not None


def now() -> datetime:
    """The time of the current task, aware, UTC; the same on replay."""
    return to_datetime(current_run().now_ms)


def time() -> float:
    """As `now`, in seconds since the epoch."""
    return current_run().now_ms / 1000


def time_ns() -> int:
    """As `now`, in nanoseconds since the epoch."""
    return current_run().now_ms * 1_000_000


def random() -> _random.Random:
    """The run's own generator, seeded by its run id; the same numbers on replay."""
    current = current_run()
    current.check_writable("use random numbers")
    return current.random


def uuid4() -> _uuid.UUID:
    """A UUID of the run's own generator."""
    return _uuid.UUID(bytes=random().getrandbits(128).to_bytes(16, "big"), version=4)


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the run to each record; silent while history is replayed."""

    def isEnabledFor(self, level: int) -> bool:
        current = current_run_or_none()
        if current is not None and (current.activation.replaying or current.evicting):
            return False
        return super().isEnabledFor(level)

    def process(
        self,
        msg: Any,  # Any: logging's own type
        kwargs: MutableMapping[str, Any],  # Any: logging's own type
    ) -> tuple[Any, MutableMapping[str, Any]]:  # Any: logging's own type
        current = current_run_or_none()
        if current is not None:
            facts = current.facts
            fields = {
                "namespace": facts.namespace,
                "workflow_id": facts.workflow_id,
                "run_id": facts.run_id,
                "workflow_type": facts.started.workflow_type,
            }
            kwargs["extra"] = {**kwargs.get("extra", {}), "workflow": fields}
        return msg, kwargs


logger = _Logger(logging.getLogger("orchestrator.workflow"), {})
"""For workflow code: silent on replay, with the run in each record's `workflow`."""


class ActivityOptions(TypedDict, total=False):
    """Options of every form of an activity call. One of the two close time-outs is required."""

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    result_type: type | None


_ABSENT = object()


def start_activity(
    activity: Any,  # Any: a name or any decorated callable
    arg: Any = _ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
) -> ActivityHandle[Any]:  # Any: the activity's result
    """Schedule an activity and return its handle, which is a task.

    Raises:
        ValueError: neither close time-out is given, or both `arg` and `args`.
    """
    if start_to_close_timeout is None and schedule_to_close_timeout is None:
        raise ValueError("an activity needs start_to_close_timeout or schedule_to_close_timeout")
    if arg is not _ABSENT and args:
        raise ValueError("give arg or args, not both")
    current = current_run()
    name = activity_name(activity)
    if result_type is None and not isinstance(activity, str):
        result_type = (
            ActivityDefinition.of(activity).ret_type if not isinstance(activity, type) else None
        )
    values = list(args) if arg is _ABSENT else [arg]
    payloads = tuple(current.values.to_payloads(values))
    options = to_options(retry_policy or RetryPolicy())
    return current.start_activity(
        lambda identity: ScheduleActivityTask(
            activity_id=identity,
            activity_type=name,
            task_queue=task_queue or current.facts.started.task_queue,
            input=payloads,
            schedule_to_close_timeout_ms=to_ms_or_none(schedule_to_close_timeout),
            schedule_to_start_timeout_ms=to_ms_or_none(schedule_to_start_timeout),
            start_to_close_timeout_ms=to_ms_or_none(start_to_close_timeout),
            heartbeat_timeout_ms=to_ms_or_none(heartbeat_timeout),
            retry_policy=options,
        ),
        activity_id=activity_id,
        result_type=result_type,
        cancellation_type=cancellation_type,
    )


@overload
async def execute_activity(
    activity: Callable[..., Awaitable[_Result]],
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    **options: Any,  # Any: see start_activity
) -> _Result: ...
@overload
async def execute_activity(
    activity: Callable[..., _Result],
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    **options: Any,  # Any: see start_activity
) -> _Result: ...
@overload
async def execute_activity(
    activity: str,
    arg: Any = ...,  # Any: user's value
    *,
    args: Sequence[Any] = ...,  # Any: user's values
    **options: Any,  # Any: see start_activity
) -> Any: ...  # Any: nothing is known of an activity given by name
async def execute_activity(
    activity: Any,  # Any: a name or any decorated callable
    arg: Any = _ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    **options: Any,  # Any: see start_activity
) -> Any:  # Any: the activity's result
    """As `start_activity`, and wait for the result."""
    return await start_activity(activity, arg, args=args, **options)


start_activity_method = start_activity
start_activity_class = start_activity
execute_activity_method = execute_activity
execute_activity_class = execute_activity


async def sleep(duration: float | timedelta) -> None:
    """Wait; a durable timer. ≤ 0 only yields."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    await asyncio.sleep(seconds)


async def wait_condition(
    fn: Callable[[], bool], *, timeout: timedelta | float | None = None
) -> None:
    """Wait until `fn()` is true. It is called often and must change nothing.

    Raises:
        asyncio.TimeoutError: `timeout` passed first.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    await current_run().wait_condition(fn, seconds)


def continue_as_new(
    arg: Any = _ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    workflow: Any = None,  # Any: a name or a run method
    task_queue: str | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,  # Any: user's values
) -> NoReturn:
    """End this run and start the next; what is not given is inherited. Never returns."""
    current = current_run()
    current.check_writable("continue as new")
    name = None
    if isinstance(workflow, str):
        name = workflow
    elif workflow is not None:
        name = WorkflowDefinition.of_run(workflow)[0]
    values = list(args) if arg is _ABSENT else [arg]
    convert = current.values.to_payloads
    raise ContinueAsNewError(
        ContinueAsNewWorkflowExecution(
            workflow_type=name,
            task_queue=task_queue,
            input=tuple(convert(values)),
            run_timeout_ms=to_ms_or_none(run_timeout),
            task_timeout_ms=to_ms_or_none(task_timeout),
            retry_policy=None if retry_policy is None else to_options(retry_policy),
            memo=None if memo is None else {key: convert([memo[key]])[0] for key in memo},
        )
    )


def memo() -> Mapping[str, Any]:  # Any: user's values
    """The notes given at the start of the run."""
    current = current_run()
    notes = current.facts.started.memo
    return {key: current.values.from_payloads([notes[key]])[0] for key in notes}


def set_signal_handler(name: str, handler: Callable[..., Any] | None) -> None:  # Any: user's own
    """Replace a signal's handler (None removes it); signals that waited for one are delivered."""
    current = current_run()
    current.check_writable("set a handler")
    if current.handlers is None:
        raise RuntimeError("handlers can be set from the run method on, not in __init__")
    current.handlers.set_signal(name, handler)


def all_handlers_finished() -> bool:
    """Whether no signal handler is still running."""
    return current_run().handlers_running == 0


class unsafe:
    """Questions that correct workflow code does not ask."""

    @staticmethod
    def is_replaying() -> bool:
        """Whether history is being replayed."""
        return current_run().activation.replaying

    @staticmethod
    def is_read_only() -> bool:
        """Whether the caller may change nothing."""
        return current_run().read_only

    @staticmethod
    def in_sandbox() -> bool:
        """Never: there is no importing sandbox."""
        return False

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None, None, None]:
        """Does nothing; for code that is moved here."""
        yield

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Generator[None, None, None]:
        """Does nothing; for code that is moved here."""
        yield
