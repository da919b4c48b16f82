"""An update on its way: sent, waited for, and turned into what the caller gets.

Sending is one entry in the run's inbox. Its fate is read where the run's commits write it: the
stages beside the history, or, for a minute, why it was not let in. A wait subscribes first, then
reads, then waits for the notice, and reads again every five seconds; as long as nothing is known of
the update it sends it again then, as the same operation. Servers that are away are waited for.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from orchestrator.client.failures import (
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from orchestrator.client.results import not_found, not_open, patiently
from orchestrator.converter import DataConverter
from orchestrator.core.relations import successor_of
from orchestrator.core.transition import Append
from orchestrator.exceptions import (
    ApplicationError,
    RPCError,
    RPCStatusCode,
    UnavailableError,
)
from orchestrator.ids import OperationId, RunId, UpdateId, WorkflowId
from orchestrator.limits import RESULT_REREAD_MS, UPDATE_REPLY_TTL_MS
from orchestrator.ports.store import Appended, Duplicate, Full, NotOpen, UpdateView
from orchestrator.relay.certainty import until_known
from orchestrator.wire.events import (
    WorkflowExecutionUpdateCompleted,
)
from orchestrator.wire.inbox import UpdateReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wiring import Services

ReturnT_co = TypeVar("ReturnT_co", covariant=True)


class WorkflowUpdateStage(IntEnum):
    """How far an update has come."""

    ADMITTED = 1
    """It is stored and no worker has looked at it. Nobody can wait for this."""
    ACCEPTED = 2
    """The run's code let it in (or did not: then there is no more to come)."""
    COMPLETED = 3
    """Its handler ended."""


@dataclass(frozen=True, slots=True)
class Sending:
    """An update to be sent: its entry, and to which run it may go.

    `first_run_id` is the chain it is meant for. `is_known` says that the id may have been used
    before, so that it is looked for before it is sent.
    """

    workflow_id: WorkflowId
    body: UpdateReceived
    first_run_id: RunId | None = None
    is_known: bool = False


class WorkflowUpdateHandle(Generic[ReturnT_co]):
    """An update that was sent, or is known by its id. No I/O until asked."""

    def __init__(
        self,
        services: Services,
        values: DataConverter,
        workflow_id: WorkflowId,
        update_id: str,
        *,
        run_id: str | None = None,
        result_type: Any = None,  # Any: annotations are of no common type
        known: UpdateView | None = None,
    ) -> None:
        """Made by a handle of its workflow; see `WorkflowHandle.start_update`."""
        self._services = services
        self._values = values
        self._workflow_id = workflow_id
        self._id = update_id
        self._run_id = run_id
        self._result_type = result_type
        self._known = known

    @property
    def id(self) -> str:
        """The update id."""
        return self._id

    @property
    def workflow_id(self) -> str:
        """Whom it was sent to."""
        return self._workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        """The run that has it; None: the newest is asked."""
        return self._run_id

    @property
    def is_rejected(self) -> bool:
        """Whether it is known that the update was not let in: `result` says why."""
        return self._known is not None and self._known.reply is not None

    async def result(self, *, rpc_timeout: timedelta | None = None) -> ReturnT_co:
        """Wait until the handler has ended, and return what it returned.

        Raises:
            WorkflowUpdateFailedError: the update was rejected, its handler failed, or the run ended
                before; `cause` says which.
            WorkflowUpdateRPCTimeoutOrCancelledError: `rpc_timeout` passed, or the caller was
                cancelled; the update goes on.
            RPCError: NOT_FOUND, the run has had no update of this id.
        """
        if self._known is None or not _is_final(self._known):
            async with waiting(self._services, rpc_timeout):
                self._known = await self._poll()
        return await _outcome(self._known, self._values, self._result_type)  # type: ignore[no-any-return]  # the caller's word for it

    async def _poll(self) -> UpdateView:
        store = self._services.store
        run_id = None if self._run_id is None else RunId(self._run_id)
        async with watching(self._services, self._workflow_id) as notice:
            while True:
                notice.clear()
                view = await patiently(
                    self._services,
                    partial(store.update, self._workflow_id, run_id, UpdateId(self._id)),
                )
                if view is None:
                    raise not_found(self._services, self._workflow_id, run_id)
                if view.accepted_event_id is None:
                    raise RPCError(
                        f"run {view.run_id!r} of workflow {self._workflow_id!r} has accepted no "
                        f"update {self._id!r}",
                        RPCStatusCode.NOT_FOUND,
                    )
                run_id = view.run_id
                if _is_final(view):
                    return view
                await self._services.clock.wait(notice, timeout_ms=RESULT_REREAD_MS)


