"""Rows of acts on other workflows, their answers, and starts that are refused for good."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.transition import Answer, Close, TimerToArm
from orchestrator.ids import EventId, RunId, ShardId, WorkflowId
from orchestrator.limits import RETENTION_MS
from orchestrator.ports.store import (
    Appended,
    Committed,
    DueKind,
    DueRow,
    NotOpen,
    Started,
    StartRefused,
)
from orchestrator.wire import relation_events as r
from orchestrator.wire.events import HistoryEvent, WorkflowExecutionCompleted
from orchestrator.wire.inbox import ChildStarted, ExternalSignaled
from orchestrator.wire.options import RunStatus
from tests.contract.store_carriers import BEGIN_MS, Carrier, W, commit_of, start_of, sync

RUN = RunId("run-1")
SHARD = ShardId(0)
EVENT = EventId(2)


def initiated(event_id: int) -> HistoryEvent:
    return HistoryEvent(
        event_id=event_id,
        time_ms=BEGIN_MS,
        attributes=r.StartChildWorkflowExecutionInitiated(
            workflow_id="child", workflow_type="Pack", task_queue="orders"
        ),
    )


async def armed(carrier: Carrier, *kinds: DueKind, **fields: Any) -> None:  # Any: of Transition
    """A run whose first commit arms a row of each kind for event 2."""
    await carrier.store.start(start_of())
    timers = tuple(TimerToArm(event_id=EVENT, fire_at_ms=BEGIN_MS, kind=kind) for kind in kinds)
    commit = commit_of(
        await sync(carrier.store), "t1", events=(initiated(2),), timers=timers, **fields
    )
    assert isinstance(await carrier.store.commit(commit), Committed)


async def row(carrier: Carrier, kind: DueKind) -> DueRow | None:
    return await carrier.store.row(kind, W, RUN, EVENT)


async def found(carrier: Carrier, kind: DueKind) -> DueRow:
    there = await row(carrier, kind)
    assert there is not None
    return there


def answer_of(*kinds: DueKind, **fields: Any) -> Answer:  # Any: fields of Answer
    defaults: dict[str, Any] = {
        "workflow_id": W,
        "run_id": RUN,
        "event_id": EVENT,
        "body": ChildStarted(run_id=RUN, initiated_event_id=2, child_run_id="c"),
        "kinds": kinds,
    }
    return Answer(**{**defaults, **fields})


@pytest.mark.parametrize("kind", [DueKind.CHILD, DueKind.CHILD_WATCH, DueKind.EXTERNAL])
async def test_a_row_that_is_armed_is_due(carrier: Carrier, kind: DueKind) -> None:
    await armed(carrier, kind)
    (due,) = await carrier.store.due([SHARD], limit=10)
    assert [(one.kind, one.run_id, one.event_id) for one in due.timers] == [(kind, RUN, EVENT)]
    assert due.timers[0] == await row(carrier, kind)


async def test_a_row_is_moved_by_one_only(carrier: Carrier) -> None:
    await armed(carrier, DueKind.CHILD)
    read = await found(carrier, DueKind.CHILD)
    moved = await carrier.store.move_row(read, due_in_ms=5_000)
    assert moved is not None
    assert moved.due_at_ms == BEGIN_MS + 5_000
    assert await carrier.store.move_row(read, due_in_ms=5_000) is None
    assert await row(carrier, DueKind.CHILD) == moved
    assert (await carrier.store.due([SHARD], limit=10))[0].timers == ()
    await carrier.advance(5_000)
    assert await carrier.store.move_row(moved, due_in_ms=1) is not None


async def test_a_row_that_has_gone_is_not_moved(carrier: Carrier) -> None:
    await armed(carrier, DueKind.CHILD)
    read = await found(carrier, DueKind.CHILD)
    await carrier.store.answer(answer_of(DueKind.CHILD))
    assert await carrier.store.move_row(read, due_in_ms=1) is None
    assert await row(carrier, DueKind.CHILD) is None


async def test_an_answer_takes_its_row_wakes_the_run_and_is_taken_once(carrier: Carrier) -> None:
    await armed(carrier, DueKind.CHILD)
    answer = answer_of(DueKind.CHILD, watch_in_ms=60_000)
    appended = await carrier.store.answer(answer)
    assert isinstance(appended, Appended)
    assert appended.wake is not None
    assert await carrier.store.answer(answer) is None
    assert await row(carrier, DueKind.CHILD) is None
    assert (await found(carrier, DueKind.CHILD_WATCH)).due_at_ms == BEGIN_MS + 60_000
    assert [entry.body for entry in (await sync(carrier.store)).unread] == [answer.body]


async def test_an_answer_takes_whichever_row_waits_for_it(carrier: Carrier) -> None:
    await armed(carrier, DueKind.CHILD_WATCH)
    answer = answer_of(DueKind.CHILD, DueKind.CHILD_WATCH)
    assert isinstance(await carrier.store.answer(answer), Appended)
    assert await row(carrier, DueKind.CHILD_WATCH) is None


async def test_an_answer_of_who_has_lost_the_row_is_not_taken(carrier: Carrier) -> None:
    await armed(carrier, DueKind.EXTERNAL)
    leased = await carrier.store.move_row(await found(carrier, DueKind.EXTERNAL), due_in_ms=5)
    assert leased is not None
    await carrier.advance(5)
    newer = await carrier.store.move_row(leased, due_in_ms=5)
    assert newer is not None
    body = ExternalSignaled(run_id=RUN, initiated_event_id=2)
    late = answer_of(DueKind.EXTERNAL, body=body, due_at_ms=leased.due_at_ms)
    assert await carrier.store.answer(late) is None
    right = answer_of(DueKind.EXTERNAL, body=body, due_at_ms=newer.due_at_ms)
    assert isinstance(await carrier.store.answer(right), Appended)


async def close(carrier: Carrier, **fields: Any) -> None:  # Any: fields of Transition
    synced = await sync(carrier.store)
    completed = HistoryEvent(
        event_id=synced.head.last_event_id + 1,
        time_ms=BEGIN_MS,
        attributes=WorkflowExecutionCompleted(),
    )
    commit = commit_of(
        synced, "end", events=(completed,), close=Close(status=RunStatus.COMPLETED), **fields
    )
    assert isinstance(await carrier.store.commit(commit), Committed)


async def test_an_answer_to_a_closed_run_takes_its_row_and_says_so(carrier: Carrier) -> None:
    await armed(carrier, DueKind.CHILD)
    await close(carrier)
    refused = await carrier.store.answer(answer_of(DueKind.CHILD))
    assert isinstance(refused, NotOpen)
    assert (refused.run_id, refused.status) == (RUN, RunStatus.COMPLETED)
    assert await row(carrier, DueKind.CHILD) is None


async def test_a_closing_commit_arms_what_is_sent_to_others_and_the_close_leaves_it(
    carrier: Carrier,
) -> None:
    await armed(carrier, DueKind.CHILD, DueKind.CHILD_WATCH)
    external = TimerToArm(event_id=EVENT, fire_at_ms=BEGIN_MS, kind=DueKind.EXTERNAL)
    await close(carrier, timers=(external,))
    (due,) = await carrier.store.due([SHARD], limit=10)
    (after_close,) = (one for one in due.timers if one.kind is DueKind.AFTER_CLOSE)
    await carrier.store.after_close_done(after_close, retention_ms=1_000)
    (due,) = await carrier.store.due([SHARD], limit=10)
    assert [one.kind for one in due.timers] == [DueKind.EXTERNAL]


# Starts that are refused for good -----------------------------------------------------------------


async def test_a_refusal_that_is_remembered_outlives_the_run_in_its_way(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    child = start_of("run-2", remember_refusal=True)
    refused = await carrier.store.start(child)
    assert isinstance(refused, StartRefused)
    assert (refused.run_id, refused.status) == (RUN, RunStatus.RUNNING)
    await close(carrier)
    again = await carrier.store.start(child)
    assert isinstance(again, StartRefused)
    assert (again.run_id, again.workflow_type, again.status) == (RUN, "Order", RunStatus.RUNNING)
    assert await carrier.store.run(W, RunId("run-2")) is None
    assert isinstance(await carrier.store.start(start_of("run-3")), Started)


async def test_a_start_that_only_refuses_lets_nothing_start_later(carrier: Carrier) -> None:
    child = start_of(remember_refusal=True, only_refuse=True)
    assert isinstance(await carrier.store.start(child), StartRefused)
    assert isinstance(await carrier.store.start(start_of(remember_refusal=True)), StartRefused)
    assert await carrier.store.run(W) is None
    assert isinstance(await carrier.store.start(start_of("run-2")), Started)


async def test_a_start_that_only_refuses_finds_the_run_that_is_there(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    found = await carrier.store.start(start_of(remember_refusal=True, only_refuse=True))
    assert isinstance(found, Started)
    assert not found.new


async def test_a_refusal_goes_with_its_retention(carrier: Carrier) -> None:
    await carrier.store.start(start_of(remember_refusal=True, only_refuse=True))
    await carrier.advance(RETENTION_MS)
    (due,) = await carrier.store.due([SHARD], limit=10)
    (retention,) = due.timers
    assert retention.kind is DueKind.RETENTION
    assert await carrier.store.delete_run(retention)
    assert isinstance(await carrier.store.start(start_of()), Started)


async def test_rows_of_ids_with_colons_are_told_apart(carrier: Carrier) -> None:
    await armed(carrier, DueKind.EXTERNAL)
    assert await carrier.store.row(DueKind.EXTERNAL, WorkflowId("order"), RUN, EVENT) is None
    assert (await found(carrier, DueKind.EXTERNAL)).workflow_id == W
