"""How a cancellation, the end of its time or of its worker reaches the code of an activity, and
what becomes of the attempt."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator import activity
from orchestrator.activity import ActivityCancellationDetails
from orchestrator.core.transition import BeginAttempt
from orchestrator.exceptions import CancelledError
from orchestrator.ports.store import BeginAnswer
from orchestrator.wire.commands import CompleteWorkflowExecution, RequestCancelActivityTask
from orchestrator.wire.failure import ApplicationFailure
from orchestrator.wire.options import RetryOptions
from tests.unit.memory_engine import RUN, WORKFLOW, Engine
from tests.unit.worker.runners import Open, entry, last_failure, record, result, run, until

ONCE = RetryOptions(maximum_attempts=1)
ASKED = ActivityCancellationDetails(cancel_requested=True)
Seen = list[ActivityCancellationDetails | None]


async def cancel(engine: Engine) -> None:
    """The workflow asks for it; the store tells the holder."""
    await engine.commit(RequestCancelActivityTask(activity_id="1"))
    await engine.settle()


def wait_in_thread(seen: Seen, started: threading.Event) -> None:
    """Wait as code does that knows nothing of cancellation."""
    started.set()
    try:
        for _ in range(5_000):
            threading.Event().wait(0.001)
    finally:
        seen.append(activity.cancellation_details())


async def test_async_code_that_lets_it_through_is_cancelled(engine: Engine, opened: Open) -> None:
    seen: Seen = []

    @activity.defn
    async def wait() -> None:
        assert activity.cancellation_details() is None
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(activity.cancellation_details())

    runner = await opened(wait)
    await run(engine, "wait")
    await cancel(engine)
    assert (await entry(engine)).type == "ActivityCanceled"
    assert seen == [ASKED]
    assert runner.counters.value("activities_cancelled") == 1
    assert runner.counters.value("activities_failed") == 0


async def test_async_code_that_swallows_it_has_completed(engine: Engine, opened: Open) -> None:
    @activity.defn
    async def tidy_up() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "tidy"
        return "never"

    await opened(tidy_up)
    await run(engine, "tidy_up")
    await cancel(engine)
    assert await result(engine) == "tidy"


async def test_another_error_after_a_cancel_is_a_failure_and_not_tried_again(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def trip() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while tidying up")

    await opened(trip)
    await run(engine, "trip")
    await cancel(engine)
    assert (await entry(engine)).type == "ActivityFailed"


async def test_details_of_a_raised_cancellation_reach_the_workflow(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise CancelledError("stopped", "half-way") from error

    await opened(wait)
    await run(engine, "wait")
    await cancel(engine)
    body = (await entry(engine)).body
    assert [one.content() for one in body.details] == [b'"half-way"']  # type: ignore[union-attr]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def give_up() -> None:
        raise asyncio.CancelledError

    await opened(give_up)
    await run(engine, "give_up")
    failed = await last_failure(engine)
    assert isinstance(failed.detail, ApplicationFailure)
    assert failed.detail.error_type == "CancelledError"
    assert "nobody asked" in failed.message


async def test_a_thread_is_interrupted(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    seen: Seen = []
    started = threading.Event()

    @activity.defn
    def wait() -> None:
        wait_in_thread(seen, started)

    await opened(wait, executor=threads)
    await run(engine, "wait")
    await until(started.is_set)
    await cancel(engine)
    assert (await entry(engine)).type == "ActivityCanceled"
    assert seen == [ASKED]


async def test_a_thread_that_forbids_interruption_looks_by_itself(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    started = threading.Event()

    @activity.defn(no_thread_cancel_exception=True)
    def wait() -> str:
        started.set()
        activity.wait_for_cancelled_sync(timeout=5)
        return f"cancelled: {activity.is_cancelled()}"

    await opened(wait, executor=threads)
    await run(engine, "wait")
    await until(started.is_set)
    await cancel(engine)
    assert await result(engine) == "cancelled: True"


async def test_a_shield_holds_the_interruption_back_until_its_end(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    inside, reached = threading.Event(), []

    @activity.defn
    def book() -> None:
        with activity.shield_thread_cancel_exception():
            inside.set()
            activity.wait_for_cancelled_sync(timeout=5)
            for _ in range(1_000):
                pass
            reached.append("the end of the shield")
        for _ in range(1_000):
            threading.Event().wait(0.001)
        reached.append("the end of the activity")

    await opened(book, executor=threads)
    await run(engine, "book")
    await until(inside.is_set)
    await cancel(engine)
    assert (await entry(engine)).type == "ActivityCanceled"
    assert reached == ["the end of the shield"]


async def test_what_still_waits_for_a_thread_never_begins(engine: Engine, opened: Open) -> None:
    begun: list[int] = []

    @activity.defn
    def wait() -> None:
        begun.append(1)

    with ThreadPoolExecutor(1) as executor:
        busy = threading.Event()
        executor.submit(busy.wait)
        await opened(wait, executor=executor)
        await run(engine, "wait")
        await cancel(engine)
        assert (await entry(engine)).type == "ActivityCanceled"
        busy.set()
    assert begun == []


async def test_the_next_work_of_an_interrupted_thread_is_left_alone(
    engine: Engine, opened: Open
) -> None:
    seen: Seen = []
    started = threading.Event()

    @activity.defn
    def wait() -> None:
        wait_in_thread(seen, started)

    with ThreadPoolExecutor(1) as executor:
        await opened(wait, executor=executor)
        await run(engine, "wait")
        await until(started.is_set)
        await cancel(engine)
        await entry(engine)
        assert await asyncio.wrap_future(executor.submit(sum, range(100_000))) == 4_999_950_000


async def test_a_heartbeat_tells_an_attempt_of_a_closed_run_that_it_is_gone(
    engine: Engine, opened: Open
) -> None:
    seen: Seen = []
    go = asyncio.Event()

    @activity.defn
    async def beat() -> None:
        await go.wait()
        activity.heartbeat()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(activity.cancellation_details())

    await opened(beat)
    await run(engine, "beat")
    await engine.commit(CompleteWorkflowExecution())
    go.set()
    await engine.settle()
    assert seen == [ActivityCancellationDetails(not_found=True)]


async def test_code_over_its_time_is_cancelled_and_its_row_says_what_follows(
    engine: Engine, opened: Open
) -> None:
    seen: Seen = []

    @activity.defn
    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(activity.cancellation_details())

    await opened(linger)
    await run(engine, "linger", retry_policy=ONCE)
    engine.clock.ms += 9_999
    await engine.settle()
    assert seen == []
    engine.clock.ms += 1
    await engine.settle()
    assert seen == [ActivityCancellationDetails(timed_out=True)]
    assert await engine.inbox() == []
    await engine.pass_time(0)
    assert await engine.inbox() == ["ActivityTimedOut"]


async def test_the_time_of_the_whole_activity_ends_its_code_too(
    engine: Engine, opened: Open
) -> None:
    seen: Seen = []

    @activity.defn
    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(activity.cancellation_details())

    await opened(linger)
    # Two of its seven seconds go by before it begins.
    await run(engine, "linger", schedule_to_close_timeout_ms=7_000)
    engine.clock.ms += 4_999
    await engine.settle()
    assert seen == []
    engine.clock.ms += 1
    await engine.settle()
    assert seen == [ActivityCancellationDetails(timed_out=True)]


async def test_code_that_stops_beating_is_cancelled_when_its_heartbeat_is_overdue(
    engine: Engine, opened: Open
) -> None:
    seen: Seen = []
    beat = asyncio.Event()

    @activity.defn
    async def beat_once() -> None:
        await beat.wait()
        activity.heartbeat()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(activity.cancellation_details())

    await opened(beat_once)
    await run(engine, "beat_once", heartbeat_timeout_ms=4_000, retry_policy=ONCE)
    engine.clock.ms += 3_000
    beat.set()
    await engine.settle()
    engine.clock.ms += 3_999
    await engine.settle()
    assert seen == []
    engine.clock.ms += 1
    await engine.settle()
    assert seen == [ActivityCancellationDetails(timed_out=True)]
    await engine.pass_time(0)
    assert await engine.inbox() == ["ActivityTimedOut"]


async def test_a_result_that_comes_after_its_time_but_before_its_row_counts(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def finish_anyway() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"
        return "never"

    await opened(finish_anyway)
    await run(engine, "finish_anyway")
    engine.clock.ms += 10_000
    await engine.settle()
    assert await result(engine) == "late"


async def test_a_worker_that_goes_gives_its_activities_their_grace(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def finish_early() -> str:
        assert not activity.is_worker_shutdown()
        await activity.wait_for_worker_shutdown()
        return f"shutdown: {activity.is_worker_shutdown()}, {activity.is_cancelled()}"

    runner = await opened(finish_early)
    await run(engine, "finish_early")
    runner.execution.shut_down()
    await runner.tasks.drain(grace_ms=5_000)
    assert await result(engine) == "shutdown: True, False"


async def test_a_thread_can_wait_for_the_end_of_its_worker(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    started = threading.Event()

    @activity.defn
    def finish_early() -> str:
        started.set()
        activity.wait_for_worker_shutdown_sync(timeout=5)
        return f"shutdown: {activity.is_worker_shutdown()}"

    runner = await opened(finish_early, executor=threads)
    await run(engine, "finish_early")
    await until(started.is_set)
    runner.execution.shut_down()
    assert await result(engine) == "shutdown: True"


async def test_when_the_grace_is_over_the_next_attempt_begins_elsewhere_at_once(
    engine: Engine, opened: Open
) -> None:
    seen: Seen = []

    @activity.defn
    async def linger() -> str:
        if activity.info().attempt == 2:
            return f"{activity.info().heartbeat_details}"
        activity.heartbeat("first")
        try:
            await asyncio.Event().wait()
        finally:
            activity.heartbeat("last")
            seen.append(activity.cancellation_details())
        return "never"

    first = await opened(linger, name="p1")
    await run(engine, "linger", retry_policy=RetryOptions(initial_interval_ms=60_000))
    draining = asyncio.create_task(first.tasks.drain(grace_ms=5_000))
    await engine.settle()
    assert seen == []
    engine.clock.ms += 5_000
    await draining
    assert seen == [ActivityCancellationDetails(worker_shutdown=True)]
    await opened(linger, name="p2")
    await engine.pass_time(0)
    assert await result(engine) == "['last']"


async def test_what_begins_after_the_grace_is_over_does_not_run_here(
    engine: Engine, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    @activity.defn
    async def stew() -> None:
        ran.append(activity.info().attempt)

    runner = await opened(stew)
    begin, may_answer = engine.store.begin, asyncio.Event()

    async def begin_slowly(wanted: BeginAttempt) -> BeginAnswer:
        answer = await begin(wanted)
        await may_answer.wait()
        return answer

    monkeypatch.setattr(engine.store, "begin", begin_slowly)
    await run(engine, "stew")
    draining = asyncio.create_task(runner.tasks.drain(grace_ms=0))
    await engine.settle()
    may_answer.set()
    await draining
    assert ran == []
    failed = await last_failure(engine)
    assert failed.detail == ApplicationFailure(error_type="WorkerShutdown", next_retry_delay_ms=0)


async def test_a_cancel_asked_while_the_worker_goes_is_a_cancel(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def linger() -> None:
        await asyncio.Event().wait()

    runner = await opened(linger)
    await run(engine, "linger")
    runner.execution.shut_down()
    await cancel(engine)
    assert (await entry(engine)).type == "ActivityCanceled"


async def test_a_worker_torn_down_leaves_the_attempt_as_it_was(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def linger() -> None:
        await asyncio.Event().wait()

    runner = await opened(linger)
    await run(engine, "linger")
    runner.tasks.abort()
    await runner.tasks.drain()
    assert (await record(engine)).state.value == "running"
    (found,) = await engine.store.records(WORKFLOW, RUN)
    assert found.holder == "p1"
    assert await engine.inbox() == []


@pytest.mark.parametrize("attempts", [1, 0])
async def test_cancelled_code_is_never_tried_again(
    engine: Engine, opened: Open, attempts: int
) -> None:
    @activity.defn
    async def wait() -> None:
        await asyncio.Event().wait()

    await opened(wait)
    await run(engine, "wait", retry_policy=RetryOptions(maximum_attempts=attempts))
    await cancel(engine)
    await engine.pass_time(100_000)
    assert (await entry(engine)).type == "ActivityCanceled"
