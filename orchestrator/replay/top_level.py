"""Tasks at the top of a run's code: its method, and one for each signal."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Protocol

from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.replay.handlers import Handlers, SignalCall
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.source import Source, defined_at
from orchestrator.replay.values import Values
from orchestrator.wire import commands as c


class TopHost(Protocol):
    """The run, as far as these tasks need it."""

    definition: WorkflowDefinition
    loop: DurableLoop
    values: Values
    handlers: Handlers

    @property
    def is_activating(self) -> bool:
        """Whether user code runs because of an activation, not to be unwound."""
        ...

    def add(self, command: c.Command, source: Source | None = None) -> None:
        """Wish for something."""
        ...

    def end_with(self, error: BaseException) -> None:
        """What leaves the code ends its run or its task."""
        ...


def start_run(host: TopHost, call: Callable[[], Any]) -> asyncio.Task[None]:  # Any: user code
    """Make the task of the run method, which `call` calls; what it returns completes the run."""
    name = f"run {host.definition.name}"
    return host.loop.create_task(_top_level(host, call, signal=None), name=name)


def start_signal(host: TopHost, signal: SignalCall) -> None:
    """Make the task of a signal's handler."""
    host.handlers.running[signal] = None
    host.loop.create_task(
        _top_level(host, signal.call, signal=signal), name=f"signal {signal.name}"
    )


async def _top_level(
    host: TopHost,
    call: Callable[[], Any],  # Any: user code, sync or async
    *,
    signal: SignalCall | None,
) -> None:
    try:
        result = call()
        if inspect.isawaitable(result):
            result = await result
        if signal is None:
            payload = host.values.to_payloads([result])[0]
            source = defined_at(host.definition.run)
            host.add(c.CompleteWorkflowExecution(result=payload), source)
    except BaseException as error:  # the boundary of user code
        # Outside of an activation the coroutine is being unwound or collected.
        if not host.is_activating:
            raise
        host.end_with(error)
    finally:
        if signal is not None:
            host.handlers.running.pop(signal, None)
