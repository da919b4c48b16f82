"""Large runs on real servers: 2,000 activities side by side in one run, 100,000 signals to one id.

Figures are printed (`pytest -s`); what is asserted is that all end, once each, in bounded memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.client import Client, WorkflowHandle
from orchestrator.exceptions import RPCError, RPCStatusCode
from tests.integration.programs import Program

pytestmark = [pytest.mark.servers, pytest.mark.slow]

ACTIVITIES = 2_000
SIGNALS = 100_000
SENDERS = 20
WORKER_MAX_MB = 400

APP = '''
"""A run that fans out, and one that adds up signals over many runs."""
import asyncio, os
from datetime import timedelta
from orchestrator import activity, workflow

@activity.defn
async def note(number: int) -> int:
    info = activity.info()
    with open("effects", "a") as file:
        file.write(f"{number} {info.attempt}\\n")
    return number

@workflow.defn
class FanOut:
    @workflow.run
    async def run(self, count: int) -> int:
        return sum(await asyncio.gather(*(
            workflow.execute_activity(note, n, start_to_close_timeout=timedelta(seconds=60))
            for n in range(count))))

@workflow.defn
class Adding:
    """Adds up until it has seen `wanted` signals, in as many runs as it takes."""
    @workflow.init
    def __init__(self, wanted: int, total: int = 0, seen: int = 0, runs: int = 1) -> None:
        self.total, self.seen = total, seen

    @workflow.run
    async def run(self, wanted: int, total: int = 0, seen: int = 0, runs: int = 1) -> list[int]:
        await workflow.wait_condition(lambda: self.seen >= wanted
            or workflow.info().is_continue_as_new_suggested())
        if self.seen < wanted:
            workflow.continue_as_new(args=[wanted, self.total, self.seen, runs + 1])
        return [self.total, self.seen, runs]

    @workflow.signal
    def add(self, number: int) -> None:
        self.total += number
        self.seen += 1

task_queue = "size"
workflows = [FanOut, Adding]
activities = [note]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "size.py").write_text(APP)
    return tmp_path


async def test_two_thousand_activities_of_one_run_end_once_each(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    async with Program("worker", "size", folder=folder, environment=environment) as worker:
        began = time.monotonic()
        total = await client.execute_workflow("FanOut", ACTIVITIES, id="fan", task_queue="size")
        took, peak_mb = time.monotonic() - began, _peak_mb(worker)
    effects = Counter((folder / "effects").read_text().splitlines())
    print(f"{ACTIVITIES} activities of one run: {took:.1f} s, worker at most {peak_mb:.0f} MB")
    assert total == sum(range(ACTIVITIES))
    assert effects == Counter(f"{number} 1" for number in range(ACTIVITIES))
    assert peak_mb < WORKER_MAX_MB


async def test_a_hundred_thousand_signals_to_one_id_are_all_counted_once(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    adding = await client.start_workflow("Adding", SIGNALS, id="adding", task_queue="size")
    latest, slowed = client.get_workflow_handle("adding"), Slowed()
    began = time.monotonic()
    senders = asyncio.gather(
        *(_send(latest, range(first, SIGNALS, SENDERS), slowed) for first in range(SENDERS))
    )
    await slowed.once.wait()  # Nobody reads yet: the unread have come to their bound.
    async with Program("worker", "size", folder=folder, environment=environment) as worker:
        await senders
        sent = time.monotonic() - began
        total, seen, runs = await adding.result()
        took, peak_mb = time.monotonic() - began, _peak_mb(worker)
    print(
        f"{SIGNALS} signals to one id: sent in {sent:.1f} s, seen in {took:.1f} s, by {runs} runs; "
        f"senders slowed {slowed.times} times; worker at most {peak_mb:.0f} MB"
    )
    assert (total, seen) == (sum(range(SIGNALS)), SIGNALS)
    assert runs > 1
    assert peak_mb < WORKER_MAX_MB


class Slowed:
    """How often a sender had to wait, because the run had too much to read."""

    def __init__(self) -> None:
        self.times = 0
        self.once = asyncio.Event()


async def _send(handle: WorkflowHandle[object, object], numbers: range, slowed: Slowed) -> None:
    for number in numbers:
        while not await _is_taken(handle, number):
            slowed.times += 1
            slowed.once.set()
            await asyncio.sleep(0.1)


async def _is_taken(handle: WorkflowHandle[object, object], number: int) -> bool:
    try:
        await handle.signal("add", number)
    except RPCError as error:
        if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
            raise
        return False
    return True


def _peak_mb(worker: Program) -> float:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
