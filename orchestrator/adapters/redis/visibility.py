"""Listings: the indexes of all shards, merged newest first, a page at a time.

Each shard has an index for each status, and for each value of a search attribute, scored by the
start. A page reads a few rows of each index in one write and more of those that run dry. What the
index does not know (type, task queue, further values) is read from the records of the candidates,
at most `LIST_SCAN_MAX` for a page.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

from orchestrator.adapters.redis.answers import Part, number
from orchestrator.adapters.redis.connection import Connection
from orchestrator.adapters.redis.keys import read_member
from orchestrator.core.search_attributes import index_entries
from orchestrator.exceptions import MalformedMessageError
from orchestrator.ids import RunKind, ShardId, TaskQueue
from orchestrator.limits import LIST_CHUNK, LIST_PAGE, LIST_SCAN_MAX
from orchestrator.ports.visibility import EVERY_RUN, IndexRow, RunFilter, RunPage
from orchestrator.wire.codec import search_attributes_decoder
from orchestrator.wire.options import RunStatus

_Place = tuple[int, bytes]
"""Where a run stands in a listing: its start, and its name in the index. Greater comes first."""
_INVERTED = bytes(255 - byte for byte in range(256))
_FIELDS = (
    *("workflow_type", "task_queue", "status", "started_at_ms", "closed_at_ms"),
    "search_attributes",
)


class RedisVisibility(Part):
    """The right to list."""

    async def list_page(
        self, wanted: RunFilter, *, limit: int, cursor: str | None = None
    ) -> RunPage:
        """See `VisibilityStore.list_page`."""
        after = None if cursor is None else _read_cursor(cursor)
        merge = _Merge(self._connection, self._indexes(wanted), wanted, after)
        rows: list[IndexRow] = []
        last, scanned = after, 0
        while len(rows) < limit and scanned < LIST_SCAN_MAX:
            places = await merge.take(min(LIST_PAGE, max(limit - len(rows), LIST_CHUNK)))
            found = await asyncio.gather(*(self._row(name) for _, name in places))
            for place, row in zip(places, found, strict=True):
                if len(rows) == limit:
                    return RunPage(rows=tuple(rows), cursor=_cursor(last))
                last, scanned = place, scanned + 1
                if row is not None and _fits(row, wanted):
                    rows.append(row)
            if not places:
                return RunPage(rows=tuple(rows), cursor=None)
        return RunPage(rows=tuple(rows), cursor=_cursor(last))

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
        if not wanted.is_of_status_only:
            return await self._count_one_by_one(wanted)
        counts = await self._count_all(wanted.kind)
        return {
            status: count if wanted.status in (None, status) else 0
            for status, count in counts.items()
        }

    async def _count_one_by_one(self, wanted: RunFilter) -> Mapping[RunStatus, int]:
        counts = dict.fromkeys(RunStatus, 0)
        page = await self.list_page(wanted, limit=LIST_PAGE)
        while True:
            for row in page.rows:
                counts[row.status] += 1
            if page.cursor is None:
                return counts
            page = await self.list_page(wanted, limit=LIST_PAGE, cursor=page.cursor)

    async def _count_all(self, kind: RunKind) -> Mapping[RunStatus, int]:
        statuses, shards = tuple(RunStatus), range(self._keys.shards)
        counts = await asyncio.gather(
            *(
                self._connection.read("ZCARD", self._keys.index(ShardId(shard), status, kind))
                for status in statuses
                for shard in shards
            )
        )
        return {
            status: sum(counts[i * len(shards) : (i + 1) * len(shards)])
            for i, status in enumerate(statuses)
        }

    def _indexes(self, wanted: RunFilter) -> list[str]:
        """The keys to look into. Open runs first: who closes meanwhile is met twice, not never."""
        if wanted.attributes:
            shards = (ShardId(shard) for shard in range(self._keys.shards))
            first = wanted.attributes[0]
            return [self._keys.attribute(shard, first, wanted.kind) for shard in shards]
        statuses = tuple(RunStatus) if wanted.status is None else (wanted.status,)
        return [
            self._keys.index(ShardId(shard), status, wanted.kind)
            for status in sorted(statuses, key=lambda one: one is not RunStatus.RUNNING)
            for shard in range(self._keys.shards)
        ]

    async def _row(self, name: bytes) -> IndexRow | None:
        workflow_id, run_id = read_member(name.decode())
        key = self._keys.of_run("run", workflow_id, run_id)
        found: list[bytes | None] = await self._connection.read("HMGET", key, *_FIELDS)
        type_, task_queue, status, started_at_ms, closed_at_ms, attributes = (
            None if value is None else value.decode() for value in found
        )
        if type_ is None or task_queue is None or status is None or started_at_ms is None:
            return None  # Retention took it meanwhile.
        return IndexRow(
            workflow_id=workflow_id,
            run_id=run_id,
            workflow_type=type_,
            task_queue=TaskQueue(task_queue),
            status=RunStatus(status),
            started_at_ms=int(started_at_ms),
            closed_at_ms=number(closed_at_ms),
            search_attributes=search_attributes_decoder.decode((attributes or "{}").encode()),
        )


class _Index:
    """One sorted set, read piece by piece, greatest place first."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.offset = 0
        self.is_dry = False
        self.buffer: deque[_Place] = deque()


