"""The run behind `orchestrator.workflow`, found through the running loop."""

from __future__ import annotations

import asyncio

from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.run import WorkflowRun


def current_run_or_none() -> WorkflowRun | None:
    """The run whose code is executing, if any."""
    loop = asyncio._get_running_loop()
    if isinstance(loop, DurableLoop) and isinstance(loop.host, WorkflowRun):
        return loop.host
    return None


def current_run() -> WorkflowRun:
    """The run whose code is executing.

    Raises:
        RuntimeError: the caller is not workflow code.
    """
    run = current_run_or_none()
    if run is None:
        raise RuntimeError("not in workflow code: call this from a workflow's run or handler")
    return run
