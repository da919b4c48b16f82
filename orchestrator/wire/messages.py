"""Requests of clients that speak AMQP only, and the answers to them.

The body alone is enough: no property or header is needed to understand a request. `input` is a JSON
array of plain arguments; times are integers that end in `_ms`. An answer repeats `request_id`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from orchestrator.wire.base import WireStruct
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import RetryOptions, RunStatus
from orchestrator.wire.payload import Payload


class StartRequest(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="start"):
    """Start a workflow. Without `request_id` the workflow id counts as one: a repeat starts
    nothing.

    `id_reuse_policy` is one of allow_duplicate, allow_duplicate_failed_only, reject_duplicate;
    `id_conflict_policy` one of fail, use_existing, terminate_existing.
    """

    workflow_id: str
    workflow_type: str
    task_queue: str
    input: tuple[msgspec.Raw, ...] = ()
    request_id: str = ""
    id_reuse_policy: str = "allow_duplicate"
    id_conflict_policy: str = "fail"
    execution_timeout_ms: int | None = None
    run_timeout_ms: int | None = None
    task_timeout_ms: int | None = None
    start_delay_ms: int | None = None
    retry_policy: RetryOptions | None = None
    memo: dict[str, msgspec.Raw] = {}


Request: TypeAlias = StartRequest


class StartResponse(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="started"):
    """A run answers to the request: a new one, or the one that was there (`started` false)."""

    request_id: str
    workflow_id: str
    run_id: str
    started: bool = True


class ErrorResponse(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """A request was refused. `code` is one of invalid_argument, already_exists, not_found,
    unavailable, unimplemented; `message` says what was expected, what was found and what to do."""

    code: str
    message: str
    request_id: str = ""


class QueryResponse(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="query_result"):
    """The answer of a run's query handler. Exactly one of `result`, `failure`, `rejected`,
    `problem` is set, except that a handler that returned None leaves all unset.

    `problem` means that the run could not be brought up to date, and why.
    """

    request_id: str = ""
    result: Payload | None = None
    failure: Failure | None = None
    rejected: RunStatus | None = None
    problem: str | None = None


Response: TypeAlias = StartResponse | ErrorResponse | QueryResponse
