"""A worker that is killed: what it had in work goes on elsewhere at once, without any heartbeat."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.client import Client, WorkflowHandle
from orchestrator.ids import WorkflowId
from orchestrator.testing.audit import Interruption
from orchestrator.testing.ledger import Begun, Ended, Ledger, now_us
from orchestrator.testing.servers import Servers
from orchestrator.wire import events as e
from tests.integration.faults import QUEUE, audit, kitchen, start_steps
from tests.integration.programs import PATIENCE_SECONDS, Program

pytestmark = pytest.mark.servers
KILLS = 20
STEP_SECONDS = 3.0
ACTIVITIES, TABLES = 6, 4
SETTLED_SECONDS = 10
"""Redis has been up for so long that a missing subscriber is a dead one."""


class Member(NamedTuple):
    """A worker process and its names."""

    program: Program
    pid: int
    process: str


async def hired(folder: Path, environment: Mapping[str, str]) -> Member:
    """A worker process that takes tasks."""
    program = await kitchen(folder, environment).__aenter__()
    [started] = await program.logged("worker_started")
    return Member(program, program.process.pid, str(started["process"]))


class Shift:
    """One round: activities and waiting runs, spread over two workers."""

    def __init__(self, client: Client, ledger: Ledger, number: int) -> None:
        self._client = client
        self._ledger = ledger
        self._steps = [f"steps-{number}-{n}" for n in range(ACTIVITIES)]
        self._tables = [f"table-{number}-{n}" for n in range(TABLES)]
        self.handles: list[WorkflowHandle[object, list[str]]] = []

    async def begin(self) -> None:
        self.handles = await start_steps(self._client, self._steps, 1, STEP_SECONDS)
        for name in self._tables:
            await self._client.start_workflow("Table", id=name, task_queue=QUEUE)

    async def is_at_work(self, member: Member) -> None:
        """Wait until it has an activity and a waiting run in hand."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if self._held(member) and await self._cached(member):
                    return
                await asyncio.sleep(0.02)

    def _held(self, member: Member) -> set[str]:
        held: set[str] = set()
        for row in self._ledger.read().rows:
            if row.pid == member.pid and row.workflow_id in self._steps:
                if isinstance(row, Begun):
                    held.add(row.workflow_id)
                elif isinstance(row, Ended):
                    held.discard(row.workflow_id)
        return held

    async def _cached(self, member: Member) -> list[str]:
        store = self._client.services.store
        views = [(name, await store.run(WorkflowId(name))) for name in self._tables]
        return [name for name, view in views if view and view.sticky == member.process]

    async def kill(self, member: Member) -> Interruption:
        """Kill it while activities run and wake-ups are in its hands."""
        tables = await self._cached(member)
        os.kill(member.pid, signal.SIGSTOP)  # so that it answers none of what follows
        for name in tables:
            await self._client.get_workflow_handle(name).signal("pay", 10)
        await asyncio.sleep(0.02)
        held = self._held(member)
        member.program.signal(signal.SIGKILL)
        self._killed_us = now_us()
        self._lost, self._woken = held, tables
        return Interruption(pid=member.pid, kind="killed", from_us=self._killed_us)

    async def first_activity_ms(self) -> float:
        """From the kill to the first begin, elsewhere, of what was lost."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                begun = [
                    row.time_us
                    for row in self._ledger.read().rows
                    if isinstance(row, Begun) and row.attempt > 1 and row.workflow_id in self._lost
                ]
                if begun:
                    return (min(begun) - self._killed_us) / 1000
                await asyncio.sleep(0.02)

    async def first_workflow_task_ms(self, survivor: Member) -> float:
        """From the kill to the first activation, elsewhere, of a run that was in its hands."""
        killed_ms = self._killed_us / 1000
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found: list[int] = []
                for name in self._woken:
                    found += await self._activations(name, survivor)
                if found:
                    return min(found) - killed_ms
                await asyncio.sleep(0.02)

    async def _activations(self, name: str, survivor: Member) -> Sequence[int]:
        handle = self._client.get_workflow_handle(name)
        return [
            event.time_ms
            async for event in handle.fetch_history_events()
            if isinstance(event.attributes, e.WorkflowTaskStarted)
            and event.attributes.identity == survivor.process
        ]


@pytest.mark.slow
async def test_the_first_of_a_killed_workers_tasks_run_elsewhere_within_a_second(
    servers: Servers, folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    ledger = Ledger(folder / "ledger")
    activities_ms: list[float] = []
    workflows_ms: list[float] = []
    shifts: list[Shift] = []
    kills: list[Interruption] = []
    begun = time.monotonic()
    crew = [await hired(folder, environment), await hired(folder, environment)]
    try:
        await asyncio.sleep(max(0.0, begun + SETTLED_SECONDS - time.monotonic()))
        for number in range(KILLS):
            shift = Shift(client, ledger, number)
            shifts.append(shift)
            await shift.begin()
            await shift.is_at_work(crew[0])
            victim = crew.pop(0)
            kills.append(await shift.kill(victim))
            activities_ms.append(await shift.first_activity_ms())
            workflows_ms.append(await shift.first_workflow_task_ms(crew[0]))
            await victim.program.__aexit__(None, None, None)
            crew.append(await hired(folder, environment))
        handles = [handle for shift in shifts for handle in shift.handles]
        for handle in handles:
            assert await handle.result() == ["0"]
    finally:
        for member in crew:
            await member.program.__aexit__(None, None, None)
    await audit(handles, folder, kills)
    print("first activity elsewhere, ms:", summary(activities_ms))
    print("first workflow task elsewhere, ms:", summary(workflows_ms))
    assert statistics.median(activities_ms) < 1000
    assert statistics.median(workflows_ms) < 1000


def summary(times_ms: Sequence[float]) -> str:
    return (
        f"median {statistics.median(times_ms):.0f}, "
        f"least {min(times_ms):.0f}, most {max(times_ms):.0f}, of {len(times_ms)} kills"
    )