async def send(services: Services, sending: Sending, stage: WorkflowUpdateStage) -> UpdateView:
    """Send an update and wait until it has come to `stage`, or to its end.

    Raises:
        RPCError: NOT_FOUND, no such run is open, or it ended before it let the update in;
            RESOURCE_EXHAUSTED, the run takes no more now.
        UnavailableError: the store does not answer.
    """
    async with watching(services, sending.workflow_id) as notice:
        if sending.is_known:
            view = await _look(services, sending, run_id=_run_of(sending), operation_id=None)
            if view is not None and view.accepted_event_id is not None:
                return await follow(services, sending, view, stage, notice)
        operation_id = OperationId(services.mint())
        answer = await append(services, sending, operation_id)
        run_id = answer.run_id if isinstance(answer, Appended) else _run_of(sending)
        return await settle(services, sending, run_id, operation_id, stage, notice)


async def follow(
    services: Services,
    sending: Sending,
    view: UpdateView,
    stage: WorkflowUpdateStage,
    notice: asyncio.Event,
) -> UpdateView:
    """Wait until an accepted update has come to `stage`, or to its end."""
    while not (_is_final(view) or stage is WorkflowUpdateStage.ACCEPTED):
        await services.clock.wait(notice, timeout_ms=RESULT_REREAD_MS)
        notice.clear()
        found = await _look(services, sending, run_id=view.run_id, operation_id=None)
        if found is None:
            raise not_found(services, sending.workflow_id, view.run_id)
        view = found
    return view


async def settle(
    services: Services,
    sending: Sending,
    run_id: RunId | None,
    operation_id: OperationId,
    stage: WorkflowUpdateStage,
    notice: asyncio.Event,
) -> UpdateView:
    """Wait for the fate of an update that stands in the inbox."""
    looked_ms = services.clock.now_ms()
    while True:
        notice.clear()
        view = await _look(services, sending, run_id=run_id, operation_id=operation_id)
        if view is None:
            raise not_found(services, sending.workflow_id, run_id)
        run_id = view.run_id
        if view.accepted_event_id is not None:
            return await follow(services, sending, view, stage, notice)
        if view.reply is not None:
            return view
        if view.status is not RunStatus.RUNNING:
            run_id = await _successor(services, sending, view)
            continue
        await services.clock.wait(notice, timeout_ms=RESULT_REREAD_MS)
        if not notice.is_set():
            now_ms = services.clock.now_ms()
            if now_ms - looked_ms > UPDATE_REPLY_TTL_MS // 2:
                # A reply may have come and gone meanwhile: ask anew.
                operation_id = OperationId(services.mint())
            await append(services, sending, operation_id, quiet=True)
        looked_ms = services.clock.now_ms()


async def _successor(services: Services, sending: Sending, view: UpdateView) -> RunId:
    """The run that has inherited the inbox of a closed one.

    Raises:
        RPCError: NOT_FOUND, there is none, or the update was meant for the closed run alone.
    """
    store = services.store
    ending = await patiently(services, partial(store.ending, sending.workflow_id, view.run_id))
    closing = None if ending is None or ending.closing is None else ending.closing.attributes
    successor = None if closing is None else successor_of(closing)
    if successor is not None and sending.body.run_id is None:
        return successor
    raise RPCError(
        f"run {view.run_id!r} of workflow {sending.workflow_id!r} ended ({view.status.value}) "
        f"before it accepted update {sending.body.update_id!r}",
        RPCStatusCode.NOT_FOUND,
    )


