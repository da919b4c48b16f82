"""The program of the page on updates does what the page says."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from orchestrator.limits import UPDATES_MAX, UPDATES_OPEN_MAX
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/howto/update-a-run.md"


async def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    carts, filling = (block.text for block in blocks(PAGE) if block.language == "python")
    (tmp_path / "carts.py").write_text(carts)
    (tmp_path / "filling_of_carts.py").write_text(filling)
    monkeypatch.syspath_prepend(str(tmp_path))
    app = importlib.import_module("carts")
    program = importlib.import_module("filling_of_carts")
    try:
        async with (
            await WorkflowEnvironment.start_time_skipping() as env,
            Worker(
                env.client,
                task_queue=app.task_queue,
                workflows=app.workflows,
                activities=app.activities,
            ),
        ):
            assert await program.fill(env.client) == ["pizza", "cola"]
    finally:
        for name in ("carts", "filling_of_carts"):
            del sys.modules[name]
    assert capsys.readouterr().out.splitlines() == [
        "shelf of pizza",
        "shelf of cola",
        "Full: no room for salad",
    ]


def test_the_bounds_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"{UPDATES_OPEN_MAX} open updates and {UPDATES_MAX:,} altogether" in text
