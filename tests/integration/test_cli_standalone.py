"""`orchestrator activity …` on activities without a workflow, as processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.programs import SHOP
from tests.integration.test_cli_workflows import Shell, shell, shop

__all__ = ["shell", "shop"]
pytestmark = pytest.mark.servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current folder of the programs, with an app in it."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


START = ("activity", "start", "greet", "--task-queue", "shop", "--start-to-close-timeout", "60")


async def test_an_activity_is_started_seen_and_its_result_printed(shop: Shell) -> None:
    out = await shop(*START, "--id", "a", "--input", '"Ada"', "--wait", "--summary", "a greeting")
    assert out == '"Hello, Ada!"\n'
    assert await shop("activity", "result", "a") == '"Hello, Ada!"\n'
    assert await shop("activity", "list", "-o", "ids") == "a\n"
    assert await shop("list", "-o", "ids") == ""
    counts = json.loads(await shop("activity", "count", "-o", "json"))
    assert counts["COMPLETED"] == 1
    described = await shop("activity", "describe", "a")
    assert "COMPLETED" in described
    assert "a greeting" in described
    found = json.loads(await shop("activity", "describe", "a", "-o", "json"))
    assert (found["status"], found["attempt"], found["run_state"]) == ("COMPLETED", 1, None)


@pytest.mark.slow
async def test_one_that_waits_is_listed_paused_cancelled_and_terminated(shell: Shell) -> None:
    for name in ("a", "b"):
        await shell(*START, "--id", name, "--input", '"Ada"')
    error = await shell(*START, "--id", "a", "--input", '"Ada"', code=6)
    assert "activity id 'a' is already used by a greet" in error
    assert "RUNNING" in await shell("activity", "list", "--status", "running", "--type", "greet")
    await shell("activity", "pause", "{}", "a")
    assert "scheduled, paused" in await shell("activity", "describe", "a")
    await shell("activity", "cancel", "a", "--reason", "not today")
    await shell("activity", "terminate", "b", "--reason", "enough")
    assert "not today" in await shell("activity", "describe", "a")
    assert "enough" in await shell("activity", "result", "b", code=1)
    assert "is not open" in await shell("activity", "cancel", "a", code=3)
    assert "no activity 'c'" in await shell("activity", "result", "c", code=3)
    error = await shell("activity", "start", "greet", "--task-queue", "shop", code=2)
    assert "start_to_close_timeout or schedule_to_close_timeout" in error
