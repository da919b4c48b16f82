"""Search attributes and memos of runs: found by their exact values, changed by commits, gone with
their run."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.properties import PropertiesChange
from orchestrator.core.search_attributes import IndexEntry
from orchestrator.core.transition import Close, NewRun, StartRun
from orchestrator.ids import RunId, ShardId
from orchestrator.limits import RETENTION_MS
from orchestrator.ports.store import Committed, DueKind
from orchestrator.ports.visibility import RunFilter
from orchestrator.wire.events import WorkflowExecutionStarted
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import IndexedValueType as T
from orchestrator.wire.search_attributes import SearchAttribute, SearchAttributes
from tests.contract.store_carriers import Carrier, RedisCarrier, W, commit_of, start_of, sync

ROME = IndexEntry("City", T.KEYWORD, "Rome")
OSLO = IndexEntry("City", T.KEYWORD, "Oslo")
FIVE = IndexEntry("Price", T.DOUBLE, "5.0")
ODD = "a:b%{c} \n\x00ö" + "x" * 300
SHARD = ShardId(0)


def city(name: str, **more: SearchAttribute) -> SearchAttributes:
    return {"City": SearchAttribute(type=T.KEYWORD, value=name), **more}


PRICE = SearchAttribute(type=T.DOUBLE, value=5.0)


def run_with(attributes: SearchAttributes, run_id: str = "run-1") -> NewRun:
    started = WorkflowExecutionStarted(
        workflow_type="Order", task_queue="orders", search_attributes=attributes
    )
    return NewRun(run_id=RunId(run_id), started=started)


async def start(carrier: Carrier, attributes: SearchAttributes) -> None:
    await carrier.store.start(StartRun(workflow_id=W, run=run_with(attributes)))


async def found(carrier: Carrier, *entries: IndexEntry, **wanted: Any) -> list[str]:
    page = await carrier.store.list_page(RunFilter(attributes=entries, **wanted), limit=10)
    return [row.run_id for row in page.rows]


async def change(carrier: Carrier, token: str, **fields: Any) -> None:
    synced = await sync(carrier.store)
    transition = commit_of(synced, token, properties=PropertiesChange(**fields))
    for _ in range(2):
        assert isinstance(await carrier.store.commit(transition), Committed)


async def test_a_run_is_found_by_each_exact_value_and_shows_them(carrier: Carrier) -> None:
    tags = SearchAttribute(type=T.KEYWORD_LIST, value=("a", ODD))
    text = SearchAttribute(type=T.TEXT, value="Rome")
    attributes = city("Rome", Price=PRICE, Tags=tags, Note=text)
    await start(carrier, attributes)
    assert await found(carrier, ROME) == ["run-1"]
    assert await found(carrier, ROME, FIVE) == ["run-1"]
    assert await found(carrier, IndexEntry("Tags", T.KEYWORD_LIST, ODD)) == ["run-1"]
    assert await found(carrier, OSLO) == []
    assert await found(carrier, ROME, OSLO) == []
    assert await found(carrier, IndexEntry("Note", T.TEXT, "Rome")) == []
    assert await found(carrier, IndexEntry("City", T.TEXT, "Rome")) == []
    (row,) = (await carrier.store.list_page(RunFilter(attributes=(ROME,)), limit=10)).rows
    assert row.search_attributes == attributes
    view = await carrier.store.run(W)
    assert view is not None
    assert view.search_attributes == attributes


async def test_a_commit_moves_a_run_between_values(carrier: Carrier) -> None:
    before = city("Rome")
    await start(carrier, before)
    after = city("Oslo", Price=PRICE)
    await change(carrier, "t1", search_attributes=after, indexed=before)
    assert await found(carrier, ROME) == []
    assert await found(carrier, OSLO, FIVE) == ["run-1"]
    await change(carrier, "t2", search_attributes={}, indexed=after)
    assert await found(carrier, OSLO) == await found(carrier, FIVE) == []


async def test_a_memo_is_kept_as_a_commit_has_changed_it(carrier: Carrier) -> None:
    await start(carrier, {})
    view = await carrier.store.run(W)
    assert view is not None
    assert view.memo is None
    memo = {"a": Payload.of_json(b"1")}
    await change(carrier, "t1", memo=memo)
    view = await carrier.store.run(W)
    assert view is not None
    assert view.memo == memo
    assert view.search_attributes == {}


async def test_a_value_is_combined_with_status_type_and_time(carrier: Carrier) -> None:
    await start(carrier, city("Rome"))
    assert await found(carrier, ROME, status=RunStatus.RUNNING) == ["run-1"]
    assert await found(carrier, ROME, status=RunStatus.FAILED) == []
    assert await found(carrier, ROME, workflow_type="Other") == []
    (row,) = (await carrier.store.list_page(RunFilter(), limit=10)).rows
    begun = row.started_at_ms
    assert await found(carrier, ROME, started_from_ms=begun) == ["run-1"]
    assert await found(carrier, ROME, started_before_ms=begun) == []


async def test_runs_are_counted_by_status_and_value(carrier: Carrier) -> None:
    await start(carrier, city("Rome"))
    synced = await sync(carrier.store)
    close = Close(
        status=RunStatus.CONTINUED_AS_NEW,
        forced=True,
        successor=run_with(city("Rome"), "run-2"),
        keep_inbox=True,
        nothing_left=True,
    )
    assert isinstance(await carrier.store.commit(commit_of(synced, "t1", close=close)), Committed)
    counts = await carrier.store.count_runs(RunFilter(attributes=(ROME,)))
    assert counts[RunStatus.RUNNING] == counts[RunStatus.CONTINUED_AS_NEW] == 1
    counts = await carrier.store.count_runs(RunFilter(attributes=(OSLO,)))
    assert set(counts.values()) == {0}
    counts = await carrier.store.count_runs(RunFilter(status=RunStatus.RUNNING))
    assert (counts[RunStatus.RUNNING], counts[RunStatus.CONTINUED_AS_NEW]) == (1, 0)
    assert await found(carrier, ROME) in (["run-2", "run-1"], ["run-1", "run-2"])


async def test_nothing_is_left_of_a_run_whose_retention_is_over(carrier: Carrier) -> None:
    await start(carrier, city("Rome"))
    await change(carrier, "t1", search_attributes=city("Oslo", Price=PRICE), indexed=city("Rome"))
    close = Close(status=RunStatus.COMPLETED, nothing_left=True)
    synced = await sync(carrier.store)
    assert isinstance(await carrier.store.commit(commit_of(synced, "t2", close=close)), Committed)
    assert await found(carrier, OSLO) == ["run-1"]
    await carrier.advance(RETENTION_MS)
    (row,) = (await carrier.store.due([SHARD], limit=10))[0].timers
    assert row.kind is DueKind.RETENTION
    assert await carrier.store.delete_run(row)
    assert await found(carrier, OSLO) == await found(carrier, FIVE) == []
    if isinstance(carrier, RedisCarrier):
        left = [key async for key in carrier.client.scan_iter(match="*attribute*")]
        assert not [key for key in left if carrier.redis._keys.namespace.encode() in key]


@pytest.mark.parametrize("closes", [False, True])
async def test_a_stale_commit_changes_no_index(carrier: Carrier, closes: bool) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    assert isinstance(await carrier.store.commit(commit_of(synced, "t1")), Committed)
    close = Close(status=RunStatus.COMPLETED) if closes else None
    late = commit_of(
        synced,
        "t2",
        close=close,
        properties=PropertiesChange(search_attributes=city("Rome")),
    )
    await carrier.store.commit(late)
    assert await found(carrier, ROME) == []
