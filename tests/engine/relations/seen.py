"""What tests look at: runs that have come so far, and the events of histories."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from orchestrator.exceptions import RPCError
from tests.engine.relations.workflows import Waiting


async def types(client: Client, workflow_id: str) -> list[str]:
    """The events of a run but those of its tasks."""
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return [event.type for event in history.events if "WorkflowTask" not in event.type]


async def waiting(client: Client, workflow_id: str = "child") -> Any:  # Any: a typed handle
    """The handle of a `Waiting`, once it waits."""
    handle = client.get_workflow_handle_for(Waiting.run, workflow_id)
    for _ in range(100_000):
        try:
            if (await handle.describe()).history_length >= 4:
                return handle
        except RPCError:  # it does not exist yet
            pass
        await asyncio.sleep(0)
    raise AssertionError(f"{workflow_id} has not begun")


async def ended(client: Client, workflow_id: str = "child") -> WorkflowExecutionStatus:
    """How a run stands, once it is closed; time passes for it."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        await handle.result()
    except WorkflowFailureError:
        pass
    return (await handle.describe()).status
