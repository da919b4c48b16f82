"""Patches that a worker holds back, on real servers."""

from __future__ import annotations

import pytest

from orchestrator.client import Client
from orchestrator.worker import Replayer, Worker
from tests.engine.inside.workflows import ACTIVITIES, QUEUE, Before, Patched

pytestmark = pytest.mark.servers


async def test_a_worker_may_hold_a_patch_back(client: Client) -> None:
    wanted = False
    ways: dict[str, str] = {}
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[Patched],
        activities=ACTIVITIES,
        patch_activation_callback=lambda input: wanted,
    ):
        for id in ("held", "taken"):
            handle = await client.start_workflow(Before.run, id=id, task_queue=QUEUE)
            assert await handle.query(Before.there)
            await handle.signal(Before.end)
            ways[id] = await handle.result()
            wanted = True
    assert ways == {"held": "the old way", "taken": "the new way"}
    for id in ways:
        history = await client.get_workflow_handle(id).fetch_history()
        replayed = await Replayer(workflows=[Patched]).replay_workflow(history)
        assert replayed.replay_failure is None
