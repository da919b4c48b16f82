"""What a worker process refuses before it connects, and how a supervisor starts its children."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.exits import CommandError
from orchestrator.cli.supervisor import program
from orchestrator.cli.worker_process import WorkerPlan, run_worker

ROOT = Path(__file__).parents[3]
PLAN = WorkerPlan(
    module="steps_only", graceful_shutdown_ms=0, log_level="info", broker="amqp://:s@h/"
)


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


async def test_a_worker_with_nothing_to_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steps_only.py").write_text("task_queue='q'; workflows=[]; activities=[len]")
    monkeypatch.chdir(tmp_path)
    plan = WorkerPlan(
        module="steps_only", activities=False, graceful_shutdown_ms=0, log_level="info"
    )
    with pytest.raises(CommandError, match="nothing to run: steps_only has no workflows"):
        await run_worker(plan)


def test_a_child_runs_the_package_of_its_supervisor_whatever_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program(PLAN) == [sys.executable, "-P", "-m", "orchestrator.cli.worker_process"]
    monkeypatch.chdir(ROOT)
    assert program(PLAN) == [sys.executable, "-m", "orchestrator.cli.worker_process"]


def test_no_url_stands_in_a_list_of_processes() -> None:
    assert not any("amqp" in word for word in program(PLAN))
