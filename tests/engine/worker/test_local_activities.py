"""Local activities on the memory engine: run within the task, noted by markers, replayed from
them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchestrator import activity, workflow
from orchestrator.client import Client, WorkflowFailureError, WorkflowHandle
from orchestrator.common import RetryPolicy
from orchestrator.converter import DataConverter, Payload, PayloadCodec
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,
    TimeoutType,
)
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire import events as e
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.worker import Replayer, Worker
from tests.engine.conftest import OpenEnv

QUEUE = "kitchen"
CLOSE = timedelta(minutes=1)
Kind = workflow.ActivityCancellationType


class Kitchen:
    """Local activities, and what the test sees of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.infos: list[activity.Info] = []
        self.fails = 0
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()

    @activity.defn
    async def chop(self, what: str) -> str:
        self.calls.append(what)
        self.infos.append(activity.info())
        return f"chopped {what}"

    @activity.defn
    async def burn(self, what: str) -> str:
        self.calls.append(what)
        self.infos.append(activity.info())
        if len(self.calls) <= self.fails:
            raise ApplicationError(f"burnt {what}", type="Burnt")
        return f"fried {what}"

    @activity.defn
    async def simmer(self, what: str) -> str:
        self.calls.append(what)
        self.begun.set()
        activity.heartbeat("of no use")
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.calls.append("stopped")
            raise
        return f"simmered {what}"

    @activity.defn
    async def leave(self) -> None:
        activity.raise_complete_async()

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [self.chop, self.burn, self.simmer, self.leave]


@workflow.defn
class Chop:
    @workflow.run
    async def run(self, what: str) -> tuple[str, bool]:
        before = workflow.now()
        first = await workflow.execute_local_activity_method(
            Kitchen.chop, what, start_to_close_timeout=CLOSE, summary="with a knife"
        )
        return first, workflow.now() >= before


@workflow.defn
class Mixed:
    """Local and ordinary steps, several at a time, and what the code saw."""

    @workflow.run
    async def run(self) -> list[str]:
        chop = Kitchen.chop
        results = list(
            await asyncio.gather(
                *(
                    workflow.execute_local_activity_method(
                        chop, f"{n}", start_to_close_timeout=CLOSE
                    )
                    for n in range(3)
                )
            )
        )
        results.append(
            await workflow.execute_activity_method(chop, "far", start_to_close_timeout=CLOSE)
        )
        await workflow.sleep(0.05)
        results.append(
            await workflow.execute_local_activity("chop", "last", start_to_close_timeout=CLOSE)
        )
        return results


@workflow.defn
class Fry:
    @workflow.run
    async def run(self, options: dict[str, float]) -> str:
        return await workflow.execute_local_activity_method(
            Kitchen.burn,
            "egg",
            start_to_close_timeout=CLOSE,
            schedule_to_close_timeout=timedelta(seconds=options["close"])
            if "close" in options
            else None,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=options.get("interval", 0.001)),
                maximum_attempts=int(options.get("attempts", 0)),
            ),
            local_retry_threshold=timedelta(seconds=options.get("threshold", 60)),
        )


@workflow.defn
class Simmer:
    """Waits for a pot that a signal may take off the fire."""

    def __init__(self) -> None:
        self.off = False
        self.salt: list[str] = []

    @workflow.run
    async def run(self, kind: int, close_s: float = 3_600) -> str:
        pot = workflow.start_local_activity_method(
            Kitchen.simmer,
            "soup",
            start_to_close_timeout=timedelta(seconds=close_s),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=Kind(kind),
        )
        watching = asyncio.create_task(self.watch(pot))
        try:
            return f"{await pot} {self.salt}"
        except ActivityError as error:
            return f"{type(error.cause).__name__} {error.retry_state and error.retry_state.name}"
        finally:
            watching.cancel()

    async def watch(self, pot: asyncio.Task[str]) -> None:
        await workflow.wait_condition(lambda: self.off)
        pot.cancel()

    @workflow.signal
    def take_off(self, why: str) -> None:
        self.off = True

    @workflow.signal
    def add_salt(self, what: str) -> None:
        self.salt.append(what)


@workflow.defn
class Twice:
    """A short one, then a long one."""

    @workflow.run
    async def run(self) -> str:
        first = await workflow.execute_local_activity(
            "chop", "onion", start_to_close_timeout=CLOSE, result_type=str
        )
        second = await workflow.execute_local_activity(
            "simmer", "soup", start_to_close_timeout=timedelta(hours=1), result_type=str
        )
        return f"{first}, {second}"


