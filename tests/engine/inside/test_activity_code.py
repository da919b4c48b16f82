"""What activity code has: time-outs, retries, heartbeats, cancellation, threads, information."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import activity, workflow
from orchestrator.client import Client, WorkflowHandle
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    TimeoutError,
)
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire.events import ActivityTaskStarted
from orchestrator.worker import Worker
from orchestrator.workflow import ActivityCancellationType as Cancellation

QUEUE = "activities"


@dataclass
class Options:
    """How an activity is called; times in seconds."""

    close: float | None = 600
    start: float | None = None
    whole: float | None = None
    beat: float | None = None
    attempts: int = 0
    interval: float = 0.01
    final: list[str] | None = None
    kind: int = Cancellation.TRY_CANCEL
    queue: str | None = None


def seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


@workflow.defn
class Call:
    """Calls one activity and tells how that went, to the last cause."""

    @workflow.run
    async def run(self, name: str, options: Options) -> Any:
        try:
            return await workflow.execute_activity(
                name,
                activity_id="it",
                task_queue=options.queue,
                start_to_close_timeout=seconds(options.close),
                schedule_to_start_timeout=seconds(options.start),
                schedule_to_close_timeout=seconds(options.whole),
                heartbeat_timeout=seconds(options.beat),
                cancellation_type=Cancellation(options.kind),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=options.interval),
                    backoff_coefficient=1,
                    maximum_attempts=options.attempts,
                    non_retryable_error_types=options.final,
                ),
            )
        except ActivityError as error:
            return told(error)


def told(error: ActivityError) -> list[Any]:
    """The kind of the cause, and what is particular to it."""
    state = error.retry_state.name if error.retry_state else None
    match error.cause:
        case TimeoutError() as cause:
            kind = cause.type.name if cause.type else None
            return ["TimeoutError", kind, state, list(cause.last_heartbeat_details)]
        case ApplicationError() as cause:
            return ["ApplicationError", cause.type, state, cause.category.name]
        case cause:
            return [type(cause).__name__, state]


class Bench:
    """Activities, and what they saw."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.thread_begun = threading.Event()
        self.attempts: list[int] = []
        self.told: list[activity.ActivityCancellationDetails | None] = []

    @activity.defn
    async def hang(self) -> None:
        self.attempts.append(activity.info().attempt)
        self.begun.set()
        await asyncio.Event().wait()

    @activity.defn
    async def beat_once(self) -> list[Any]:
        info = activity.info()
        self.attempts.append(info.attempt)
        if not info.heartbeat_details:
            activity.heartbeat("half", 50)
            await asyncio.Event().wait()
        return [info.attempt, *info.heartbeat_details]

    @activity.defn
    async def fail(self) -> int:
        self.attempts.append(activity.info().attempt)
        if activity.info().attempt < 3:
            raise ApplicationError("not yet", type="NotYet")
        return activity.info().attempt

    @activity.defn
    async def fail_soon(self) -> int:
        if activity.info().attempt == 1:
            soon = timedelta(milliseconds=1)
            raise ApplicationError("wait", next_retry_delay=soon)
        return activity.info().attempt

    @activity.defn
    async def fail_kindly(self) -> None:
        category = ApplicationErrorCategory.BENIGN
        raise ApplicationError("as ever", type="Ever", category=category, non_retryable=True)

    @activity.defn
    async def tidy(self) -> str:
        """Ends well though it is cancelled."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.told.append(activity.cancellation_details())
            return "tidied up"
        return "never"

    @activity.defn
    async def give_up(self) -> None:
        self.begun.set()
        await asyncio.Event().wait()

    @activity.defn
    def in_a_thread(self) -> list[Any]:
        mine = threading.current_thread() is not threading.main_thread()
        return [mine, activity.in_activity(), activity.info().activity_id]

    @activity.defn
    def until_cancelled(self) -> str:
        seen = False
        try:
            with activity.shield_thread_cancel_exception():
                self.thread_begun.set()
                activity.wait_for_cancelled_sync(120)
                seen = activity.is_cancelled()
        except CancelledError:
            return f"raised after the shield; known before: {seen}"
        return "not raised"

    @activity.defn
    async def about(self) -> list[Any]:
        info = activity.info()
        return [
            info.workflow_id,
            info.workflow_type,
            info.activity_id,
            info.activity_type,
            info.task_queue,
            info.attempt,
            info.is_local,
        ]

    @property
    def all(self) -> list[Any]:
        return [
            self.hang,
            self.beat_once,
            self.fail,
            self.fail_soon,
            self.fail_kindly,
            self.tidy,
            self.give_up,
            self.in_a_thread,
            self.until_cancelled,
            self.about,
        ]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def client(env: WorkflowEnvironment, bench: Bench) -> AsyncIterator[Client]:
    with ThreadPoolExecutor(100) as threads:
        async with Worker(
            env.client,
            task_queue=QUEUE,
            workflows=[Call],
            activities=bench.all,
            activity_executor=threads,
        ):
            yield env.client


async def begin(client: Client, name: str, **options: Any) -> WorkflowHandle[Call, Any]:
    return await client.start_workflow(
        Call.run, args=[name, Options(**options)], id="c", task_queue=QUEUE
    )


async def starts(handle: WorkflowHandle[Call, Any]) -> list[ActivityTaskStarted]:
    """The starts of attempts that are in the history."""
    events = (await handle.fetch_history()).events
    return [one.attributes for one in events if isinstance(one.attributes, ActivityTaskStarted)]


async def called(client: Client, name: str, **options: Any) -> Any:
    return await (await begin(client, name, **options)).result()


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("hang", {"close": 0.3, "attempts": 1}, "START_TO_CLOSE"),
        ("hang", {"beat": 0.3, "attempts": 1}, "HEARTBEAT"),
        ("hang", {"start": 0.3, "queue": "nobody"}, "SCHEDULE_TO_START"),
        ("hang", {"whole": 0.3, "queue": "nobody"}, "SCHEDULE_TO_CLOSE"),
        ("hang", {"whole": 0.3, "close": None, "queue": "nobody"}, "SCHEDULE_TO_CLOSE"),
    ],
)
async def test_each_time_out_ends_what_it_is_about(
    client: Client, name: str, options: dict[str, Any], kind: str
) -> None:
    assert (await called(client, name, **options))[:2] == ["TimeoutError", kind]


async def test_an_attempt_over_its_time_is_tried_again(client: Client) -> None:
    handle = await begin(client, "hang", close=0.2, attempts=2)
    found = await handle.result()
    assert found[:3] == ["TimeoutError", "START_TO_CLOSE", "MAXIMUM_ATTEMPTS_REACHED"]
    assert [one.attempt for one in await starts(handle)] == [2]


async def test_what_waits_too_long_for_a_worker_is_not_tried_again(client: Client) -> None:
    handle = await begin(client, "hang", start=0.2, queue="nobody", attempts=5)
    await handle.result()
    history = await handle.fetch_history()
    assert [event.type for event in history.events].count("ActivityTaskTimedOut") == 1


async def test_the_last_heartbeat_reaches_the_next_attempt(client: Client) -> None:
    attempt, *details = await called(client, "beat_once", beat=0.4)
    assert attempt > 1
    assert details == ["half", 50]


async def test_retries_are_counted_and_only_the_last_attempt_is_in_history(
    client: Client, bench: Bench
) -> None:
    handle = await begin(client, "fail")
    assert await handle.result() == 3
    assert bench.attempts == [1, 2, 3]
    (started,) = await starts(handle)
    assert started.attempt == 3
    assert started.last_failure is not None
    assert started.last_failure.message == "not yet"


@pytest.mark.parametrize(
    ("options", "state", "attempts"),
    [
        ({"attempts": 2}, "MAXIMUM_ATTEMPTS_REACHED", 2),
        ({"final": ["NotYet"]}, "NON_RETRYABLE_FAILURE", 1),
        ({"whole": 60, "interval": 100}, "TIMEOUT", 1),
    ],
)
async def test_retries_end_by_number_by_type_and_by_time(
    client: Client, bench: Bench, options: dict[str, Any], state: str, attempts: int
) -> None:
    assert await called(client, "fail", **options) == [
        "ApplicationError",
        "NotYet",
        state,
        "UNSPECIFIED",
    ]
    assert len(bench.attempts) == attempts


async def test_a_failure_may_name_its_own_delay(client: Client) -> None:
    assert await called(client, "fail_soon", interval=86_400) == 2


async def test_a_benign_failure_is_one_for_the_workflow_too(client: Client) -> None:
    found = await called(client, "fail_kindly")
    assert found == ["ApplicationError", "Ever", "NON_RETRYABLE_FAILURE", "BENIGN"]


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("tidy", Cancellation.TRY_CANCEL, ["CancelledError"]),
        ("tidy", Cancellation.WAIT_CANCELLATION_COMPLETED, "tidied up"),
        (
            "give_up",
            Cancellation.WAIT_CANCELLATION_COMPLETED,
            ["CancelledError"],
        ),
        ("give_up", Cancellation.ABANDON, ["CancelledError"]),
    ],
)
async def test_the_type_of_a_cancellation_says_what_is_waited_for(
    client: Client, bench: Bench, name: str, kind: int, found: Any
) -> None:
    handle = await begin(client, name, kind=int(kind))
    await bench.begun.wait()
    await handle.cancel()
    result = await handle.result()
    assert result == found or result[:1] == found
    types = [event.type for event in (await handle.fetch_history()).events]
    asked = kind is not Cancellation.ABANDON
    assert ("ActivityTaskCancelRequested" in types) is asked


async def test_code_is_told_of_a_cancellation_without_any_heartbeat(
    client: Client, bench: Bench
) -> None:
    kind = int(Cancellation.WAIT_CANCELLATION_COMPLETED)
    handle = await begin(client, "tidy", kind=kind)
    await bench.begun.wait()
    await handle.cancel()
    assert await handle.result() == "tidied up"
    (told,) = bench.told
    assert told is not None
    assert told.cancel_requested


async def test_sync_code_runs_in_a_thread_that_knows_its_attempt(client: Client) -> None:
    assert await called(client, "in_a_thread") == [True, True, "it"]


async def test_a_thread_is_cancelled_when_it_leaves_its_shield(
    client: Client, bench: Bench
) -> None:
    kind = int(Cancellation.WAIT_CANCELLATION_COMPLETED)
    handle = await begin(client, "until_cancelled", kind=kind)
    while not bench.thread_begun.is_set():  # noqa: ASYNC110  # a thread sets it
        await asyncio.sleep(0.001)
    await handle.cancel()
    assert await handle.result() == "raised after the shield; known before: True"


async def test_an_attempt_knows_where_it_belongs(client: Client) -> None:
    found = await called(client, "about")
    assert found == ["c", "Call", "it", "about", QUEUE, 1, False]
