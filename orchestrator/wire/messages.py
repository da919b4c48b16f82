"""Requests of clients that speak AMQP only, and the answers to them.

The body alone is enough: no property or header is needed to understand a request. `input` is a JSON
array of plain arguments; times are integers that end in `_ms`. An answer repeats `request_id`.

Unlike all other Structs, requests refuse fields that this release does not know: they are written
by hand in many languages, and a misspelt field would silently change what is asked for.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from orchestrator.wire.base import WireStruct
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import Priority, RetryOptions, RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import SearchAttribute


class RetryPolicyRequest(RetryOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A retry policy as requests give it: what is left out has its default."""


class SearchAttributeRequest(
    SearchAttribute, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A search attribute as requests give it: its type's name and its value."""


class PriorityRequest(Priority, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A priority as requests give it."""


class StartRequest(
    WireStruct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag="start",
    forbid_unknown_fields=True,
):
    """Start a workflow, once for each `request_id`: it names the run, and while that run is kept
    (also after its end, until retention removes it) a repeat starts nothing.

    Without `request_id` the workflow id counts as one, so such a workflow id is started once,
    whatever the policies say. They decide about runs that other requests made. `id_reuse_policy` is
    one of allow_duplicate, allow_duplicate_failed_only, reject_duplicate; `id_conflict_policy` one
    of fail, use_existing, terminate_existing.
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
    retry_policy: RetryPolicyRequest | None = None
    memo: dict[str, msgspec.Raw] = {}
    search_attributes: dict[str, SearchAttributeRequest] = {}
    cron_schedule: str = ""
    static_summary: str = ""
    static_details: str = ""
    priority: PriorityRequest = PriorityRequest()


Request: TypeAlias = StartRequest
REQUESTS = ("start",)
"""The types of requests that are done."""
LATER_REQUESTS = ("signal", "signal_with_start", "query", "update", "cancel", "terminate")
"""Types that have a routing key and are not done by this release."""


class RequestName(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read of a request that was refused; never travels."""

    type: str = ""
    request_id: str = ""


class StartResponse(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="started"):
    """A run answers to the request: a new one, or the one that was there (`started` false)."""

    request_id: str
    workflow_id: str
    run_id: str
    started: bool


class ErrorResponse(WireStruct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """A request was refused. `code` is one of invalid_argument, already_exists, not_found,
    unavailable, unimplemented, internal; `message` says what was expected, what was found and what
    to do. `request_id` is empty when none could be read."""

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


class UpdateReply(WireStruct, frozen=True, kw_only=True):
    """What became of an update that was not let in, kept for a while under the operation that
    brought it. `failure` is the validator's; `refused` says why the run takes no more updates."""

    failure: Failure | None = None
    refused: str = ""


Response: TypeAlias = StartResponse | ErrorResponse | QueryResponse
