"""Activity attempts, presence and membership: what every store does."""

from __future__ import annotations

import asyncio

import pytest_asyncio

from orchestrator.core.transition import (
    ActivityToCancel,
    AttemptName,
    BeginAttempt,
    FinishAttempt,
    Heartbeat,
    Redispatch,
    Retry,
)
from orchestrator.ids import ActivityKey, AttemptToken, EventId, ProcessName, RunId, ShardId
from orchestrator.ports.store import (
    AlreadyDone,
    AlreadyRunning,
    AttemptState,
    Beaten,
    Begun,
    Committed,
    Finished,
    Gone,
    Redispatched,
    RetryAt,
)
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import ActivityCanceled, ActivityCompleted, AttemptStarted
from orchestrator.wire.payload import Payload
from tests.contract.store_carriers import (
    BEGIN_MS,
    Carrier,
    W,
    activity,
    attempt,
    commit_of,
    start_of,
    sync,
)

FAILURE = Failure(message="no", detail=ApplicationFailure())
ENTRY = ActivityCompleted(
    run_id="run-1",
    scheduled_event_id=2,
    started=AttemptStarted(attempt=1, time_ms=BEGIN_MS),
    result=Payload.of_json(b'"done"'),
)
CANCELED = ActivityCanceled(run_id="run-1", scheduled_event_id=2)
ALICE, BOB = ProcessName("alice"), ProcessName("bob")


def begin(token: str = "a", number: int = 1, take_over: str | None = None) -> BeginAttempt:
    return BeginAttempt(
        name=attempt(number),
        token=AttemptToken(token),
        holder=ALICE,
        due_in_ms=5_000,
        take_over=None if take_over is None else AttemptToken(take_over),
    )


def finish(
    token: str | None = "a", *, retry: bool = False, due_only: bool = False
) -> FinishAttempt:
    return FinishAttempt(
        name=attempt(),
        token=None if token is None else AttemptToken(token),
        entry=ENTRY,
        retry=Retry(delay_ms=1_000, failure=FAILURE) if retry else None,
        due_only=due_only,
    )


def redispatch(number: int, *, token: str | None = None, name: int = 1) -> Redispatch:
    return Redispatch(
        name=attempt(name),
        token=None if token is None else AttemptToken(token),
        attempt=number,
        due_in_ms=2_000,
        lost=token is not None,
    )


@pytest_asyncio.fixture
async def scheduled(carrier: Carrier) -> Carrier:
    """A run with one scheduled activity, number 2."""
    await carrier.store.start(start_of())
    transition = commit_of(
        await sync(carrier.store),
        "t1",
        activities=(activity(deadline_ms=BEGIN_MS + 60_000),),
    )
    assert isinstance(await carrier.store.commit(transition), Committed)
    return carrier


async def test_one_attempt_begins_once(scheduled: Carrier) -> None:
    store = scheduled.store
    first = await store.begin(begin("a"))
    assert isinstance(first, Begun)
    assert await store.begin(begin("a")) == first
    rival = await store.begin(begin("b"))
    assert isinstance(rival, AlreadyRunning)
    assert (rival.token, rival.holder) == ("a", "alice")
    assert isinstance(await store.begin(begin("b", number=2)), Gone)
    record = await store.record(W, RunId("run-1"), EventId(2))
    assert record is not None
    assert (record.state, record.started_at_ms) == (AttemptState.RUNNING, BEGIN_MS)
    assert await store.records(W, RunId("run-1")) == (record,)


async def test_a_task_of_another_time_line_is_gone(scheduled: Carrier) -> None:
    name = attempt(key="other")
    token = AttemptToken("a")
    store = scheduled.store
    assert isinstance(
        await store.begin(BeginAttempt(name=name, token=token, holder=ALICE, due_in_ms=1)), Gone
    )
    assert isinstance(await store.finish(FinishAttempt(name=name, token=token, entry=ENTRY)), Gone)
    beat = Heartbeat(name=name, token=token, details=None, due_in_ms=None)
    assert isinstance(await store.heartbeat(beat), Gone)


