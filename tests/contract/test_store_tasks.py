"""What a store counts and holds back between two workflow tasks of a run."""

from __future__ import annotations

from orchestrator.core.transition import TaskFailure
from orchestrator.ids import CommitToken, EventId
from orchestrator.ports.store import Appended, Committed, Store, Synced
from tests.contract.store_carriers import Carrier, W, commit_of, signal, start_of, sync


async def begin(store: Store) -> Synced:
    """A task of a repeated wake-up."""
    synced = await store.sync(W, task_timeout_ms=10_000, count_attempt=True)
    assert synced is not None
    return synced


def failure_of(synced: Synced, new_token: str, *, attempt: int = 0) -> TaskFailure:
    return TaskFailure(
        workflow_id=W,
        run_id=synced.head.run_id,
        token=synced.head.token,
        new_token=CommitToken(new_token),
        first_event_id=EventId(synced.head.last_event_id + 1),
        events=(),
        backoff_ms=1_000,
        problem="a bug",
        attempt=attempt,
    )


async def wake_again(carrier: Carrier, after_ms: int) -> None:
    await carrier.advance(after_ms)
    repeat = await carrier.store.repeat_wakeup(W)
    assert repeat is not None
    assert repeat.first


async def test_a_recorded_failure_counts_once_and_forgets_the_attempts(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    await begin(carrier.store)
    failure = failure_of(await begin(carrier.store), "t1")
    for _ in range(2):
        assert isinstance(await carrier.store.fail_task(failure), Committed)
    await wake_again(carrier, 1_000)
    head = (await begin(carrier.store)).head
    assert (head.failures, head.attempt) == (1, 1)


async def test_a_parked_run_keeps_its_crashes_in_mind(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    failure = failure_of(await begin(carrier.store), "t1", attempt=3)
    await carrier.store.fail_task(failure)
    await wake_again(carrier, 1_000)
    assert (await begin(carrier.store)).head.attempt == 4


async def test_a_commit_forgets_failures_and_attempts(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    await carrier.store.fail_task(failure_of(await begin(carrier.store), "t1", attempt=3))
    await wake_again(carrier, 1_000)
    await carrier.store.commit(commit_of(await begin(carrier.store), "t2"))
    head = (await sync(carrier.store)).head
    assert (head.failures, head.attempt, head.problem) == (0, 0, None)


async def test_what_was_handed_back_is_not_counted(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    await begin(carrier.store)
    attempt = (await begin(carrier.store)).head.attempt
    for _ in range(2):
        await carrier.store.hand_back(W, delay_ms=5_000, attempt=attempt - 1)
    await wake_again(carrier, 5_000)
    await carrier.store.hand_back(W, delay_ms=5_000, attempt=7)
    await wake_again(carrier, 5_000)
    assert (await sync(carrier.store)).head.attempt == 1


async def test_a_run_that_was_handed_back_says_why_until_its_next_commit(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    await begin(carrier.store)
    await carrier.store.hand_back(W, delay_ms=5_000, problem="it lacks a type")
    view = await carrier.store.run(W)
    assert view is not None
    assert view.problem == "it lacks a type"
    await wake_again(carrier, 5_000)
    await carrier.store.commit(commit_of(await begin(carrier.store), "t1"))
    assert (await sync(carrier.store)).head.problem is None


async def test_a_run_that_rests_shows_nothing_and_is_not_moved_before_its_time(
    carrier: Carrier,
) -> None:
    await carrier.store.start(start_of())
    await carrier.store.fail_task(failure_of(await sync(carrier.store), "t1"))
    appended = await carrier.store.append(signal())
    assert isinstance(appended, Appended)
    assert appended.wake is None
    early = await begin(carrier.store)
    assert (early.held_back, early.unread, early.head.attempt) == (True, (), 0)
    assert early.head.problem == "a bug"
    await wake_again(carrier, 1_000)
    in_time = await sync(carrier.store)
    assert (in_time.held_back, len(in_time.unread)) == (False, 2)


async def test_a_delayed_start_is_held_back_and_a_quiet_run_is_not(carrier: Carrier) -> None:
    await carrier.store.start(start_of(first_task_delay_ms=60_000))
    assert (await begin(carrier.store)).held_back
    await carrier.store.append(signal())
    await carrier.store.commit(commit_of(await sync(carrier.store), "t1"))
    assert not (await sync(carrier.store)).held_back


async def test_as_many_entries_are_read_as_asked_for(carrier: Carrier) -> None:
    await carrier.store.start(start_of())
    for _ in range(3):
        await carrier.store.append(signal())
    for entries_max, read in ((2, 2), (10_000, 4)):
        synced = await carrier.store.sync(
            W, task_timeout_ms=10_000, count_attempt=False, entries_max=entries_max
        )
        assert synced is not None
        assert len(synced.unread) == read
