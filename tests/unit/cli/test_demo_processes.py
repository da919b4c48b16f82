"""The demo's worker processes: who ended by itself, and who was ended."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli.demo.processes import WorkerProcesses
from orchestrator.exceptions import UnavailableError

SLEEP = "import time; time.sleep(60)"
FAIL = "import sys; print('no servers here'); sys.exit(4)"
Make = Callable[[str], WorkerProcesses]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[WorkerProcesses] = []

    def make(code: str) -> WorkerProcesses:
        processes = WorkerProcesses(
            folder=tmp_path,
            logs=tmp_path,
            broker="amqp://x",
            store="redis://x",
            namespace="demo",
            command=[sys.executable, "-S", "-c", code],
        )
        made.append(processes)
        return processes

    yield make
    for processes in made:
        processes.stop()


def test_a_worker_that_ends_by_itself_is_told_of_with_its_last_words(make: Make) -> None:
    processes = make(FAIL)
    processes.start().process.wait(20)

    with pytest.raises(UnavailableError, match=r"worker 1 ended by itself with 4(.|\n)*no servers"):
        processes.check()


def test_a_worker_that_was_killed_is_an_interruption_and_no_surprise(make: Make) -> None:
    processes = make(SLEEP)
    first, second = processes.start(), processes.start()
    processes.kill(first)

    processes.check()
    assert [one.pid for one in processes.interruptions] == [first.pid]
    assert processes.running() == [second]


def test_workers_that_are_being_stopped_are_no_surprise_at_any_moment(make: Make) -> None:
    processes = make(SLEEP)
    for _ in range(3):
        processes.start()
    stopping = threading.Thread(target=processes.stop)
    stopping.start()
    while stopping.is_alive():
        processes.check()
    stopping.join()

    processes.check()
    assert processes.running() == []
    assert processes.interruptions == []


def test_workers_are_told_where_the_servers_and_the_ledger_are(make: Make, tmp_path: Path) -> None:
    processes = make(
        "import os; print(*(os.environ[k] for k in "
        "('ORCHESTRATOR_BROKER', 'ORCHESTRATOR_STORE', 'ORCHESTRATOR_NAMESPACE', 'ORDERS_LEDGER')))"
    )
    worker = processes.start()
    worker.process.wait(20)

    said = worker.log.read_text(encoding="utf-8").split()
    assert said == ["amqp://x", "redis://x", "demo", str(tmp_path / "ledger.jsonl")]