async def append(
    services: Services, sending: Sending, operation_id: OperationId, *, quiet: bool = False
) -> Appended | Duplicate | None:
    """Put the update into the inbox of its run and wake it. `quiet`: what refuses it now is found
    by the next look; None is returned.

    Raises:
        RPCError: NOT_FOUND, no such run is open; RESOURCE_EXHAUSTED, it has too much unread.
        UnavailableError: the store does not answer.
    """
    order = Append(
        workflow_id=sending.workflow_id,
        body=replace(sending.body, operation_id=operation_id),
        operation_id=operation_id,
        run_id=_run_of(sending),
        first_run_id=sending.first_run_id,
        message=True,
    )
    try:
        answer = await until_known(lambda: services.store.append(order), services.clock)
    except UnavailableError:
        if quiet:
            return None
        raise
    match answer:
        case Appended(wake=wake):
            if wake is not None:
                services.dispatcher.wake(sending.workflow_id, wake)
            return answer
        case Duplicate():
            return answer
        case NotOpen() | Full() if quiet:
            return None
        case NotOpen():
            raise not_open(services, sending.workflow_id, sending.body.run_id, answer)
        case Full(unread=unread):
            raise too_many_unread(sending.workflow_id, unread)


def too_many_unread(workflow_id: WorkflowId, unread: int) -> RPCError:
    """The error of a run that has fallen behind."""
    return RPCError(
        f"workflow {workflow_id!r} has {unread} unread entries; send more when its workers have "
        "caught up",
        RPCStatusCode.RESOURCE_EXHAUSTED,
    )


def checked(view: UpdateView) -> UpdateView:
    """`view`, unless it says that the run takes no updates now.

    Raises:
        RPCError: RESOURCE_EXHAUSTED.
    """
    if view.reply is not None and view.reply.refused:
        raise RPCError(
            f"run {view.run_id!r} takes no more updates: {view.reply.refused}",
            RPCStatusCode.RESOURCE_EXHAUSTED,
        )
    return view


@asynccontextmanager
async def watching(services: Services, workflow_id: WorkflowId) -> AsyncGenerator[asyncio.Event]:
    """An event that is set when an update of the workflow id has come further, or a run closed."""
    notice = asyncio.Event()
    store = services.store
    watch = await patiently(services, partial(store.watch, workflow_id, notice.set, updates=True))
    try:
        yield notice
    finally:
        try:
            await watch.close()
        except UnavailableError:
            pass  # The subscription went with its connection.


@asynccontextmanager
async def waiting(services: Services, timeout: timedelta | None) -> AsyncGenerator[None]:
    """Wait at most so long.

    Raises:
        WorkflowUpdateRPCTimeoutOrCancelledError: the time passed, or the caller was cancelled.
    """
    seconds = None if timeout is None else timeout.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            with services.waiting():
                yield
    except (builtins.TimeoutError, asyncio.CancelledError) as error:
        raise WorkflowUpdateRPCTimeoutOrCancelledError() from error


async def _look(
    services: Services,
    sending: Sending,
    *,
    run_id: RunId | None,
    operation_id: OperationId | None,
) -> UpdateView | None:
    update_id = UpdateId(sending.body.update_id)
    look: Callable[[], Any] = lambda: services.store.update(  # noqa: E731
        sending.workflow_id, run_id, update_id, operation_id=operation_id
    )
    found: UpdateView | None = await patiently(services, look)
    return found


def _run_of(sending: Sending) -> RunId | None:
    return None if sending.body.run_id is None else RunId(sending.body.run_id)


def _is_final(view: UpdateView) -> bool:
    """Whether nothing more will come: it is completed, was not let in, or its run has ended."""
    ended = view.status is not RunStatus.RUNNING
    return view.completed is not None or view.reply is not None or ended


async def _outcome(
    view: UpdateView,
    values: DataConverter,
    result_type: Any,  # Any: annotations are of no common type
) -> Any:  # Any: user's
    """What the handler returned.

    Raises:
        WorkflowUpdateFailedError: it failed, was rejected, or the run ended before.
    """
    failure = None if view.reply is None else view.reply.failure
    if view.completed is not None:
        done = view.completed.attributes
        if not isinstance(done, WorkflowExecutionUpdateCompleted):
            raise RPCError(
                f"an update cannot be completed by {view.completed.type}", RPCStatusCode.INTERNAL
            )
        if done.failure is None:
            hints = None if result_type is None else [result_type]
            if done.result is None:
                return None
            return (await values.decode([done.result], hints))[0]
        failure = done.failure
    cause: BaseException = ApplicationError(
        f"the run ended ({view.status.value}) before the update was completed",
        type="AcceptedUpdateCompletedWorkflow",
        non_retryable=True,
    )
    if failure is not None:
        cause = await values.decode_failure(failure)
    raise WorkflowUpdateFailedError(f"Workflow update failed: {cause}") from cause
