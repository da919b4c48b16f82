"""The messages that carry work through RabbitMQ.

A workflow task is a wake-up: "look at this run". It may be lost, doubled or invented; the truth is
in Redis. An activity task is complete: any worker in any language can run it from the body alone,
and everything in it can be made again from `ActivityTaskScheduled` and the attempt's record.
"""

from __future__ import annotations

import msgspec

from orchestrator.wire.base import WireStruct
from orchestrator.wire.events import WorkflowExecutionStarted
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import (
    DEFAULT_RETRY,
    NO_PRIORITY,
    Priority,
    QueryReject,
    RetryOptions,
)
from orchestrator.wire.payload import Header, Payload


class InlineEntry(WireStruct, frozen=True, kw_only=True):
    """An inbox entry that travels in its wake-up. `type` is its class name, `data` its body."""

    number: int
    mark: str
    time_ms: int
    type: str
    data: msgspec.Raw


class FirstRun(WireStruct, frozen=True, kw_only=True):
    """A run that was made just now: event 1 and its time, and the token its first commit names."""

    run_id: str
    token: str
    time_ms: int
    started: WorkflowExecutionStarted


class WorkflowTask(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="workflow_task"):
    """Wake-up of the newest run of a workflow id. A `repeat` counts as an attempt and carries no
    entry. `first` comes with the first task of a run that is small: then nothing must be read."""

    namespace: str
    workflow_id: str
    repeat: bool = False
    entry: InlineEntry | None = None
    first: FirstRun | None = None


class QueryTask(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="query_task"):
    """Answer a query from a run's state. Transient: the asker repeats it.

    `run_id` None means the newest run. The answer, a `QueryResponse`, goes to the delivery's
    `reply_to`; where there is no such run it is an `ErrorResponse` of code `not_found`.
    """

    namespace: str
    workflow_id: str
    query: str
    run_id: str | None = None
    input: tuple[Payload, ...] = ()
    header: Header = {}
    request_id: str = ""
    expires_at_ms: int | None = None
    """Nobody waits for the answer after this time."""
    reject_condition: QueryReject = QueryReject.NONE


class ActivityTask(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="activity_task"):
    """Run one attempt of an activity.

    `key` and `attempt` name the attempt; begin, heartbeat and finish repeat them. `hold` says
    whether the delivery stays unacknowledged while the attempt runs (short activities) or is
    acknowledged once it has begun. `scheduled_at_ms` is the time of the first attempt.
    """

    namespace: str
    workflow_id: str
    workflow_type: str
    run_id: str
    workflow_task_queue: str
    event_id: int
    activity_id: str
    activity_type: str
    task_queue: str
    key: str
    attempt: int = 1
    input: tuple[Payload, ...] = ()
    header: Header = {}
    schedule_to_close_timeout_ms: int | None = None
    schedule_to_start_timeout_ms: int | None = None
    start_to_close_timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    retry_policy: RetryOptions = DEFAULT_RETRY
    scheduled_at_ms: int = 0
    attempt_scheduled_at_ms: int = 0
    hold: bool = True
    heartbeat_details: tuple[Payload, ...] = ()
    last_failure: Failure | None = None
    priority: Priority = NO_PRIORITY
    turns: int = 0
    """How many rate limits of its queue this attempt has passed."""
