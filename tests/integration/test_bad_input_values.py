"""Values, names and code that cannot be: each says what is wrong, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    ConversionError,
    InvalidNameError,
    PayloadTooLargeError,
)
from orchestrator.limits import NAME_BYTES_MAX, PAYLOAD_BYTES_MAX
from tests.integration.programs import PATIENCE_SECONDS, Program

pytestmark = pytest.mark.servers
QUEUE = "pantry"
LIMIT = f"the limit is {PAYLOAD_BYTES_MAX:,}"
Handle = WorkflowHandle[Any, Any]  # Any: of any workflow
PANTRY = '''
"""An app that does what it should not, by request."""
import asyncio, importlib
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy

OUTSIDE = {name: importlib.import_module(name) for name in ("time", "socket", "threading")}
"""Not named as modules: what is found when the code is registered is another net."""

@activity.defn
async def weigh(item: str, grams: int) -> int:
    return grams

@activity.defn
async def handle() -> object:
    return object()

@activity.defn
async def sack(kilobytes: int) -> bytes:
    return b"x" * 1024 * kilobytes

@workflow.defn
class Recipe:
    def __init__(self) -> None:
        self.salt: list[int] = []

    @workflow.run
    async def run(self, kind: str, number: int = 0) -> object:
        match kind:
            case "activity":
                return await self.step("weigh", "flour", "much")
            case "unknown activity":
                return await self.step("whisk")
            case "odd result of an activity":
                return await self.step("handle")
            case "large result of an activity":
                return await self.step("sack", 3000)
            case "odd result":
                return object()
            case "large result":
                return b"x" * 3_000_000
            case "large argument":
                return await self.step("weigh", "x" * 3_000_000, 1)
            case "sleep":
                OUTSIDE["time"].sleep(3600)
            case "socket":
                OUTSIDE["socket"].create_connection(("127.0.0.1", 9))
            case "thread":
                OUTSIDE["threading"].Thread(target=print).start()
            case "loop":
                while True:
                    pass
            case "wait":
                await workflow.wait_condition(lambda: bool(self.salt))
        return number

    async def step(self, name: str, *arguments: object) -> object:
        return await workflow.execute_activity(
            name, args=list(arguments), start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=1))

    @workflow.signal
    def add(self, grams: int) -> None:
        self.salt.append(grams)

    @workflow.query
    def salted(self, least: int = 0) -> list[int]:
        return [one for one in self.salt if one >= least]

    @workflow.query
    def odd(self) -> object:
        return object()

task_queue = "pantry"
workflows = [Recipe]
activities = [weigh, handle, sack]
'''


def pantry(folder: Path, environment: Mapping[str, str], extra: str = "") -> Program:
    """A worker process of the app above."""
    (folder / "pantry.py").write_text(PANTRY + extra)
    return Program("worker", "pantry", folder=folder, environment=environment)


async def cook(client: Client, *args: object, name: str = "") -> Handle:
    return await client.start_workflow(
        "Recipe", args=args, id=name or "-".join(map(str, args)), task_queue=QUEUE
    )


async def failure_of(handle: Handle) -> BaseException:
    """What a run failed with, below the words that say that it did."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    cause = failed.value.cause
    assert cause is not None
    return cause


