"""A dynamic workflow with dynamic handlers and a dynamic activity, on real servers."""

from __future__ import annotations

import pytest

from orchestrator.client import Client, WorkflowUpdateFailedError
from orchestrator.worker import Replayer, Worker
from tests.engine.client.test_dynamic import QUEUE, Anything, any_activity, plain

pytestmark = pytest.mark.servers


async def test_whatever_is_asked_for_is_done_by_what_is_dynamic(client: Client) -> None:
    async with Worker(
        client, task_queue=QUEUE, workflows=[Anything], activities=[any_activity, plain]
    ):
        handle = await client.start_workflow("Waiting", "x", id="w", task_queue=QUEUE)
        assert await handle.query("where", "here") == "where of x with 1"
        assert await handle.execute_update("change", args=[1, 2]) == "change with 2"
        with pytest.raises(WorkflowUpdateFailedError, match="not that one"):
            await handle.execute_update("forbidden")
        await handle.signal("stop")
        assert await handle.result() == ["make_Waiting: x 1", "plain", "change", "stop"]
        history = await handle.fetch_history()
    replayed = await Replayer(workflows=[Anything]).replay_workflow(history)
    assert replayed.replay_failure is None
