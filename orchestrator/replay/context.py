"""The run behind `orchestrator.workflow`, found through the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

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


_unrestricted: ContextVar[bool] = ContextVar("orchestrator_unrestricted", default=False)


def is_unrestricted() -> bool:
    """Whether the task that is executing has lifted the restrictions on workflow code."""
    return _unrestricted.get()


@contextmanager
def unrestricted() -> Generator[None, None, None]:
    """Lift the restrictions for this task, and for tasks it makes, until the end of the block."""
    before = _unrestricted.get()
    _unrestricted.set(True)
    try:
        yield
    finally:
        # Not by token: a coroutine may be unwound in another context than it was run in.
        _unrestricted.set(before)