async def problem_of(handle: Handle) -> str:
    """Why a run does not go on, once that is known."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            described: WorkflowExecutionDescription = await handle.describe()
            if described.problem is not None:
                return described.problem
            await asyncio.sleep(0.05)


async def test_names_that_cannot_be_are_refused_before_anything_is_written(client: Client) -> None:
    for name, words in (
        ("order-{1}", "no braces"),
        ("order\n1", "no control characters"),
        ("order\x00", "no control characters"),
        ("", "not empty"),
        ("é" * NAME_BYTES_MAX, f"at most {NAME_BYTES_MAX} bytes"),
    ):
        with pytest.raises(InvalidNameError, match=words):
            await client.start_workflow("Recipe", "wait", id=name, task_queue=QUEUE)
        with pytest.raises(InvalidNameError, match=words):
            await client.start_workflow(name, "wait", id="order", task_queue=QUEUE)
        with pytest.raises(InvalidNameError, match=words):
            client.get_workflow_handle(name)
    with pytest.raises(InvalidNameError, match="without spaces"):
        await client.start_workflow("Recipe", "wait", id="order", task_queue="a queue")
    assert [run async for run in client.list_workflows()] == []


async def test_what_is_too_large_or_cannot_be_converted_never_leaves_the_client(
    client: Client,
) -> None:
    too_much = "x" * (PAYLOAD_BYTES_MAX + 1)
    with pytest.raises(PayloadTooLargeError, match=LIMIT):
        await cook(client, too_much, name="large")
    with pytest.raises(ConversionError, match="object"):
        await cook(client, object(), name="odd")
    run = await cook(client, "wait")
    with pytest.raises(PayloadTooLargeError, match=LIMIT):
        await run.signal("add", too_much)
    with pytest.raises(ConversionError, match="object"):
        await run.query("salted", object())
    assert [one.id async for one in client.list_workflows()] == ["wait"]


async def test_what_an_activity_cannot_take_or_return_fails_it_and_says_why(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    expected = {
        "activity": "grams",
        "unknown activity": "'whisk' is not registered on this worker, which has: handle, sack",
        "odd result of an activity": "object",
        "large result of an activity": LIMIT,
    }
    async with pantry(folder, environment) as worker:
        for kind, words in expected.items():
            error = await failure_of(await cook(client, kind))
            assert isinstance(error, ActivityError), kind
            assert isinstance(error.cause, ApplicationError), kind
            assert words in error.cause.message, kind
        assert await (await cook(client, "nothing", 7)).result() == 7
        assert worker.process.returncode is None


async def test_what_a_run_cannot_take_or_return_stops_it_and_says_why(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with pantry(folder, environment) as worker:
        for args, words in (
            (("odd result",), "object"),
            (("large result",), LIMIT),
            (("large argument",), LIMIT),
            (("nothing", "no number"), "number"),
            ((), "kind"),
            (("nothing", 1, "more"), "argument"),
        ):
            handle = await cook(client, *args, name="-".join(map(str, args)) or "no arguments")
            stopped = asyncio.create_task(problem_of(handle))
            failed = asyncio.create_task(failure_of(handle))
            await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
            told = stopped.result() if stopped.done() else str(failed.result())
            for task in (stopped, failed):
                task.cancel()
            assert words in told, (args, told)
        assert await (await cook(client, "nothing", 7)).result() == 7
        assert worker.process.returncode is None


async def test_signals_and_queries_that_do_not_fit_leave_the_run_as_it_was(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with pantry(folder, environment) as worker:
        await worker.logged("worker_started")
        run = await cook(client, "wait", 7)
        for wrong in ("much", None, {"grams": 1}):
            await run.signal("add", wrong)
        await run.signal("nobody listens", 1)
        for query, args, words in (
            ("salted", ["much"], "least"),
            ("odd", [], "object"),
            ("nonsense", [], "no query handler"),
        ):
            with pytest.raises(WorkflowQueryFailedError, match=words):
                await run.query(query, args=args)
        assert await run.query("salted") == []
        assert (await run.describe()).problem is None
        await run.signal("add", 5)
        assert await run.result() == 7
        assert "add" in worker.err  # The log tells what was dropped.


async def test_a_run_of_an_unknown_type_waits_for_a_worker_that_has_it(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with pantry(folder, environment):
        cake = await client.start_workflow("Cake", 3, id="cake", task_queue=QUEUE)
        assert "workflow type 'Cake'" in await problem_of(cake)
        assert await (await cook(client, "nothing", 7)).result() == 7
        baker = """
@workflow.defn
class Cake:
    @workflow.run
    async def run(self, eggs: int) -> int:
        return eggs

workflows.append(Cake)
"""
        async with pantry(folder, environment, baker) as worker:
            await worker.logged("worker_started")
            async with asyncio.timeout(60):
                assert await cake.result() == 3
        assert (await cake.describe()).problem is None


@pytest.mark.slow
async def test_workflow_code_that_blocks_fails_its_task_and_the_others_go_on(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with pantry(folder, environment) as worker:
        waiting = await cook(client, "wait", 7)
        blocked = [await cook(client, kind) for kind in ("sleep", "loop", "socket", "thread")]
        for handle, words in zip(blocked, ("sleep", "while True", "connect", "hread"), strict=True):
            problem = await problem_of(handle)
            assert words in problem, problem
            assert "pantry.py" in problem, problem
        await waiting.signal("add", 5)
        assert await waiting.result() == 7
        assert await (await cook(client, "nothing", 8)).result() == 8
        assert worker.process.returncode is None