@workflow.defn
class Many:
    """Asks for 450 activities at once, between two local ones."""

    @workflow.run
    async def run(self) -> int:
        await workflow.execute_local_activity("chop", "0", start_to_close_timeout=CLOSE)
        paying = [
            workflow.start_activity("pay", n, start_to_close_timeout=timedelta(seconds=10))
            for n in range(450)
        ]
        await workflow.execute_local_activity("chop", "1", start_to_close_timeout=CLOSE)
        return len(await asyncio.gather(*paying))


@workflow.defn
class SameBreath:
    """Asks for a local activity and takes that back at once."""

    @workflow.run
    async def run(self) -> str:
        handle = workflow.start_local_activity("chop", "no", start_to_close_timeout=CLOSE)
        await asyncio.sleep(0)
        handle.cancel()
        try:
            return str(await handle)
        except ActivityError as error:
            return type(error.cause).__name__


@workflow.defn
class Leave:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("leave", start_to_close_timeout=CLOSE)


@workflow.defn
class Unknown:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("nothing", start_to_close_timeout=CLOSE)


@workflow.defn
class Rest:
    """Chops, then rests a minute."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("chop", "onion", start_to_close_timeout=CLOSE)
        await workflow.sleep(0.05)


@workflow.defn(name="Rest")
class RestOnly:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(0.05)


@workflow.defn(name="Rest")
class RestAfterOther:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("burn", "onion", start_to_close_timeout=CLOSE)
        await workflow.sleep(0.05)


@workflow.defn(name="Rest")
class RestBesideOther:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("chop", "onion", start_to_close_timeout=CLOSE)
        workflow.start_local_activity("burn", "egg", start_to_close_timeout=CLOSE)
        await workflow.sleep(0.05)


WORKFLOWS = [Chop, Rest, Mixed, Fry, Simmer, SameBreath, Leave, Unknown]


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


@pytest.fixture
async def client(env: WorkflowEnvironment, kitchen: Kitchen) -> AsyncIterator[Client]:
    async with Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=kitchen.all):
        yield env.client


async def begin(client: Client, cls: Any, *args: Any) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(cls.run, args=args, id="w", task_queue=QUEUE)


def markers(history: WorkflowHistory) -> list[e.MarkerRecorded]:
    found = [event.attributes for event in history.events]
    return [one for one in found if isinstance(one, e.MarkerRecorded)]


async def test_it_runs_within_the_task_and_leaves_a_marker(
    client: Client, kitchen: Kitchen
) -> None:
    handle = await begin(client, Chop, "onion")
    assert await handle.result() == ("chopped onion", True)
    history = await handle.fetch_history()
    assert [event.type for event in history.events] == [
        "WorkflowExecutionStarted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "MarkerRecorded",
        "WorkflowExecutionCompleted",
    ]
    (info,) = kitchen.infos
    assert (info.is_local, info.attempt, info.workflow_type) == (True, 1, "Chop")
    assert isinstance(info.scheduled_time, datetime)
    assert "with a knife" in history.to_json()


async def test_several_run_beside_each_other_and_other_steps_replay(
    client: Client, kitchen: Kitchen
) -> None:
    handle = await begin(client, Mixed)
    result = await handle.result()
    assert sorted(result[:3]) == ["chopped 0", "chopped 1", "chopped 2"]
    assert result[3:] == ["chopped far", "chopped last"]
    assert len(kitchen.calls) == 5
    assert len(markers(await handle.fetch_history())) == 4


async def test_a_failed_attempt_is_tried_again_in_place(client: Client, kitchen: Kitchen) -> None:
    kitchen.fails = 2
    handle = await begin(client, Fry, {})
    assert await handle.result() == "fried egg"
    assert [info.attempt for info in kitchen.infos] == [1, 2, 3]
    assert len(markers(await handle.fetch_history())) == 1


async def test_the_last_failure_is_in_the_marker_and_in_the_code(
    client: Client, kitchen: Kitchen
) -> None:
    kitchen.fails = 9
    handle = await begin(client, Fry, {"attempts": 2})
    with pytest.raises(WorkflowFailureError) as error:
        await handle.result()
    cause = error.value.cause
    assert isinstance(cause, ActivityError)
    assert (cause.activity_type, cause.retry_state and cause.retry_state.name) == (
        "burn",
        "MAXIMUM_ATTEMPTS_REACHED",
    )
    assert isinstance(cause.cause, ApplicationError)
    assert cause.cause.type == "Burnt"
    (marker,) = markers(await handle.fetch_history())
    assert marker.failure is not None
    assert marker.failure.message == "burnt egg"


async def test_a_retry_beyond_the_threshold_waits_as_a_durable_timer(
    client: Client, kitchen: Kitchen
) -> None:
    kitchen.fails = 2
    handle = await begin(client, Fry, {"interval": 0.1, "threshold": 0.05})
    assert await handle.result() == "fried egg"
    history = await handle.fetch_history()
    kinds = [event.type for event in history.events if not event.type.startswith("WorkflowTask")]
    assert kinds == [
        "WorkflowExecutionStarted",
        *["MarkerRecorded", "TimerStarted", "TimerFired"] * 2,
        "MarkerRecorded",
        "WorkflowExecutionCompleted",
    ]
    assert [info.attempt for info in kitchen.infos] == [1, 2, 3]
    assert len({info.scheduled_time for info in kitchen.infos}) == 1


async def test_no_retry_begins_after_the_time_of_all_attempts(
    client: Client, kitchen: Kitchen
) -> None:
    kitchen.fails = 9
    handle = await begin(client, Fry, {"interval": 120, "threshold": 60, "close": 100})
    with pytest.raises(WorkflowFailureError) as error:
        await handle.result()
    assert isinstance(error.value.cause, ActivityError)
    assert error.value.cause.retry_state is not None
    assert error.value.cause.retry_state.name == "TIMEOUT"
    assert len(kitchen.calls) == 1


async def test_an_attempt_that_takes_too_long_times_out(client: Client, kitchen: Kitchen) -> None:
    handle = await begin(client, Simmer, Kind.TRY_CANCEL, 0.05)
    assert await handle.result() == "TimeoutError MAXIMUM_ATTEMPTS_REACHED"
    assert kitchen.calls == ["soup", "stopped"]
    (marker,) = markers(await handle.fetch_history())
    assert marker.failure is not None
    error = client.data_converter.from_failure(marker.failure)
    assert isinstance(error, TimeoutError)
    assert error.type is TimeoutType.START_TO_CLOSE


async def test_taken_back_in_the_same_breath_it_leaves_no_trace(
    client: Client, kitchen: Kitchen
) -> None:
    handle = await begin(client, SameBreath)
    assert await handle.result() == "CancelledError"
    assert kitchen.calls == []
    assert markers(await handle.fetch_history()) == []


async def test_it_cannot_be_completed_from_outside(client: Client) -> None:
    handle = await begin(client, Leave)
    with pytest.raises(WorkflowFailureError) as error:
        await handle.result()
    assert isinstance(error.value.cause, ActivityError)
    assert "cannot be completed from outside" in str(error.value.cause.cause)


async def test_a_worker_that_lacks_it_fails_the_task_and_says_so(client: Client) -> None:
    handle = await begin(client, Unknown)
    for _ in range(500):
        problem = (await handle.describe()).problem
        if problem:
            break
        await asyncio.sleep(0.001)
    assert problem is not None
    assert "'nothing' is not registered on this worker" in problem
    await handle.terminate()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (RestOnly, "but the code waits for no local activity"),
        (RestAfterOther, "but the code waits for local activity 'burn' (id '1'), asked for at"),
        (RestBesideOther, "the code asked for local activity 'burn' (id '2') at"),
    ],
)
async def test_changed_code_is_found_out_with_both_sides_named(
    client: Client, changed: type, said: str
) -> None:
    handle = await begin(client, Rest)
    await handle.result()
    found = await Replayer(workflows=[changed]).replay_workflow(
        await handle.fetch_history(), raise_on_replay_failure=False
    )
    assert found.replay_failure is not None
    assert said in str(found.replay_failure)


class Reversed(PayloadCodec):
    """Writes every value backwards."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.of_bytes(
                one.content()[::-1], encoding="backwards", metadata={"was": one.encoding}
            )
            for one in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.of_bytes(one.content()[::-1], encoding=one.metadata["was"]) for one in payloads
        ]


@pytest.mark.parametrize("cached", [10, 0])
async def test_a_codec_sees_what_its_marker_keeps(
    open_env: OpenEnv, kitchen: Kitchen, cached: int
) -> None:
    values = DataConverter(payload_codec=Reversed())
    async with (
        open_env(data_converter=values) as env,
        Worker(
            env.client,
            task_queue=QUEUE,
            workflows=WORKFLOWS,
            activities=kitchen.all,
            max_cached_workflows=cached,
        ),
    ):
        handle = await begin(env.client, Mixed)
        assert "chopped last" in await handle.result()
        history = await handle.fetch_history()
        assert "chopped" not in history.to_json()
    assert len(kitchen.calls) == 5