class _Merge:
    """The runs of many indexes in one order, each once."""

    def __init__(
        self,
        connection: Connection,
        keys: Sequence[str],
        wanted: RunFilter,
        after: _Place | None,
    ) -> None:
        self._connection = connection
        self._after = after
        self._indexes = [_Index(key) for key in keys]
        self._from = "-inf" if wanted.started_from_ms is None else str(wanted.started_from_ms)
        self._to = "+inf" if wanted.started_before_ms is None else f"({wanted.started_before_ms}"
        before_ms = wanted.started_before_ms
        if after is not None and (before_ms is None or after[0] < before_ms):
            self._to = str(after[0])
        self._heap: list[tuple[int, bytes, int]] = []
        self._empty = set(range(len(self._indexes)))
        self._seen: set[bytes] = set()

    async def take(self, count: int) -> list[_Place]:
        """The next places, at most `count`; none at the end."""
        places: list[_Place] = []
        while len(places) < count:
            if self._empty:
                await self._refill()
            if not self._heap:
                break
            _, _, which = heapq.heappop(self._heap)
            place = self._indexes[which].buffer.popleft()
            self._offer(which)
            if place[1] not in self._seen:
                self._seen.add(place[1])
                places.append(place)
        return places

    def _offer(self, which: int) -> None:
        """Put the head of an index on the heap, or note that the index has to be read."""
        index = self._indexes[which]
        if index.buffer:
            start_ms, name = index.buffer[0]
            # Inverted and closed by the highest byte, greater names come first here too.
            inverted = name.translate(_INVERTED) + b"\xff"
            heapq.heappush(self._heap, (-start_ms, inverted, which))
        elif not index.is_dry:
            self._empty.add(which)

    async def _refill(self) -> None:
        while self._empty:
            dry = sorted(self._empty)
            self._empty.clear()
            await asyncio.gather(*(self._read(self._indexes[which]) for which in dry))
            for which in dry:
                self._offer(which)

    async def _read(self, index: _Index) -> None:
        found: list[bytes] = await self._connection.read(
            *("ZRANGE", index.key, self._to, self._from, "BYSCORE", "REV"),
            *("LIMIT", index.offset, LIST_CHUNK, "WITHSCORES"),
        )
        places = [(int(float(found[i + 1])), found[i]) for i in range(0, len(found), 2)]
        index.offset += len(places)
        index.is_dry = len(places) < LIST_CHUNK
        index.buffer += (place for place in places if self._after is None or place < self._after)


def _fits(row: IndexRow, wanted: RunFilter) -> bool:
    return (
        wanted.status in (None, row.status)
        and wanted.workflow_type in (None, row.workflow_type)
        and wanted.task_queue in (None, row.task_queue)
        and set(wanted.attributes) <= index_entries(row.search_attributes).keys()
    )


def _cursor(place: _Place | None) -> str | None:
    return None if place is None else f"{place[0]}/{place[1].decode()}"


def _read_cursor(cursor: str) -> _Place:
    start_ms, sign, name = cursor.partition("/")
    if not sign or not start_ms.isdecimal():
        raise MalformedMessageError("a cursor that a page of a listing gave", f"found {cursor!r}")
    return int(start_ms), name.encode()
