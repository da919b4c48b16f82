"""How far updates have come, and why some were not let in: what every store keeps."""

from __future__ import annotations

import asyncio

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.transition import Close, UpdateAnswer, UpdateStage
from orchestrator.ids import EventId, OperationId, RunId, ShardId, UpdateId
from orchestrator.limits import RETENTION_MS, UPDATE_REPLY_TTL_MS
from orchestrator.ports.store import Committed, Stale, UpdateView
from orchestrator.wire.events import HistoryEvent, WorkflowExecutionUpdateCompleted
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.messages import UpdateReply
from orchestrator.wire.options import RunStatus
from tests.contract.store_carriers import BEGIN_MS, Carrier, W, commit_of, start_of, sync

RUN = RunId("run-1")
UPDATE = UpdateId("update {1}")
OPERATION = OperationId("operation:1%")
ACCEPTED = UpdateStage(update_id=UPDATE, accepted_event_id=EventId(2))
COMPLETED = UpdateStage(
    update_id=UPDATE, accepted_event_id=EventId(2), completed_event_id=EventId(3)
)
REPLY = UpdateReply(failure=Failure(message="no room", detail=ApplicationFailure()))
ANSWER = UpdateAnswer(operation_id=OPERATION, reply=REPLY)


def outcome(event_id: int) -> HistoryEvent:
    attributes = WorkflowExecutionUpdateCompleted(update_id=UPDATE, accepted_event_id=2)
    return HistoryEvent(event_id=event_id, time_ms=BEGIN_MS, attributes=attributes)


async def view(carrier: Carrier, run_id: RunId | None = None) -> UpdateView:
    found = await carrier.store.update(W, run_id, UPDATE, operation_id=OPERATION)
    assert found is not None
    return found


async def commit(carrier: Carrier, token: str, **fields: object) -> None:
    answer = await carrier.store.commit(commit_of(await sync(carrier.store), token, **fields))
    assert isinstance(answer, Committed)


async def test_an_update_is_accepted_then_completed_by_commits(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    assert await view(carrier) == UpdateView(run_id=RUN, status=RunStatus.RUNNING)
    await commit(carrier, "t1", updates=(ACCEPTED,))
    accepted = await view(carrier)
    assert (accepted.accepted_event_id, accepted.completed) == (2, None)
    await commit(carrier, "t2", events=(outcome(3),), updates=(COMPLETED,))
    completed = await view(carrier, RUN)
    assert (completed.accepted_event_id, completed.completed) == (2, outcome(3))


async def test_an_update_can_be_looked_at_as_long_as_its_run_is_kept(carrier: Carrier) -> None:
    store = carrier.store
    await store.start(start_of())
    close = Close(status=RunStatus.COMPLETED, nothing_left=True)
    await commit(carrier, "t1", updates=(ACCEPTED,))
    await commit(carrier, "t2", events=(outcome(3),), updates=(COMPLETED,), close=close)
    closed = await view(carrier, RUN)
    assert (closed.status, closed.completed) == (RunStatus.COMPLETED, outcome(3))
    await carrier.advance(RETENTION_MS)
    (due,) = await store.due([ShardId(0)], limit=10)
    assert await store.delete_run(due.timers[0])
    assert await store.update(W, RUN, UPDATE) is None
    await store.start(start_of())
    assert (await view(carrier, RUN)).accepted_event_id is None


async def test_a_stale_commit_tells_nothing_of_updates(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    late = commit_of(await sync(carrier.store), "t9", updates=(ACCEPTED,), answers=(ANSWER,))
    await commit(carrier, "t1")
    assert isinstance(await carrier.store.commit(late), Stale)
    assert await view(carrier) == UpdateView(run_id=RUN, status=RunStatus.RUNNING)


async def test_why_an_update_was_not_let_in_is_kept_for_a_minute(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    await commit(carrier, "t1", events=(), answers=(ANSWER,))
    assert (await view(carrier)).reply == REPLY
    other = await carrier.store.update(W, None, UPDATE, operation_id=OperationId("other"))
    assert other is not None
    assert other.reply is None
    if isinstance(carrier.store, MemoryStore):  # Redis lets keys go by its own clock.
        await carrier.advance(UPDATE_REPLY_TTL_MS)
        assert (await view(carrier)).reply is None


async def test_many_replies_and_stages_fit_into_one_commit(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    names = [f"{n}" for n in range(600)]
    stages = tuple(
        UpdateStage(update_id=UpdateId(name), accepted_event_id=EventId(2)) for name in names
    )
    answers = tuple(UpdateAnswer(operation_id=OperationId(n), reply=REPLY) for n in names)
    await commit(carrier, "t1", updates=stages, answers=answers)
    for name in (names[0], names[-1]):
        found = await carrier.store.update(
            W, None, UpdateId(name), operation_id=OperationId(f"none of {name}")
        )
        assert found is not None
        assert found.accepted_event_id == 2


async def test_who_waits_for_updates_is_told_of_them_and_of_the_close(carrier: Carrier) -> None:
    updates: list[str] = []
    closes: list[str] = []
    watches = [
        await carrier.store.watch(W, lambda: updates.append("told"), updates=True),
        await carrier.store.watch(W, lambda: closes.append("told")),
    ]
    await carrier.store.start(start_of())
    await commit(carrier, "t1", updates=(ACCEPTED,))
    await commit(carrier, "t2", events=(), answers=(ANSWER,))
    await commit(carrier, "t3", close=Close(status=RunStatus.COMPLETED))
    await heard(updates, 3)
    await heard(closes, 1)
    for watch in watches:
        await watch.close()
    assert (len(updates), len(closes)) == (3, 1)


async def test_an_update_of_a_run_that_is_not_there_is_none(carrier: Carrier) -> None:
    assert await carrier.store.update(W, None, UPDATE) is None
    await carrier.store.start(start_of())
    assert await carrier.store.update(W, RunId("run-9"), UPDATE) is None


async def heard(notices: list[str], count: int) -> None:
    """Wait until so many notices have come."""
    for _ in range(500):
        if len(notices) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"expected {count} notices, found {len(notices)}")
