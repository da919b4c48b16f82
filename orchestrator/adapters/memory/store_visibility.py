"""Listings of runs, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from orchestrator.adapters.memory.store_state import MemoryState, RunRecord
from orchestrator.core.search_attributes import index_entries
from orchestrator.exceptions import MalformedMessageError
from orchestrator.ids import TaskQueue, kind_of
from orchestrator.limits import LIST_PAGE
from orchestrator.ports.visibility import EVERY_RUN, IndexRow, RunFilter, RunPage
from orchestrator.wire.options import RunStatus

_Place = tuple[int, str, str]
"""Where a run stands in a listing; greater comes first."""
_cursor_decoder: msgspec.json.Decoder[_Place] = msgspec.json.Decoder(tuple[int, str, str])


class MemoryVisibility:
    """The right to list."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def list_page(
        self, wanted: RunFilter, *, limit: int, cursor: str | None = None
    ) -> RunPage:
        """See `VisibilityStore.list_page`."""
        after = None if cursor is None else _read_cursor(cursor)
        found = sorted(
            (
                record
                for record in self._state.runs.values()
                if _fits(record, wanted) and (after is None or _place(record) < after)
            ),
            key=_place,
            reverse=True,
        )
        more = None
        if len(found) > limit:
            more = msgspec.json.encode(_place(found[limit - 1])).decode()
        return RunPage(rows=tuple(_row(record) for record in found[:limit]), cursor=more)

    async def list_runs(
        self, *, status: RunStatus | None = None
    ) -> AsyncIterator[Sequence[IndexRow]]:
        """See `VisibilityStore.list_runs`."""
        page = await self.list_page(RunFilter(status=status), limit=LIST_PAGE)
        yield page.rows
        while page.cursor is not None:
            page = await self.list_page(
                RunFilter(status=status), limit=LIST_PAGE, cursor=page.cursor
            )
            yield page.rows

    async def count_runs(self, wanted: RunFilter = EVERY_RUN) -> Mapping[RunStatus, int]:
        """See `VisibilityStore.count_runs`."""
        runs = self._state.runs.values()
        counts = Counter(record.status for record in runs if _fits(record, wanted))
        return {status: counts[status] for status in RunStatus}


def _place(record: RunRecord) -> _Place:
    return (record.started_at_ms, record.workflow_id, record.run_id)


def _fits(record: RunRecord, wanted: RunFilter) -> bool:
    from_ms, before_ms = wanted.started_from_ms, wanted.started_before_ms
    return (
        kind_of(record.workflow_id) is wanted.kind
        and wanted.status in (None, record.status)
        and wanted.workflow_type in (None, record.started.workflow_type)
        and wanted.task_queue in (None, record.started.task_queue)
        and (from_ms is None or record.started_at_ms >= from_ms)
        and (before_ms is None or record.started_at_ms < before_ms)
        and set(wanted.attributes) <= index_entries(record.search_attributes).keys()
    )


def _row(record: RunRecord) -> IndexRow:
    return IndexRow(
        workflow_id=record.workflow_id,
        run_id=record.run_id,
        workflow_type=record.started.workflow_type,
        task_queue=TaskQueue(record.started.task_queue),
        status=record.status,
        started_at_ms=record.started_at_ms,
        closed_at_ms=record.closed_at_ms,
        search_attributes=record.search_attributes,
    )


def _read_cursor(cursor: str) -> _Place:
    try:
        return _cursor_decoder.decode(cursor)
    except msgspec.MsgspecError as error:
        raise MalformedMessageError(
            "a cursor that a page of a listing gave", f"found {cursor!r}"
        ) from error
