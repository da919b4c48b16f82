"""Starts, appends, workflow tasks and commits: what every store does."""

from __future__ import annotations

import pytest

from orchestrator.core.transition import Close, ForcedClose, TaskFailure, TimerToArm
from orchestrator.ids import CommitToken, EventId, Mark, RunId, ShardId
from orchestrator.limits import RETENTION_MS
from orchestrator.ports.store import (
    Appended,
    Attached,
    Closed,
    Committed,
    DueKind,
    Duplicate,
    Ending,
    NotOpen,
    Refused,
    Stale,
    Started,
    StartRefused,
)
from orchestrator.wire.events import (
    HistoryEvent,
    WorkflowExecutionCompleted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from orchestrator.wire.inbox import FirstTask, SignalReceived
from orchestrator.wire.options import RunStatus
from tests.contract.store_carriers import (
    BEGIN_MS,
    Carrier,
    W,
    commit_of,
    new_run,
    signal,
    start_of,
    sync,
    timer_events,
)

TERMINATED = WorkflowExecutionTerminated(reason="enough")
SHARD = ShardId(0)


def terminate(**fields: object) -> ForcedClose:
    return ForcedClose(workflow_id=W, event=TERMINATED, status=RunStatus.TERMINATED, **fields)  # type: ignore[arg-type]  # fields of ForcedClose


async def close_run(carrier: Carrier, status: RunStatus) -> None:
    synced = await sync(carrier.store)
    answer = await carrier.store.commit(commit_of(synced, "end", close=Close(status=status)))
    assert isinstance(answer, Committed)


async def test_a_start_makes_event_one_a_first_task_and_a_wake_up(carrier: Carrier) -> None:
    started = await carrier.store.start(start_of())
    assert isinstance(started, Started)
    assert started.new
    assert started.now_ms == BEGIN_MS
    assert started.wake is not None
    assert started.wake.task_queue == "orders"
    synced = await sync(carrier.store)
    assert [entry.body for entry in synced.unread] == [FirstTask(run_id="run-1")]
    first = await carrier.store.event(W, RunId("run-1"), 1)
    assert first is not None
    assert (first.time_ms, first.type) == (BEGIN_MS, "WorkflowExecutionStarted")


async def test_a_repeated_start_finds_its_own_run(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    again = await carrier.store.start(start_of())
    assert isinstance(again, Started)
    assert not again.new
    assert again.wake is not None
    await close_run(carrier, RunStatus.COMPLETED)
    late = await carrier.store.start(start_of())
    assert isinstance(late, Started)
    assert (late.new, late.wake) == (False, None)


async def test_a_start_meets_an_open_run(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    refused = await carrier.store.start(start_of("run-2"))
    assert isinstance(refused, StartRefused)
    assert (refused.run_id, refused.workflow_type) == ("run-1", "Order")
    attached = await carrier.store.start(start_of("run-2", attach=True))
    assert isinstance(attached, Attached)
    assert attached.run_id == "run-1"
    replaced = await carrier.store.start(start_of("run-2", terminate=TERMINATED))
    assert isinstance(replaced, Started)
    old = await carrier.store.run(W, RunId("run-1"))
    assert old is not None
    assert (old.status, old.newest_run_id) == (RunStatus.TERMINATED, "run-2")
    assert old.closing is not None
    assert old.closing.attributes == TERMINATED


@pytest.mark.parametrize(
    ("status", "policies", "starts"),
    [
        (RunStatus.COMPLETED, {}, True),
        (RunStatus.COMPLETED, {"after_completed": False}, False),
        (RunStatus.COMPLETED, {"after_failed": False}, True),
        (RunStatus.FAILED, {"after_failed": False}, False),
        (RunStatus.FAILED, {"after_completed": False}, True),
    ],
)
async def test_a_start_meets_a_closed_run(
    carrier: Carrier, status: RunStatus, policies: dict[str, bool], starts: bool
) -> None:
    await carrier.store.start(start_of())
    await close_run(carrier, status)
    answer = await carrier.store.start(start_of("run-2", **policies))
    assert isinstance(answer, Started if starts else StartRefused)


async def test_a_start_delay_holds_the_first_task_back_until_it_is_due_or_signalled(
    carrier: Carrier,
) -> None:
    started = await carrier.store.start(start_of(first_task_delay_ms=60_000))
    assert isinstance(started, Started)
    assert started.wake is None
    assert (await sync(carrier.store)).unread == ()
    appended = await carrier.store.append(signal())
    assert isinstance(appended, Appended)
    assert appended.wake is not None
    assert len((await sync(carrier.store)).unread) == 2


async def test_many_signals_are_one_wake_up(carrier: Carrier) -> None:
    assert await carrier.store.append(signal()) == NotOpen(
        run_id=None, status=None, now_ms=(await carrier.store.due([SHARD], limit=1))[0].now_ms
    )
    await carrier.store.start(start_of())
    await carrier.store.commit(commit_of(await sync(carrier.store), "t1", sticky="mine"))
    first = await carrier.store.append(signal("a"))
    assert isinstance(first, Appended)
    assert first.wake is not None
    assert first.wake.sticky == "mine"
    assert first.wake.entry is not None
    assert first.wake.entry.number == first.number == 2
    second = await carrier.store.append(signal("b"))
    assert isinstance(second, Appended)
    assert (second.number, second.wake) == (3, None)
    assert isinstance(await carrier.store.append(signal("a")), Duplicate)
    head = (await sync(carrier.store)).head
    assert (head.inbox_last, head.consumed, head.message_last) == (3, 1, 3)


async def test_an_append_for_another_run_or_a_closed_one_is_refused(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    other = await carrier.store.append(signal(run_id=RunId("run-0")))
    assert isinstance(other, NotOpen)
    assert other.status is None
    chain = await carrier.store.append(signal(first_run_id=RunId("run-0")))
    assert isinstance(chain, NotOpen)
    await close_run(carrier, RunStatus.COMPLETED)
    closed = await carrier.store.append(signal())
    assert isinstance(closed, NotOpen)
    assert (closed.run_id, closed.status) == ("run-1", RunStatus.COMPLETED)


async def test_a_sync_counts_the_attempt_when_asked_and_moves_the_row(carrier: Carrier) -> None:
    assert await carrier.store.sync(W, task_timeout_ms=1, count_attempt=True) is None
    await carrier.store.start(start_of())
    synced = await carrier.store.sync(W, task_timeout_ms=10_000, count_attempt=True)
    assert synced is not None
    assert synced.head.attempt == 1
    await carrier.advance(9_999)
    assert await carrier.store.repeat_wakeup(W) is None
    await carrier.store.extend(W, task_timeout_ms=10_000)
    await carrier.advance(9_999)
    assert await carrier.store.repeat_wakeup(W) is None
    await carrier.store.hand_back(W, delay_ms=5_000)
    await carrier.advance(5_000)
    repeat = await carrier.store.repeat_wakeup(W)
    assert repeat is not None
    assert repeat.first
    await carrier.store.commit(commit_of(await sync(carrier.store), "t1"))
    assert (await sync(carrier.store)).head.attempt == 0


async def test_a_commit_of_everything_leaves_no_row_and_answers_the_same_again(
    carrier: Carrier,
) -> None:
    await carrier.store.start(start_of())
    transition = commit_of(await sync(carrier.store), "t1")
    assert isinstance(await carrier.store.commit(transition), Committed)
    again = await carrier.store.commit(transition)
    assert isinstance(again, Committed)
    assert again.unread == ()
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert due.next_due_ms is None
    pages = [page async for page in carrier.store.history(W, RunId("run-1"))]
    assert [event.event_id for page in pages for event in page] == [1, 2]


async def test_a_commit_answers_with_the_next_page(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    await carrier.store.append(signal())
    answer = await carrier.store.commit(commit_of(synced, "t1"))
    assert isinstance(answer, Committed)
    assert [type(entry.body) for entry in answer.unread] == [SignalReceived]


async def test_a_commit_that_was_overtaken_is_stale(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    wrong_mark = commit_of(synced, "t1", consumed_mark=Mark("other"))
    assert isinstance(await carrier.store.commit(wrong_mark), Stale)
    wrong_token = commit_of(synced, "t1", token=CommitToken("other"))
    assert isinstance(await carrier.store.commit(wrong_token), Stale)
    gap = commit_of(synced, "t1", first_event_id=EventId(7))
    assert isinstance(await carrier.store.commit(gap), Stale)
    assert isinstance(await carrier.store.commit(commit_of(synced, "t1")), Committed)
    assert isinstance(await carrier.store.commit(commit_of(synced, "t2")), Stale)


async def test_a_close_that_has_not_seen_a_message_is_refused_unless_forced(
    carrier: Carrier,
) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    await carrier.store.append(signal())
    close = Close(status=RunStatus.COMPLETED)
    refused = await carrier.store.commit(commit_of(synced, "t1", close=close))
    assert isinstance(refused, Refused)
    assert refused.unseen == 1
    forced = Close(status=RunStatus.COMPLETED, forced=True)
    assert isinstance(await carrier.store.commit(commit_of(synced, "t1", close=forced)), Committed)
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert [row.kind for row in due.timers] == [DueKind.AFTER_CLOSE]
    assert due.wakeups == ()


async def test_continue_as_new_keeps_what_is_unread(carrier: Carrier) -> None:
    await carrier.store.start(start_of(run_timeout_ms=60_000))
    synced = await sync(carrier.store)
    await carrier.store.append(signal())
    close = Close(
        status=RunStatus.CONTINUED_AS_NEW,
        forced=True,
        successor=new_run("run-2"),
        keep_inbox=True,
    )
    transition = commit_of(synced, "t1", close=close)
    for _ in range(2):
        answer = await carrier.store.commit(transition)
        assert isinstance(answer, Committed)
        assert answer.woken is not None
    successor = await sync(carrier.store)
    assert successor.head.run_id == "run-2"
    bodies = [type(entry.body) for entry in successor.unread]
    assert bodies == [SignalReceived, FirstTask]


async def test_an_unfinished_task_keeps_its_row(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    await carrier.store.commit(commit_of(await sync(carrier.store), "t1", unfinished=True))
    synced = await sync(carrier.store)
    assert (synced.head.unfinished, synced.unread) == (True, ())
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert due.next_due_ms is not None


async def test_a_failed_task_consumes_nothing_and_backs_off(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    synced = await sync(carrier.store)
    failure = TaskFailure(
        workflow_id=W,
        run_id=RunId("run-1"),
        token=synced.head.token,
        new_token=CommitToken("t1"),
        first_event_id=EventId(2),
        events=timer_events(2, 1),
        backoff_ms=1_000,
        problem="no such activity",
    )
    for _ in range(2):
        assert isinstance(await carrier.store.fail_task(failure), Committed)
    late = TaskFailure(
        **{
            **{n: getattr(failure, n) for n in failure.__struct_fields__},
            "new_token": CommitToken("t9"),
        }
    )
    assert isinstance(await carrier.store.fail_task(late), Stale)
    appended = await carrier.store.append(signal())
    assert isinstance(appended, Appended)
    assert appended.wake is None
    view = await carrier.store.run(W)
    assert view is not None
    assert (view.problem, view.history_length) == ("no such activity", 2)
    await carrier.advance(1_000)
    repeat = await carrier.store.repeat_wakeup(W)
    assert repeat is not None
    assert repeat.first
    assert len((await sync(carrier.store)).unread) == 2


async def test_a_forced_close_needs_no_token_and_answers_the_same_again(carrier: Carrier) -> None:
    assert isinstance(await carrier.store.force_close(terminate()), NotOpen)
    await carrier.store.start(start_of())
    other = await carrier.store.force_close(terminate(first_run_id=RunId("run-0")))
    assert isinstance(other, NotOpen)
    for _ in range(2):
        closed = await carrier.store.force_close(terminate())
        assert isinstance(closed, Closed)
        assert closed.run_id == "run-1"
    synced = await sync(carrier.store)
    assert (synced.head.status, synced.unread) == (RunStatus.TERMINATED, ())
    assert synced.head.last_event_id == 2


async def test_who_waits_for_the_end_of_a_run_reads_its_closing_event(carrier: Carrier) -> None:
    store = carrier.store
    assert await store.ending(W) is None
    await store.start(start_of())
    assert await store.ending(W) == Ending(run_id=RunId("run-1"))
    await store.force_close(terminate())
    closed = await store.ending(W, RunId("run-1"))
    assert closed is not None
    assert closed.closing is not None
    assert (closed.closing.event_id, closed.closing.attributes) == (2, TERMINATED)
    await store.start(start_of("run-2"))
    assert await store.ending(W) == Ending(run_id=RunId("run-2"))
    assert await store.ending(W, RunId("run-1")) == closed
    assert await store.ending(W, RunId("run-0")) is None


async def test_a_run_time_out_waits_for_its_row(carrier: Carrier) -> None:
    await carrier.store.start(start_of(run_timeout_ms=5_000))
    close = ForcedClose(
        workflow_id=W,
        event=WorkflowExecutionTimedOut(),
        status=RunStatus.TIMED_OUT,
        run_id=RunId("run-1"),
        successor=new_run("run-2", first_task_delay_ms=1_000),
        due_only=True,
    )
    assert isinstance(await carrier.store.force_close(close), NotOpen)
    await carrier.advance(5_000)
    for _ in range(2):
        closed = await carrier.store.force_close(close)
        assert isinstance(closed, Closed)
        assert closed.woken is None
    assert (await sync(carrier.store)).head.run_id == "run-2"


async def test_timers_are_armed_disarmed_and_fire_once(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    timers = tuple(TimerToArm(event_id=EventId(n), fire_at_ms=BEGIN_MS + n * 1_000) for n in (2, 3))
    first = commit_of(await sync(carrier.store), "t1", events=timer_events(2, 2), timers=timers)
    await carrier.store.commit(first)
    await carrier.store.commit(
        commit_of(await sync(carrier.store), "t2", events=(), disarm=(EventId(3),))
    )
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert (due.timers, due.next_due_ms) == ((), BEGIN_MS + 2_000)
    await carrier.advance(2_000)
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert [(row.kind, row.event_id) for row in due.timers] == [(DueKind.TIMER, 2)]
    assert due.next_due_ms is None
    fired = await carrier.store.fire_timer(due.timers[0])
    assert isinstance(fired, Appended)
    assert fired.wake is not None
    assert await carrier.store.fire_timer(due.timers[0]) is None


async def test_a_closed_run_is_kept_until_retention_takes_it(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    closing = HistoryEvent(event_id=2, time_ms=BEGIN_MS, attributes=WorkflowExecutionCompleted())
    timer = TimerToArm(event_id=EventId(2), fire_at_ms=BEGIN_MS)
    await carrier.store.commit(
        commit_of(await sync(carrier.store), "t1", events=timer_events(2, 1), timers=(timer,))
    )
    closing = HistoryEvent(event_id=3, time_ms=BEGIN_MS, attributes=WorkflowExecutionCompleted())
    await carrier.store.commit(
        commit_of(
            await sync(carrier.store),
            "t2",
            events=(closing,),
            close=Close(status=RunStatus.COMPLETED),
        )
    )
    rows = (await carrier.store.due([SHARD], limit=10))[0].timers
    after_close = next(row for row in rows if row.kind is DueKind.AFTER_CLOSE)
    await carrier.store.after_close_done(after_close, retention_ms=1_000)
    await carrier.store.after_close_done(after_close, retention_ms=9_000)
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert (due.timers, due.next_due_ms) == ((), BEGIN_MS + 1_000)
    view = await carrier.store.run(W)
    assert view is not None
    assert (view.closing, view.closed_at_ms) == (closing, BEGIN_MS)
    listed = [row async for page in carrier.store.list_runs() for row in page]
    assert [(row.run_id, row.status) for row in listed] == [("run-1", RunStatus.COMPLETED)]
    open_runs = carrier.store.list_runs(status=RunStatus.RUNNING)
    assert [row async for page in open_runs for row in page] == []
    await carrier.advance(1_000)
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert await carrier.store.delete_run(due.timers[0])
    assert not await carrier.store.delete_run(due.timers[0])
    assert await carrier.store.run(W) is None
    assert [row async for page in carrier.store.list_runs() for row in page] == []


async def test_a_close_that_leaves_nothing_is_filed_at_once(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    closing = HistoryEvent(event_id=2, time_ms=BEGIN_MS, attributes=WorkflowExecutionCompleted())
    close = Close(status=RunStatus.COMPLETED, nothing_left=True)
    transition = commit_of(await sync(carrier.store), "t1", events=(closing,), close=close)
    for _ in range(2):
        assert isinstance(await carrier.store.commit(transition), Committed)
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert (due.timers, due.next_due_ms) == ((), BEGIN_MS + RETENTION_MS)
    open_runs = carrier.store.list_runs(status=RunStatus.RUNNING)
    assert [row async for page in open_runs for row in page] == []
    await carrier.advance(RETENTION_MS)
    due = (await carrier.store.due([SHARD], limit=10))[0]
    assert [row.kind for row in due.timers] == [DueKind.RETENTION]
    assert await carrier.store.delete_run(due.timers[0])


async def test_wake_ups_are_repeated_ever_more_slowly(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    for wait_ms in (2_000, 5_000, 10_000, 20_000, 30_000, 30_000):
        await carrier.advance(wait_ms - 1)
        assert await carrier.store.repeat_wakeup(W) is None
        await carrier.advance(1)
        repeat = await carrier.store.repeat_wakeup(W)
        assert repeat is not None
        assert not repeat.first
    assert repeat.waiting_ms == 97_000
    assert await carrier.store.wake_now([SHARD], [repeat.task_queue]) == 1
    assert await carrier.store.repeat_wakeup(W) is not None
