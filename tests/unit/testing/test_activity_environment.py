"""Activities in a test, without a worker."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from orchestrator import activity
from orchestrator.activity import ActivityCancellationDetails
from orchestrator.exceptions import CancelledError
from orchestrator.testing import ActivityEnvironment


@activity.defn
async def greet(name: str, loud: bool = False) -> str:
    await asyncio.sleep(0)
    text = f"{name} at {activity.info().workflow_id}"
    return text.upper() if loud else text


@activity.defn
def greet_sync(name: str) -> str:
    return f"{name} at {activity.info().workflow_id}"


@activity.defn
async def wait() -> ActivityCancellationDetails | None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return activity.cancellation_details()
    return None


async def test_an_async_activity_finds_the_given_info() -> None:
    environment = ActivityEnvironment()
    environment.info = replace(ActivityEnvironment.default_info(), workflow_id="order-1")
    assert await environment.run(greet, "Ada") == "Ada at order-1"
    assert await environment.run(greet, "Ada", loud=True) == "ADA AT ORDER-1"


def test_a_sync_activity_runs_in_the_thread_of_the_test() -> None:
    assert ActivityEnvironment().run(greet_sync, "Ada") == "Ada at test"
    assert not activity.in_activity()


def test_what_is_not_decorated_runs_too() -> None:
    assert ActivityEnvironment().run(lambda: activity.info().attempt) == 1


async def test_methods_and_instances_run() -> None:
    class Greeter:
        async def __call__(self, name: str) -> str:
            return f"{name} {activity.in_activity()}"

        async def greet(self, name: str) -> str:
            return f"{name} {activity.in_activity()}"

    environment = ActivityEnvironment()
    assert await environment.run(Greeter(), "Ada") == "Ada True"
    assert await environment.run(Greeter().greet, "Ada") == "Ada True"


async def test_heartbeats_are_heard_with_their_details() -> None:
    async def beat() -> None:
        activity.heartbeat(1, "two")
        activity.heartbeat()

    heard: list[tuple[object, ...]] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: heard.append(details)
    await environment.run(beat)
    assert heard == [(1, "two"), ()]


async def test_a_heartbeat_may_cancel() -> None:
    async def beat() -> str:
        activity.heartbeat()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return f"cancelled: {activity.is_cancelled()}"
        return "never"

    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: environment.cancel()
    assert await environment.run(beat) == "cancelled: True"


async def test_a_cancel_reaches_async_code_with_its_details() -> None:
    environment = ActivityEnvironment()
    running = asyncio.create_task(environment.run(wait))
    await asyncio.sleep(0)
    environment.cancel(ActivityCancellationDetails(timed_out=True))
    environment.cancel()
    assert await running == ActivityCancellationDetails(timed_out=True)


def test_a_cancel_interrupts_a_thread() -> None:
    environment, started = ActivityEnvironment(), threading.Event()

    def work() -> None:
        started.set()
        for _ in range(5_000):
            threading.Event().wait(0.001)

    def cancel() -> None:
        started.wait(5)
        environment.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        environment.run(work)
    canceller.join()


def test_a_cancel_leaves_code_alone_that_forbids_it() -> None:
    environment, started = ActivityEnvironment(), threading.Event()

    @activity.defn(no_thread_cancel_exception=True)
    def work() -> bool:
        started.set()
        activity.wait_for_cancelled_sync(5)
        return activity.is_cancelled()

    def cancel() -> None:
        started.wait(5)
        environment.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    assert environment.run(work)
    canceller.join()


def test_what_runs_after_a_cancel_finds_itself_cancelled() -> None:
    environment = ActivityEnvironment()
    environment.cancel()
    details = environment.run(activity.cancellation_details)
    assert details == ActivityCancellationDetails(cancel_requested=True)


async def test_the_end_of_the_worker_is_seen() -> None:
    async def work() -> str:
        before = activity.is_worker_shutdown()
        await activity.wait_for_worker_shutdown()
        return f"{before} {activity.is_worker_shutdown()} {activity.is_cancelled()}"

    environment = ActivityEnvironment()
    running = asyncio.create_task(environment.run(work))
    await asyncio.sleep(0)
    environment.worker_shutdown()
    assert await running == "False True False"


async def test_errors_come_as_they_were_raised() -> None:
    async def fail() -> None:
        raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        await ActivityEnvironment().run(fail)


async def test_a_cancelled_activity_does_not_cancel_the_test_that_awaits_it() -> None:
    environment = ActivityEnvironment()
    asyncio.get_running_loop().call_soon(environment.cancel)
    assert await environment.run(wait) is not None
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    assert environment.run(activity.is_cancelled)


async def test_a_cancel_from_another_thread_reaches_async_code() -> None:
    environment = ActivityEnvironment()
    running = asyncio.create_task(environment.run(wait))
    await asyncio.sleep(0)
    await asyncio.to_thread(environment.cancel)
    assert await running is not None


async def test_who_waits_in_vain_is_cancelled_with_the_test() -> None:
    environment = ActivityEnvironment()
    running = asyncio.create_task(environment.run(wait))
    await asyncio.sleep(0)
    running.cancel()
    assert await running is None


@activity.defn
async def tell_client() -> object:
    return activity.client()


async def test_an_async_activity_finds_the_given_client() -> None:
    assert await ActivityEnvironment(client="a client").run(tell_client) == "a client"
    with pytest.raises(RuntimeError, match="no client here"):
        await ActivityEnvironment().run(tell_client)
