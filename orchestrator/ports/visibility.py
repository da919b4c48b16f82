"""The port to listings of runs: filters, pages, counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from orchestrator.core.search_attributes import IndexEntry
from orchestrator.ids import RunId, RunKind, TaskQueue, WorkflowId
from orchestrator.wire.options import RunStatus
from orchestrator.wire.search_attributes import SearchAttributes


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs of a kind are wanted; None: any. The time is that of the start."""

    kind: RunKind = RunKind.WORKFLOW
    status: RunStatus | None = None
    workflow_type: str | None = None
    task_queue: TaskQueue | None = None
    started_from_ms: int | None = None
    """At this time or later."""
    started_before_ms: int | None = None
    """Earlier than this."""
    attributes: tuple[IndexEntry, ...] = ()
    """All of these exact values are wanted."""

    @property
    def is_of_status_only(self) -> bool:
        """Whether nothing but the status counts, of runs of one kind."""
        return self == RunFilter(kind=self.kind, status=self.status)


EVERY_RUN = RunFilter()
"""All workflows."""


class IndexRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a listing."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    task_queue: TaskQueue
    status: RunStatus
    started_at_ms: int
    closed_at_ms: int | None
    search_attributes: SearchAttributes = {}


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of a listing. `cursor` asks for what follows; None: that was all."""

    rows: tuple[IndexRow, ...]
    cursor: str | None


class VisibilityStore(Protocol):
    """Listings."""

    async def list_page(
        self, wanted: RunFilter, *, limit: int, cursor: str | None = None
    ) -> RunPage:
        """Up to `limit` runs that fit, newest start first over all shards, after `cursor`.

        The work of one call is bounded: where few of many runs fit, a page may hold fewer than
        `limit`, even none, and still have a cursor. A run that starts or closes meanwhile is shown
        at most once.

        Raises:
            MalformedMessageError: `cursor` is not one that a page gave.
        """
        ...

    def list_runs(self, *, status: RunStatus | None = None) -> AsyncIterator[Sequence[IndexRow]]:
        """All runs of workflows, or those of one status, page by page, newest start first."""
        ...

    async def count_runs(self, wanted: RunFilter = EVERY_RUN) -> Mapping[RunStatus, int]:
        """How many runs that fit there are of each status, open or within retention. What is more
        than a status is counted run by run."""
        ...
