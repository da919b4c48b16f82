"""Activities without a workflow on a real Redis and a real RabbitMQ: what they cost, what they look
like, and a worker killed with -9."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from orchestrator import activity
from orchestrator.adapters.redis import acl
from orchestrator.client import (
    ActivityExecutionStatus,
    ActivityFailureError,
    ActivityHandle,
    ActivityStartOptions,
    Client,
)
from orchestrator.common import (
    ActivityIDConflictPolicy,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from orchestrator.core.standalone import StandaloneOptions, standalone_start_of
from orchestrator.exceptions import (
    ActivityAlreadyStartedError,
    ApplicationError,
    CancelledError,
    TerminatedError,
    TimeoutError,
)
from orchestrator.ids import ActivityKey, Namespace
from orchestrator.worker import Worker
from tests.integration.programs import Program, until

pytestmark = pytest.mark.servers
QUEUE = "press"
MINUTE = timedelta(minutes=1)
SOON = timedelta(milliseconds=50)
CITY = SearchAttributeKey.for_keyword("City")


@activity.defn
async def stamp(what: str) -> str:
    return f"{what} stamped"


@activity.defn
async def jam(times: int) -> int:
    if activity.info().attempt <= times:
        raise ApplicationError(f"jammed {activity.info().attempt}")
    return activity.info().attempt


@activity.defn
async def hold() -> None:
    while True:
        activity.heartbeat("holding")
        await asyncio.sleep(0.02)


@pytest.fixture
async def clients(
    amqp_url: str, redis_url: str, random_namespace: str
) -> AsyncIterator[tuple[Client, Client]]:
    """The client that starts, and the one whose worker does the work: each counts its own calls."""

    async def connected() -> Client:
        return await Client.connect(
            broker=amqp_url, store=redis_url, namespace=random_namespace, settings={"shards": 2}
        )

    async with await connected() as starting, await connected() as working:
        yield starting, working


@pytest.fixture
async def client(clients: tuple[Client, Client]) -> AsyncIterator[Client]:
    """A client whose activities have a worker, which has nothing else."""
    starting, working = clients
    async with Worker(working, task_queue=QUEUE, activities=[stamp, jam, hold]):
        yield starting


async def failure_of(handle: ActivityHandle[Any]) -> BaseException | None:
    with pytest.raises(ActivityFailureError) as raised:
        await handle.result(rpc_timeout=timedelta(seconds=60))
    return raised.value.cause


async def running(handle: ActivityHandle[Any]) -> None:
    """Return when its code has begun."""
    for _ in range(1_000):
        if (await handle.describe()).run_state == "running":
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody began it")


async def test_an_activity_costs_three_scripts_and_one_message(
    clients: tuple[Client, Client],
) -> None:
    starting, working = clients
    names = ("redis_scripts", "amqp_published", "amqp_delivered")
    worker = Worker(working, task_queue=QUEUE, activities=[stamp], engine_duties=False)
    async with worker:

        async def run(number: int) -> None:
            await starting.execute_activity(
                stamp, "a", id=f"a{number}", task_queue=QUEUE, start_to_close_timeout=MINUTE
            )

        await run(0)
        before = [one.services.counters.snapshot() for one in (starting, working)]
        for number in range(1, 11):
            await run(number)
        after = [one.services.counters.snapshot() for one in (starting, working)]
    asked, did = (
        {name: new.get(name, 0) - old.get(name, 0) for name in names}
        for old, new in zip(before, after, strict=True)
    )
    assert asked == {"redis_scripts": 10, "amqp_published": 10, "amqp_delivered": 0}
    assert did == {"redis_scripts": 20, "amqp_published": 0, "amqp_delivered": 10}


async def test_its_life_reads_in_plain_words(
    client: Client, redis_url: str, random_namespace: str
) -> None:
    handle = await client.start_activity(
        jam,
        1,
        id="charge:17",
        task_queue=QUEUE,
        start_to_close_timeout=MINUTE,
        retry_policy=RetryPolicy(initial_interval=SOON),
        request_id="r1",
    )
    assert await handle.result() == 2
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as server:
        keys = [key async for key in server.scan_iter(f"orc:{{{random_namespace}:*charge*")]
        names = sorted(key.partition("}:")[2] for key in keys)
        assert names == [
            "current:{activity}charge:17",
            "history:{activity}charge:17:r1",
            "run:{activity}charge:17:r1",
        ]
        (history,) = (key for key in keys if ":history:" in key)
        entries = await server.xrange(history)
    assert [(entry_id, fields["type"]) for entry_id, fields in entries] == [
        ("1-0", "WorkflowExecutionStarted"),
        ("2-0", "ActivityTaskScheduled"),
        ("3-0", "ActivityTaskStarted"),
        ("4-0", "WorkflowExecutionCompleted"),
    ]
    assert '"activity_id":"charge:17"' in entries[1][1]["data"]
    assert '"attempt":2' in entries[2][1]["data"]


async def test_each_end_is_told_to_the_caller(client: Client) -> None:
    async def start(name: str, **options: Any) -> ActivityHandle[Any]:
        given = {"task_queue": QUEUE, "start_to_close_timeout": MINUTE, **options}
        return await client.start_activity(name, id=f"{name}-{len(given)}", **given)

    never = RetryPolicy(maximum_attempts=2, initial_interval=SOON)
    failed = await start("jam", args=[9], retry_policy=never)
    late = await start(
        "stamp", args=["x"], task_queue="nobody", schedule_to_close_timeout=timedelta(seconds=1)
    )
    delayed = await start("stamp", args=["x"], start_delay=timedelta(hours=1), summary="later")
    cause = await failure_of(failed)
    assert isinstance(cause, ApplicationError)
    assert cause.message == "jammed 2"
    await delayed.cancel(reason="not today")
    assert isinstance(await failure_of(delayed), CancelledError)
    assert (await delayed.describe()).canceled_reason == "not today"
    assert isinstance(await failure_of(late), TimeoutError)
    counts = await client.count_activities()
    assert {status: count for status, count in counts.items() if count} == {
        ActivityExecutionStatus.FAILED: 1,
        ActivityExecutionStatus.TIMED_OUT: 1,
        ActivityExecutionStatus.CANCELED: 1,
    }
    assert sum((await client.count_workflows()).values()) == 0


@pytest.mark.parametrize(
    ("word", "kind"), [("cancel", CancelledError), ("terminate", TerminatedError)]
)
async def test_code_that_runs_is_ended(
    client: Client, word: str, kind: type[BaseException]
) -> None:
    handle = await client.start_activity(
        hold,
        id=word,
        task_queue=QUEUE,
        start_to_close_timeout=MINUTE,
        heartbeat_timeout=timedelta(seconds=30),
    )
    await running(handle)
    await getattr(handle, word)()
    assert isinstance(await failure_of(handle), kind)


async def test_starts_meet_each_other(client: Client) -> None:
    rome = TypedSearchAttributes([SearchAttributePair(CITY, "Rome")])

    async def start(**options: Any) -> ActivityHandle[str]:
        return await client.start_activity(
            stamp,
            "x",
            id="a",
            task_queue="later",
            start_to_close_timeout=MINUTE,
            search_attributes=rome,
            **options,
        )

    first, doubled = await asyncio.gather(start(request_id="r1"), start(request_id="r1"))
    assert first.run_id == doubled.run_id == "r1"
    with pytest.raises(ActivityAlreadyStartedError):
        await start(request_id="r2")
    used = await start(id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING)
    assert used.run_id == "r1"
    found = [one async for one in client.list_activities(search_attributes=rome)]
    assert [(one.activity_id, one.activity_run_id) for one in found] == [("a", "r1")]
    assert [one async for one in client.list_workflows(search_attributes=rome)] == []


async def test_a_start_whose_message_was_never_published_runs_all_the_same(
    client: Client,
) -> None:
    wish = StandaloneOptions(
        activity_id="lost",
        activity_type="jam",
        task_queue=QUEUE,
        request_id="r1",
        input=tuple(client.data_converter.to_payloads([0])),
        start_to_close_timeout_ms=60_000,
    )
    start = standalone_start_of(wish, key=ActivityKey("k"), now_ms=0)
    await client.services.store.start(start)  # and its process dies here
    assert await client.get_activity_handle("lost").result(rpc_timeout=MINUTE) == 1


_APP = '''
"""Activities and no workflow; the first attempt holds until its process dies."""
import asyncio, os
from pathlib import Path
from orchestrator import activity

@activity.defn
async def hold(name: str) -> int:
    attempt = activity.info().attempt
    with Path("begun").open("a") as book:
        book.write(f"{attempt} {os.getpid()}\\n")
    if attempt == 1:
        await asyncio.sleep(600)
    return attempt

task_queue = "holders"
workflows: list = []
activities = [hold]
'''


async def test_an_activity_of_a_killed_worker_runs_elsewhere(
    folder: Path, environment: Mapping[str, str], amqp_url: str, redis_url: str
) -> None:
    (folder / "holders.py").write_text(_APP)
    book = folder / "begun"

    def rows() -> list[list[str]]:
        return [line.split() for line in book.read_text().splitlines()] if book.exists() else []

    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                Program("worker", "holders", folder=folder, environment=environment)
            )
            for _ in range(2)
        ]
        await asyncio.gather(*(worker.logged("worker_started") for worker in workers))
        client = await stack.enter_async_context(
            await Client.connect(
                broker=amqp_url,
                store=redis_url,
                namespace=environment["ORCHESTRATOR_NAMESPACE"],
            )
        )
        handle = await client.start_activity(
            "hold", "x", id="a", task_queue="holders", start_to_close_timeout=timedelta(minutes=5)
        )
        await until(lambda: len(rows()) == 1)
        os.kill(int(rows()[0][1]), signal.SIGKILL)
        assert await handle.result(rpc_timeout=timedelta(minutes=2)) == 2
        assert (await handle.describe()).attempt == 2
    assert [attempt for attempt, _ in rows()] == ["1", "2"]


async def test_the_rights_of_a_client_suffice(
    client: Client, redis_url: str, amqp_url: str, random_namespace: str
) -> None:
    name = f"client-of-{random_namespace}"
    async with redis.asyncio.Redis.from_url(redis_url) as admin:
        rules = acl.rules("client", Namespace(random_namespace))
        await admin.acl_setuser(name, enabled=True, passwords=["+secret"])
        await admin.execute_command("ACL", "SETUSER", name, *rules)
        try:
            async with await Client.connect(
                broker=amqp_url,
                store=redis_url.replace("://", f"://{name}:secret@"),
                namespace=random_namespace,
                settings={"shards": 2},
            ) as limited:
                options = ActivityStartOptions(
                    id="a", task_queue=QUEUE, start_to_close_timeout=MINUTE
                )
                assert await limited.execute_activity(stamp, "x", **options) == "x stamped"
                for word, kind in (("cancel", CancelledError), ("terminate", TerminatedError)):
                    handle = await limited.start_activity(
                        hold, heartbeat_timeout=timedelta(seconds=30), **options
                    )
                    await running(handle)
                    await getattr(handle, word)()
                    assert isinstance(await failure_of(handle), kind)
                delayed = await limited.start_activity(
                    stamp, "x", start_delay=timedelta(hours=1), **options
                )
                await delayed.cancel()
                assert isinstance(await failure_of(delayed), CancelledError)
                assert len([one async for one in limited.list_activities()]) == 4
        finally:
            await admin.acl_deluser(name)
