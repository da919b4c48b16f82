"""Listings and counts of runs: what every store does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.redis import visibility
from orchestrator.adapters.redis.store import RedisStore
from orchestrator.core.transition import ForcedClose, NewRun, StartRun
from orchestrator.exceptions import MalformedMessageError
from orchestrator.ids import Namespace, RunId, ShardId, TaskQueue, WorkflowId
from orchestrator.ports.store import Closed, Started, Store
from orchestrator.ports.visibility import RunFilter
from orchestrator.wire.events import WorkflowExecutionStarted, WorkflowExecutionTerminated
from orchestrator.wire.options import RunStatus
from tests.contract.store_carriers import BEGIN_MS, Carrier


async def start(
    store: Store, name: str, *, workflow_type: str = "Order", task_queue: str = "orders"
) -> None:
    run = NewRun(
        run_id=RunId(f"run-{name}"),
        started=WorkflowExecutionStarted(workflow_type=workflow_type, task_queue=task_queue),
    )
    assert isinstance(await store.start(StartRun(workflow_id=WorkflowId(name), run=run)), Started)


async def terminate(store: Store, name: str) -> None:
    close = ForcedClose(
        workflow_id=WorkflowId(name),
        event=WorkflowExecutionTerminated(reason="enough"),
        status=RunStatus.TERMINATED,
    )
    assert isinstance(await store.force_close(close), Closed)


async def listed(store: Store, *, limit: int = 500, **wanted: object) -> list[str]:
    """The workflow ids of a whole listing, page by page."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        fields = RunFilter(**wanted)  # type: ignore[arg-type]  # fields of the Struct
        page = await store.list_page(fields, limit=limit, cursor=cursor)
        assert len(page.rows) <= limit
        names += [row.workflow_id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return names


@pytest.fixture
async def store(carrier: Carrier) -> Store:
    """A, B … started one after the other; B and D are closed."""
    for name in "ABCDE":
        await start(carrier.store, name, task_queue="orders" if name in "AB" else "others")
        await carrier.advance(1_000)
    for name in "BD":
        await terminate(carrier.store, name)
    return carrier.store


async def test_runs_are_listed_newest_first_however_they_stand(store: Store) -> None:
    assert await listed(store) == ["E", "D", "C", "B", "A"]
    [*_, row] = (await store.list_page(RunFilter(), limit=4)).rows
    assert (row.run_id, row.status, row.task_queue) == ("run-B", RunStatus.TERMINATED, "orders")
    assert (row.started_at_ms, row.closed_at_ms) == (BEGIN_MS + 1_000, BEGIN_MS + 5_000)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_pages_leave_nothing_out_and_show_nothing_twice(store: Store, limit: int) -> None:
    assert await listed(store, limit=limit) == ["E", "D", "C", "B", "A"]


async def test_filters_are_met_together(store: Store) -> None:
    await start(store, "F", workflow_type="Refund")
    assert await listed(store, status=RunStatus.RUNNING) == ["F", "E", "C", "A"]
    assert await listed(store, status=RunStatus.TERMINATED) == ["D", "B"]
    assert await listed(store, status=RunStatus.FAILED) == []
    assert await listed(store, workflow_type="Refund") == ["F"]
    assert await listed(store, task_queue=TaskQueue("others")) == ["E", "D", "C"]
    assert await listed(
        store, started_from_ms=BEGIN_MS + 1_000, started_before_ms=BEGIN_MS + 3_000
    ) == ["C", "B"]
    assert await listed(store, status=RunStatus.TERMINATED, task_queue="orders", limit=1) == ["B"]


async def test_runs_that_started_together_are_each_listed_once(carrier: Carrier) -> None:
    names = [f"order-{number}" for number in range(60)]
    for name in names:
        await start(carrier.store, name)
    for limit in (7, 60):
        assert sorted(await listed(carrier.store, limit=limit)) == sorted(names)


async def test_what_starts_while_pages_are_read_does_not_disturb_them(
    carrier: Carrier, store: Store
) -> None:
    page = await store.list_page(RunFilter(), limit=2)
    await start(store, "F")
    await terminate(store, "C")
    rest = await store.list_page(RunFilter(), limit=10, cursor=page.cursor)
    assert [row.workflow_id for row in (*page.rows, *rest.rows)] == ["E", "D", "C", "B", "A"]


async def test_runs_are_counted_by_status(store: Store) -> None:
    counts = await store.count_runs()
    assert counts[RunStatus.RUNNING] == 3
    assert counts[RunStatus.TERMINATED] == 2
    assert counts[RunStatus.COMPLETED] == 0
    assert set(counts) == set(RunStatus)


async def test_a_run_that_retention_took_is_neither_listed_nor_counted(
    carrier: Carrier, store: Store
) -> None:
    for _ in range(2):
        due = (await store.due([ShardId(0)], limit=10))[0]
        for row in due.timers:
            await store.after_close_done(row, retention_ms=1_000)
            await store.delete_run(row)
        await carrier.advance(1_000)
    assert await listed(store) == ["E", "C", "A"]
    assert (await store.count_runs())[RunStatus.TERMINATED] == 0


@pytest.mark.parametrize("cursor", ["", "x", "[1]", "1", "-/a"])
async def test_a_cursor_of_somebody_else_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(MalformedMessageError, match="cursor"):
        await store.list_page(RunFilter(), limit=1, cursor=cursor)


@pytest.fixture
async def sharded(redis_url: str, random_namespace: str) -> AsyncIterator[RedisStore]:
    """A Redis store of many shards with 300 runs in no order."""
    store = RedisStore(redis_url, namespace=Namespace(random_namespace), shards=32)
    await store.open()
    for number in range(0, 300, 20):
        await asyncio.gather(*(start(store, f"order-{n}") for n in range(number, number + 20)))
        await asyncio.sleep(0.002)
    yield store
    await store.close()


@pytest.mark.servers
@pytest.mark.parametrize("limit", [10, 250, 500])
async def test_shards_are_merged_into_one_order(sharded: RedisStore, limit: int) -> None:
    found: list[tuple[int, str]] = []
    cursor = None
    while True:
        page = await sharded.list_page(RunFilter(), limit=limit, cursor=cursor)
        found += [(row.started_at_ms, row.workflow_id) for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert [start_ms for start_ms, _ in found] == sorted((ms for ms, _ in found), reverse=True)
    assert sorted(name for _, name in found) == sorted(f"order-{n}" for n in range(300))


@pytest.mark.servers
async def test_a_page_looks_at_a_bounded_number_of_runs(
    sharded: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(sharded, "rare", workflow_type="Refund")
    monkeypatch.setattr(visibility, "LIST_SCAN_MAX", 50)
    monkeypatch.setattr(visibility, "LIST_CHUNK", 4)
    wanted = RunFilter(workflow_type="Refund")
    reads = sharded._connection.counters.value("redis_reads")
    page = await sharded.list_page(wanted, limit=20)
    assert [row.workflow_id for row in page.rows] == ["rare"]
    assert page.cursor is not None
    assert sharded._connection.counters.value("redis_reads") - reads < 400
    assert await listed(sharded, limit=20, workflow_type="Refund") == ["rare"]
