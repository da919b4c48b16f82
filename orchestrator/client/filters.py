"""Which runs a listing or a count is about, as users write it → as the store takes it."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from orchestrator.client.activity_descriptions import ActivityExecutionStatus
from orchestrator.client.descriptions import WorkflowExecutionStatus
from orchestrator.common import SearchAttributeIndexedValueType, TypedSearchAttributes
from orchestrator.core.search_attributes import index_entries
from orchestrator.exceptions import InvalidSearchAttributeError
from orchestrator.ids import RunKind, check_task_queue
from orchestrator.ports.visibility import RunFilter
from orchestrator.replay.search_attributes import to_search_attributes
from orchestrator.units import to_epoch_ms
from orchestrator.wire.options import RunStatus


class _Common(TypedDict, total=False):
    """What is asked of runs of either kind."""

    task_queue: str | None
    started_from: datetime | None
    """At this time or later."""
    started_before: datetime | None
    search_attributes: TypedSearchAttributes | None


class WorkflowFilter(_Common, total=False):
    """What runs must have; what is not given does not count. Times are those of the start.

    Search attributes are compared by their exact values; of a list of keywords all that are given
    must be there. Texts cannot be looked up.
    """

    status: WorkflowExecutionStatus | None
    workflow_type: str | None


class ActivityFilter(_Common, total=False):
    """As `WorkflowFilter`, for standalone activities."""

    status: ActivityExecutionStatus | None
    activity_type: str | None


def filter_of(options: WorkflowFilter) -> RunFilter:
    """The filter that a user asks for.

    Raises:
        TypeError: there is no such option.
        InvalidNameError: a task queue cannot be one.
        InvalidSearchAttributeError: a value is not of its type, or is a text.
    """
    _check_names(options, WorkflowFilter)
    return _filter(options, RunKind.WORKFLOW, options.get("status"), options.get("workflow_type"))


def activity_filter_of(options: ActivityFilter) -> RunFilter:
    """As `filter_of`, for standalone activities."""
    _check_names(options, ActivityFilter)
    return _filter(options, RunKind.ACTIVITY, options.get("status"), options.get("activity_type"))


def _check_names(options: _Common, known: type) -> None:
    unknown = sorted(options.keys() - known.__annotations__.keys())
    if unknown:
        names = ", ".join(sorted(known.__annotations__))
        raise TypeError(f"a listing has no option {', '.join(unknown)}; known: {names}")


def _filter(
    options: _Common,
    kind: RunKind,
    status: WorkflowExecutionStatus | ActivityExecutionStatus | None,
    type_name: str | None,
) -> RunFilter:
    task_queue = options.get("task_queue")
    started_from, before = options.get("started_from"), options.get("started_before")
    attributes = options.get("search_attributes") or TypedSearchAttributes.empty
    for key, _ in attributes:
        if key.indexed_value_type is SearchAttributeIndexedValueType.TEXT:
            raise InvalidSearchAttributeError(
                key.name, "a text cannot be looked up by its exact value; make it a keyword"
            )
    return RunFilter(
        kind=kind,
        status=None if status is None else RunStatus[status.name],
        workflow_type=type_name,
        task_queue=None if task_queue is None else check_task_queue(task_queue),
        started_from_ms=None if started_from is None else to_epoch_ms(started_from),
        started_before_ms=None if before is None else to_epoch_ms(before),
        attributes=tuple(index_entries(to_search_attributes(attributes))),
    )
