"""Concurrency limits on a real Redis and a real RabbitMQ, while workers are killed with -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import Client
from tests.integration.programs import ROOT, until

pytestmark = pytest.mark.servers

_WORKER = '''
"""A worker whose activities write down when they begin and end."""
import asyncio, json, os
from datetime import timedelta
from pathlib import Path
from orchestrator import activity, workflow
from orchestrator.client import Client
from orchestrator.common import Priority
from orchestrator.worker import Worker

def note(what: str, name: str) -> None:
    row = {"what": what, "name": name, "pid": os.getpid(), "attempt": activity.info().attempt}
    with Path("ledger").open("a") as ledger:
        ledger.write(json.dumps(row) + "\\n")

@activity.defn
async def serve(name: str) -> int:
    note("begin", name)
    await asyncio.sleep(60 if name == "acme/3" and activity.info().attempt == 1 else 0.02)
    note("end", name)
    return activity.info().attempt

@workflow.defn
class Banquet:
    @workflow.run
    async def run(self, names: list[str]) -> list[int]:
        served = [
            workflow.execute_activity(
                serve, name, activity_id=name, start_to_close_timeout=timedelta(seconds=120),
                priority=Priority(fairness_key=name.partition("/")[0]))
            for name in names
        ]
        return await asyncio.gather(*served)

async def main() -> None:
    env = os.environ
    async with await Client.connect(
        broker=env["ORCHESTRATOR_BROKER"], store=env["ORCHESTRATOR_STORE"],
        namespace=env["ORCHESTRATOR_NAMESPACE"],
    ) as client:
        worker = Worker(
            client, task_queue="banquet", workflows=[Banquet], activities=[serve],
            max_concurrent_activities_per_key=1, max_concurrent_activities=4)
        await worker.run()

asyncio.run(main())
'''


@asynccontextmanager
async def worker(
    folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(folder / "banquet.py"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def ledger(folder: Path) -> list[dict[str, Any]]:  # Any: a row's values
    book = folder / "ledger"
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


@pytest.mark.slow
async def test_a_killed_holder_costs_no_place_and_lets_nobody_in_beside_it(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    (folder / "banquet.py").write_text(_WORKER)
    names = [f"{key}/{number}" for number in range(10) for key in ("acme", "other")]
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(worker(folder, environment))
        handle = await client.start_workflow(
            "Banquet", args=[names], id="banquet", task_queue="banquet"
        )
        await until(lambda: any(row["name"] == "acme/3" for row in ledger(folder)))
        # The other key goes on while this one is held up.
        await until(lambda: sum(row["what"] == "end" for row in ledger(folder)) == 13)
        waiting = (await handle.describe()).pending_activities
        shown = [one.limited_by for one in waiting if one.activity_id != "acme/3"]
        assert shown == ["key acme, 1 at a time"] * 6
        os.kill(
            next(row["pid"] for row in ledger(folder) if row["name"] == "acme/3"), signal.SIGKILL
        )
        assert await asyncio.wait_for(handle.result(), 60) == [
            2 if name == "acme/3" else 1 for name in names
        ]
    running: defaultdict[str, set[str]] = defaultdict(set)
    ended: list[str] = []
    for row in ledger(folder):
        of_key = running[row["name"].partition("/")[0]]
        if row["what"] == "begin":
            of_key.add(row["name"])  # The one that was killed goes on under its name.
        else:
            of_key.remove(row["name"])
            ended.append(row["name"])
        assert len(of_key) <= 1, of_key
    assert sorted(ended) == sorted(names)
