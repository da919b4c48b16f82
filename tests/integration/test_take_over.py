"""A worker is killed with -9 on real servers: its short activity runs elsewhere, how soon and how
often."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from orchestrator.client import Client
from tests.integration.programs import Program, until

pytestmark = pytest.mark.servers

_KILLS = 3
_APP = '''
"""An app whose activities say when they begin, and end when the first of them is gone."""
import asyncio, json, os, time
from datetime import timedelta
from pathlib import Path
from orchestrator import activity, workflow

@activity.defn
async def hold(name: str) -> int:
    attempt = activity.info().attempt
    row = {"name": name, "attempt": attempt, "pid": os.getpid(), "time": time.time()}
    with Path("begun").open("a") as book:
        book.write(json.dumps(row) + "\\n")
    if attempt == 1:
        await asyncio.sleep(60)
    return attempt

@workflow.defn
class Holding:
    @workflow.run
    async def run(self, name: str) -> int:
        return await workflow.execute_activity(
            hold, name, start_to_close_timeout=timedelta(seconds=120))

task_queue = "holders"
workflows = [Holding]
activities = [hold]
'''


def begun(folder: Path) -> list[dict[str, Any]]:  # Any: a row's values
    book = folder / "begun"
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


async def test_a_short_activity_of_a_killed_worker_runs_elsewhere_within_a_second(
    tmp_path: Path, redis_url: str, amqp_url: str, random_namespace: str
) -> None:
    (tmp_path / "holders.py").write_text(_APP)
    environment = {
        "ORCHESTRATOR_BROKER": amqp_url,
        "ORCHESTRATOR_STORE": redis_url,
        "ORCHESTRATOR_NAMESPACE": random_namespace,
    }
    waits: list[float] = []
    async with AsyncExitStack() as stack:
        programs = [
            await stack.enter_async_context(
                Program("worker", "holders", folder=tmp_path, environment=environment)
            )
            for _ in range(_KILLS + 1)
        ]
        await asyncio.gather(*(program.logged("worker_started") for program in programs))
        client = await stack.enter_async_context(
            await Client.connect(broker=amqp_url, store=redis_url, namespace=random_namespace)
        )
        for number in range(_KILLS):
            handle = await client.start_workflow(
                "Holding", f"n{number}", id=f"n{number}", task_queue="holders"
            )
            await until(lambda number=number: len(begun(tmp_path)) == 2 * number + 1)
            os.kill(begun(tmp_path)[-1]["pid"], signal.SIGKILL)
            killed_at = time.time()
            assert await handle.result() == 2
            waits.append(begun(tmp_path)[-1]["time"] - killed_at)
    rows = [(row["name"], row["attempt"]) for row in begun(tmp_path)]
    assert rows == [(f"n{number}", attempt) for number in range(_KILLS) for attempt in (1, 2)]
    assert median(waits) < 1, waits
