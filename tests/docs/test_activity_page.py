"""The program of the page on standalone activities does what the page says."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/howto/run-one-activity.md"


async def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    charges, collecting = (block.text for block in blocks(PAGE) if block.language == "python")
    (tmp_path / "charges.py").write_text(charges)
    (tmp_path / "collecting.py").write_text(collecting)
    monkeypatch.syspath_prepend(str(tmp_path))
    app = importlib.import_module("charges")
    program = importlib.import_module("collecting")
    try:
        async with (
            await WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, task_queue=app.task_queue, activities=app.activities),
        ):
            assert await program.collect(env.client) == ["order-18"]
    finally:
        for name in ("charges", "collecting"):
            del sys.modules[name]
    assert capsys.readouterr().out.splitlines() == [
        "charged 2400 at attempt 1",
        "Limit: over the limit",
    ]
