"""What the tests of faults share: an app whose activities tell a ledger, and reading both truths.

The ledger is what happened in the outside world; a run's history is what the engine says of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.client import Client, WorkflowHandle
from orchestrator.testing.audit import Interruption, audit_attempts
from orchestrator.testing.ledger import ActivityName, Ledger
from orchestrator.wire import events as e
from tests.integration.programs import PATIENCE_SECONDS, Program

QUEUE = "kitchen"
KITCHEN = '''
"""An app whose activities tell a ledger in the current folder when they begin and end."""
import asyncio
from datetime import timedelta
from pathlib import Path

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy
from orchestrator.testing.ledger import Ledger

LEDGER = Ledger(Path("ledger"))

@activity.defn
async def step(name: str, seconds: float) -> str:
    with LEDGER.attempt():
        await asyncio.sleep(seconds)
        return name

@workflow.defn
class Steps:
    """So many activities, one after another."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @workflow.run
    async def run(self, count: int, seconds: float, timeout_seconds: float = 60) -> list[str]:
        for number in range(count):
            self.done.append(await workflow.execute_activity(
                step, args=[str(number), seconds],
                start_to_close_timeout=timedelta(seconds=timeout_seconds),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100))))
        return self.done

    @workflow.query
    def so_far(self) -> list[str]:
        return self.done

@workflow.defn
class Table:
    """Waits for its bill to be paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    @workflow.run
    async def run(self, guests: int = 1) -> list[int]:
        await workflow.wait_condition(lambda: len(self.paid) >= guests)
        return self.paid

    @workflow.signal
    def pay(self, amount: int) -> None:
        self.paid.append(amount)

    @workflow.query
    def bill(self, share: int = 1) -> int:
        return sum(self.paid) * share

task_queue = "kitchen"
workflows = [Steps, Table]
activities = [step]
'''


def kitchen(folder: Path, environment: Mapping[str, str]) -> Program:
    """A worker process of the app above."""
    (folder / "kitchen.py").write_text(KITCHEN)
    return Program("worker", "kitchen", folder=folder, environment=environment)


async def start_steps(
    client: Client, names: Sequence[str], *args: int | float
) -> list[WorkflowHandle[object, list[str]]]:
    """Start a `Steps` for each name."""
    return [
        await client.start_workflow("Steps", args=args, id=name, task_queue=QUEUE) for name in names
    ]


async def results(
    handles: Sequence[WorkflowHandle[object, list[str]]], *, seconds: float = PATIENCE_SECONDS
) -> list[list[str]]:
    """What the runs returned, all within `seconds`."""
    async with asyncio.timeout(seconds):
        return await asyncio.gather(*(handle.result() for handle in handles))


async def audit(
    handles: Sequence[WorkflowHandle[object, list[str]]],
    folder: Path,
    interruptions: Sequence[Interruption] = (),
) -> None:
    """Compare histories with the ledger: each step was recorded once, and what happened outside
    is what the engine promises of attempts."""
    recorded_us: dict[ActivityName, int] = {}
    for handle in handles:
        run_id = handle.result_run_id or ""
        history = [event async for event in handle.fetch_history_events()]
        assert [event.event_id for event in history] == list(range(1, len(history) + 1))
        scheduled = [
            one.event_id for one in history if isinstance(one.attributes, e.ActivityTaskScheduled)
        ]
        ended = {
            one.attributes.scheduled_event_id: one.time_ms
            for one in history
            if isinstance(one.attributes, e.ActivityTaskCompleted)
        }
        assert sorted(ended) == scheduled
        for event_id, time_ms in ended.items():
            # Times in histories are whole milliseconds, those of the ledger are not.
            recorded_us[ActivityName(handle.id, run_id, event_id)] = (time_ms + 1) * 1000
    rows = Ledger(folder / "ledger").read().rows
    for check in audit_attempts(rows, recorded_us=recorded_us, interruptions=interruptions):
        assert check.kept, "\n".join([check.promise, check.measured, *check.violations])
