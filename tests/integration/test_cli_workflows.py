"""The commands on workflows, as processes, from start to result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.integration.programs import SHOP, Program, run

pytestmark = pytest.mark.servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current folder of the programs, with an app in it."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


class Shell:
    """Runs commands of the program one after another."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self.namespace = environment["ORCHESTRATOR_NAMESPACE"]

    async def __call__(self, *arguments: str, code: int = 0) -> str:
        """What a command printed: on standard error if it was to fail."""
        program = await run(*arguments, folder=self._folder, environment=self._environment)
        assert program.process.returncode == code, program.err
        assert "Traceback" not in program.err
        return program.out if code == 0 else program.err


@pytest.fixture
def shell(folder: Path, environment: Mapping[str, str]) -> Shell:
    """A shell without any worker."""
    return Shell(folder, environment)


@pytest.fixture
async def shop(folder: Path, environment: Mapping[str, str], shell: Shell) -> AsyncIterator[Shell]:
    """A shell beside a running worker."""
    async with Program("worker", "shop", folder=folder, environment=environment) as worker:
        await worker.logged("worker_started")
        yield shell


START = ("start", "Waiting", "--task-queue", "shop", "--id", "w", "--input", '"flag"')


async def test_a_workflow_is_started_and_its_result_printed_as_json(shop: Shell) -> None:
    greet = ("start", "Greeting", "--task-queue", "shop", "--input", '"Ada"')
    assert await shop(*greet, "--id", "g", "--wait") == '"Hello, Ada!"\n'
    assert await shop("result", "g") == '"Hello, Ada!"\n'
    assert await shop(*greet, "--id", "h", "-o", "ids") == "h\n"
    assert json.loads(await shop(*greet, "--id", "i", "-o", "json"))["workflow_id"] == "i"
    made_up = (await shop(*greet, "-o", "ids")).strip()
    assert await shop("result", made_up) == '"Hello, Ada!"\n'


async def test_a_workflow_is_signalled_queried_and_described(shop: Shell) -> None:
    await shop(*START, "--input", '"signal"')
    assert await shop("query", "w", "noted") == "[]\n"
    await shop("signal", "w", "note", "--input", '"hi"')
    assert await shop("result", "w") == '"hi"\n'
    assert await shop("query", "w", "noted") == '["hi"]\n'
    described = await shop("describe", "w")
    assert "status       COMPLETED" in described
    assert json.loads(await shop("describe", "w", "-o", "json"))["status"] == "COMPLETED"
    assert "timed out" not in await shop("result", "w", "--timeout", "5")


async def test_a_history_is_shown_as_a_timeline_as_json_and_by_redis_cli(shop: Shell) -> None:
    greet = ("start", "Greeting", "--task-queue", "shop", "--id", "g", "--input", '"Ada"')
    await shop(*greet, "--wait")
    shown = await shop("show", "g")
    assert shown.startswith("Greeting g, run ")
    assert (
        'WorkflowExecutionStarted    workflow_type=Greeting task_queue=shop input=["Ada"]' in shown
    )
    assert 'WorkflowExecutionCompleted  result="Hello, Ada!"' in shown
    events = [json.loads(line) for line in (await shop("show", "g", "--json")).splitlines()]
    assert [event["event_id"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["data"]["input"] == [{"data": "Ada"}]
    assert (await shop("show", "g", "-o", "ids")).split() == [str(e["event_id"]) for e in events]
    command = (await shop("show", "g", "--redis")).splitlines()[1]
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    raw = (await process.communicate())[0].decode()
    assert "1-0\n" in raw
    assert "WorkflowExecutionStarted" in raw


async def test_a_pending_activity_is_shown_with_its_attempt(shop: Shell) -> None:
    await shop(*START)
    for _ in range(30):
        if "running" in (shown := await shop("show", "w")):
            break
    pending = shown.partition("LAST FAILURE\n")[2].split()
    assert pending[:5] == ["wait_for_file", "(1)", "5", "running", "1"]


async def test_runs_are_listed_filtered_and_counted(shell: Shell) -> None:
    for number in range(3):
        await shell("start", "Order", "--task-queue", "none", "--id", f"order-{number}")
    await shell("start", "Other", "--task-queue", "none", "--id", "other")
    await shell("terminate", "order-0", "--reason", "tested")
    assert (await shell("list", "-o", "ids")).split() == ["other", "order-2", "order-1", "order-0"]
    assert (await shell("list", "-o", "ids", "--limit", "1")).split() == ["other"]
    assert (await shell("list", "-o", "ids", "--type", "Other")).split() == ["other"]
    terminated = await shell("list", "--status", "terminated")
    assert terminated.splitlines()[1].startswith("TERMINATED  Order  order-0")
    rows = [json.loads(line) for line in (await shell("list", "-o", "json")).splitlines()]
    assert rows[0]["workflow_id"] == "other"
    counts = json.loads(await shell("count", "-o", "json"))
    assert (counts["RUNNING"], counts["TERMINATED"]) == (3, 1)
    assert "RUNNING           3" in await shell("count")
    assert await shell("list", "--task-queue", "other") == ""


async def test_a_workflow_that_ends_badly_ends_the_command_with_1(shop: Shell) -> None:
    told = await shop(*START, "--input", '"failure"', "--wait", code=1)
    assert "SoldOut: out of salad" in told
    await shop(*START, "--input", '"signal"')
    await shop("cancel", "w", "--reason", "tested")
    assert "cancelled" in (await shop("result", "w", code=1)).lower()


async def test_mistakes_are_told_by_exit_codes_and_one_line(shell: Shell) -> None:
    assert await shell("result", "nope", code=3) == (
        f"orchestrator: there is no workflow 'nope' in namespace {shell.namespace!r} (it was never "
        "started, or its retention is over)\n"
    )
    await shell(*START)
    assert "is already used by" in await shell(*START, code=6)
    assert "has not ended within" in await shell("result", "w", "--timeout", "0.1", code=5)
    assert "no worker" in await shell("query", "w", "noted", "--timeout", "0.1", code=5)
    assert "expected JSON, found 'flag'" in await shell(
        "signal", "w", "note", "--input", "flag", code=2
    )
    await shell("terminate", "w")
    assert "is not open" in await shell("signal", "w", "note", code=3)
    assert "is not open" in await shell("resume", "w", code=3)
    assert "workflow id: expected no braces" in await shell("describe", "{w}", code=2)


async def test_a_pending_activity_is_paused_and_completed_by_hand(shop: Shell) -> None:
    await shop(*START)
    for _ in range(100):
        found = json.loads(await shop("describe", "w", "-o", "json"))["pending_activities"]
        if found:
            break
        await asyncio.sleep(0.1)
    await shop("activity", "pause", "w", "1")
    await shop("activity", "update-options", "w", "1", "--heartbeat-timeout", "9")
    assert ", paused" in await shop("describe", "w")
    await shop("activity", "unpause", "w", "1")
    assert "expected JSON" in await shop("activity", "complete", "w", "1", "--result", "x", code=2)
    await shop("activity", "complete", "w", "1", "--result", '"by hand"')
    assert await shop("result", "w") == '"by hand"\n'
    assert "is not pending" in await shop("activity", "fail", "w", "1", code=3)
    assert "is not pending" in await shop("activity", "reset", "w", "1", code=3)
