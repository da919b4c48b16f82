"""The end of a run: waited for, and turned into what the caller gets.

A wait subscribes first, then reads, then waits for the notice, and reads again every five seconds:
a notice may be lost. Servers that are away are waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from orchestrator.client.failures import WorkflowContinuedAsNewError, WorkflowFailureError
from orchestrator.converter import DataConverter
from orchestrator.core.relations import successor_of
from orchestrator.exceptions import (
    CancelledError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    UnavailableError,
)
from orchestrator.ids import RunId, RunKind, WorkflowId, kind_of, standalone_activity_id
from orchestrator.limits import IDLE_POLL_MS, RESULT_REREAD_MS
from orchestrator.ports.store import NotOpen, RunView
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.options import RunStatus
from orchestrator.wiring import Services

_T = TypeVar("_T")


async def closing_event(
    services: Services, workflow_id: WorkflowId, run_id: str | None, *, follow_runs: bool
) -> HistoryEvent:
    """Wait for the last event of a run (None: the newest), or of its last successor.

    Raises:
        RPCError: NOT_FOUND, there is no such run.
        WorkflowContinuedAsNewError: it has a successor, and `follow_runs` is False.
    """
    notice, target = asyncio.Event(), None if run_id is None else RunId(run_id)
    store = services.store
    watch = await patiently(services, partial(store.watch, workflow_id, notice.set))
    try:
        while True:
            notice.clear()
            ending = await patiently(services, partial(store.ending, workflow_id, target))
            if ending is None:
                raise not_found(services, workflow_id, target)
            target, closing = ending.run_id, ending.closing
            if closing is None:
                await services.clock.wait(notice, timeout_ms=RESULT_REREAD_MS)
                continue
            successor = successor_of(closing.attributes)
            if successor is None:
                return closing
            if not follow_runs:
                if not isinstance(closing.attributes, e.WorkflowExecutionContinuedAsNew):
                    return closing
                raise WorkflowContinuedAsNewError(successor)
            target = successor
    finally:
        try:
            await watch.close()
        except UnavailableError:
            pass  # The subscription went with its connection.


async def outcome_of(
    closing: HistoryEvent,
    values: DataConverter,
    result_type: Any,  # Any: annotations are of no common type
) -> Any:  # Any: user's
    """What the run returned.

    Raises:
        WorkflowFailureError: it ended otherwise.
    """
    ended = closing.attributes
    match ended:
        case e.WorkflowExecutionCompleted(result=result):
            if result is None:
                return None
            hints = None if result_type is None else [result_type]
            return (await values.decode([result], hints))[0]
        case e.WorkflowExecutionFailed(failure=failure):
            cause, how = await values.decode_failure(failure), "failed"
        case e.WorkflowExecutionCanceled(details=details):
            cause, how = CancelledError("Cancelled", *await values.decode(details)), "cancelled"
        case e.WorkflowExecutionTerminated(reason=reason, details=details):
            cause = TerminatedError(reason or "Terminated", *await values.decode(details))
            how = "terminated"
        case e.WorkflowExecutionTimedOut():
            cause = TimeoutError("Workflow timed out", type=TimeoutType.START_TO_CLOSE)
            how = "timed out"
        case _:
            raise RPCError(f"a run cannot end by {closing.type}", RPCStatusCode.INTERNAL)
    raise WorkflowFailureError(f"Workflow execution {how}") from cause


async def view_of(services: Services, workflow_id: WorkflowId, run_id: str | None) -> RunView:
    """A run as stored.

    Raises:
        RPCError: NOT_FOUND, there is no such run.
    """
    view = await services.store.run(workflow_id, None if run_id is None else RunId(run_id))
    if view is None:
        raise not_found(services, workflow_id, run_id)
    return view


def not_found(services: Services, workflow_id: WorkflowId, run_id: str | None) -> RPCError:
    """The error that says so."""
    run = "" if run_id is None else f", run {run_id!r}"
    return RPCError(
        f"there is no {_named(workflow_id)}{run} in namespace {services.namespace!r} "
        "(it was never started, or its retention is over)",
        RPCStatusCode.NOT_FOUND,
    )


def not_open(
    services: Services, workflow_id: WorkflowId, run_id: str | None, answer: NotOpen
) -> RPCError:
    """The error for an operation that needs an open run, and how it stands instead."""
    if answer.status is None or answer.run_id is None:
        return not_found(services, workflow_id, run_id)
    if answer.status is RunStatus.RUNNING:
        found = f"its newest run is {answer.run_id}, which is not the one asked for"
    else:
        found = f"its newest run {answer.run_id} is {answer.status.value}"
    return RPCError(f"{_named(workflow_id)} is not open: {found}", RPCStatusCode.NOT_FOUND)


def _named(workflow_id: WorkflowId) -> str:
    if kind_of(workflow_id) is RunKind.ACTIVITY:
        return f"activity {standalone_activity_id(workflow_id)!r}"
    return f"workflow {workflow_id!r}"


async def patiently(services: Services, call: Callable[[], Awaitable[_T]]) -> _T:
    """The answer of a call that may be repeated, once a second while the store is away."""
    while True:
        try:
            return await call()
        except UnavailableError:
            await services.clock.wait(asyncio.Event(), timeout_ms=IDLE_POLL_MS)