async def test_a_take_over_is_a_new_attempt(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    taken = await store.begin(begin("b", take_over="a"))
    assert isinstance(taken, Begun)
    assert taken.attempt == 2
    assert await store.begin(begin("b", take_over="a")) == taken
    assert isinstance(await store.begin(begin("c", take_over="a")), Gone)
    assert isinstance(await store.finish(finish("a")), Gone)
    record = await store.record(W, RunId("run-1"), EventId(2))
    assert record is not None
    assert record.losses == 1


async def test_a_heartbeat_keeps_details_for_the_next_attempt(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    details = (Payload.of_json(b"42"),)
    beat = Heartbeat(name=attempt(), token=AttemptToken("a"), details=details, due_in_ms=1_000)
    beaten = await store.heartbeat(beat)
    assert isinstance(beaten, Beaten)
    assert not beaten.cancel_requested
    retry = await store.finish(finish("a", retry=True))
    assert isinstance(retry, RetryAt)
    assert await store.finish(finish("a", retry=True)) == retry
    assert (retry.attempt, retry.at_ms) == (2, BEGIN_MS + 1_000)
    assert isinstance(await store.redispatch(redispatch(2)), Gone)
    await scheduled.advance(1_000)
    again = await store.redispatch(redispatch(2))
    assert isinstance(again, Redispatched)
    assert (again.record.attempt, again.record.state) == (2, AttemptState.SCHEDULED)
    begun = await store.begin(begin("b", number=2))
    assert isinstance(begun, Begun)
    assert (begun.details, begun.last_failure) == (details, FAILURE)


async def test_a_finish_puts_the_outcome_into_the_inbox_once(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    assert isinstance(await store.finish(finish("b")), Gone)
    done = await store.finish(finish("a"))
    assert isinstance(done, Finished)
    assert done.wake is not None
    assert done.wake.entry is not None
    assert done.wake.entry.body == ENTRY
    assert isinstance(await store.finish(finish("a")), Finished)
    assert isinstance(await store.begin(begin("c")), AlreadyDone)
    synced = await sync(store)
    assert [entry.body for entry in synced.unread] == [ENTRY]
    await store.commit(commit_of(synced, "t2", resolved=(EventId(2),)))
    assert await store.records(W, RunId("run-1")) == ()
    assert isinstance(await store.finish(finish("a")), Gone)


async def test_a_finish_whose_begin_was_lost_is_taken(scheduled: Carrier) -> None:
    assert isinstance(await scheduled.store.finish(finish("a")), Finished)


async def test_a_retry_after_the_deadline_is_not_taken(scheduled: Carrier) -> None:
    await scheduled.store.begin(begin("a"))
    await scheduled.advance(59_000)
    assert isinstance(await scheduled.store.finish(finish("a", retry=True)), Finished)


async def test_a_time_out_waits_for_its_row(scheduled: Carrier) -> None:
    store = scheduled.store
    assert isinstance(await store.finish(finish(None, due_only=True)), Gone)
    await store.postpone(attempt(), due_in_ms=3_000)
    await scheduled.advance(2_000)
    assert isinstance(await store.finish(finish(None, due_only=True)), Gone)
    await scheduled.advance(1_000)
    assert isinstance(await store.finish(finish(None, due_only=True)), Finished)


async def test_an_attempt_nobody_has_begun_is_published_again(scheduled: Carrier) -> None:
    await scheduled.advance(2_000)
    again = await scheduled.store.redispatch(redispatch(1))
    assert isinstance(again, Redispatched)
    assert (again.record.attempt, again.record.dispatches) == (1, 1)
    assert isinstance(await scheduled.store.redispatch(redispatch(1)), Gone)


async def test_a_lost_holder_is_replaced_by_its_row(scheduled: Carrier) -> None:
    await scheduled.store.begin(begin("a"))
    await scheduled.advance(5_000)
    assert isinstance(await scheduled.store.redispatch(redispatch(2)), Gone)
    again = await scheduled.store.redispatch(redispatch(2, token="a"))
    assert isinstance(again, Redispatched)
    assert (again.record.attempt, again.record.losses) == (2, 1)


async def test_cancelling_what_nobody_runs_puts_the_entry_into_the_inbox(
    scheduled: Carrier,
) -> None:
    cancels = (ActivityToCancel(event_id=EventId(2), entry=CANCELED),)
    answer = await scheduled.store.commit(
        commit_of(await sync(scheduled.store), "t2", cancels=cancels)
    )
    assert isinstance(answer, Committed)
    assert [entry.body for entry in answer.unread] == [CANCELED]
    assert isinstance(await scheduled.store.begin(begin("a")), Gone)


async def test_cancelling_what_runs_tells_its_holder_and_forbids_a_retry(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    told: asyncio.Queue[AttemptName] = asyncio.Queue()
    await store.listen(ALICE, told.put_nowait)
    await store.begin(begin("a"))
    cancels = (ActivityToCancel(event_id=EventId(2), entry=CANCELED),)
    answer = await store.commit(commit_of(await sync(store), "t2", cancels=cancels))
    assert isinstance(answer, Committed)
    assert answer.unread == ()
    assert await asyncio.wait_for(told.get(), timeout=5) == attempt()
    beat = Heartbeat(name=attempt(), token=AttemptToken("a"), details=None, due_in_ms=None)
    beaten = await store.heartbeat(beat)
    assert isinstance(beaten, Beaten)
    assert beaten.cancel_requested
    assert isinstance(await store.finish(finish("a", retry=True)), Finished)


async def test_members_join_and_leave(carrier: Carrier) -> None:
    assert list(await carrier.store.join(BOB)) == [BOB]
    assert list(await carrier.store.join(ALICE)) == [ALICE, BOB]
    await carrier.store.leave(BOB)
    assert list(await carrier.store.join(ALICE)) == [ALICE]


async def test_a_process_lives_while_it_listens_and_announces(carrier: Carrier) -> None:
    await carrier.store.announce(ALICE)
    assert not await carrier.store.is_alive(ALICE)
    await carrier.store.listen(ALICE, lambda name: None)
    assert await carrier.store.is_alive(ALICE)
    await carrier.store.withdraw(ALICE)
    assert not await carrier.store.is_alive(ALICE)


async def test_a_close_is_told_to_who_watches(carrier: Carrier) -> None:
    from tests.contract.test_store_runs import terminate

    noticed = asyncio.Event()
    await carrier.store.start(start_of())
    watch = await carrier.store.watch(W, noticed.set)
    await carrier.store.force_close(terminate())
    await asyncio.wait_for(noticed.wait(), timeout=5)
    await watch.close()


async def test_attempts_that_nobody_has_begun_can_be_made_due(carrier: Carrier) -> None:
    store = carrier.store
    await store.start(start_of())
    both = (activity(), activity(3, key=ActivityKey("key-2")))
    await store.commit(commit_of(await sync(store), "t1", activities=both))
    assert isinstance(await store.begin(begin()), Begun)
    assert await store.dispatch_now([ShardId(0)]) == 1
    [due] = await store.due([ShardId(0)], limit=10)
    assert [(row.event_id, row.due_at_ms) for row in due.timers] == [(3, BEGIN_MS)]
