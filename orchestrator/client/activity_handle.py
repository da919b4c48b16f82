"""A standalone activity to wait for, to look at and to end."""

from __future__ import annotations

import asyncio
import builtins
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

from orchestrator.client.activity_descriptions import ActivityExecutionDescription, description_of
from orchestrator.client.failures import ActivityFailureError
from orchestrator.client.interceptors import (
    CancelActivityInput,
    DescribeActivityInput,
    OutboundInterceptor,
    TerminateActivityInput,
)
from orchestrator.client.results import closing_event, not_found, not_open, view_of
from orchestrator.converter import DataConverter
from orchestrator.core.standalone import cancel_of
from orchestrator.core.standalone_records import SCHEDULED_EVENT_ID
from orchestrator.core.transition import ForcedClose
from orchestrator.exceptions import CancelledError, RPCError, RPCStatusCode, TerminatedError
from orchestrator.ids import RunId, check_run_id, check_text, standalone_workflow_id
from orchestrator.limits import DETAILS_BYTES_MAX
from orchestrator.ports.store import NotOpen
from orchestrator.relay.certainty import until_known
from orchestrator.wire import events as e
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.options import RunStatus
from orchestrator.wiring import Services

ReturnT = TypeVar("ReturnT")


class ActivityHandle(Generic[ReturnT]):
    """A standalone activity, or the newest one of its id; see `Client.get_activity_handle`."""

    def __init__(
        self,
        services: Services,
        values: DataConverter,
        identity: str,
        id: str,
        *,
        run_id: str | None = None,
        result_type: Any = None,  # Any: annotations are of no common type
        outbound: OutboundInterceptor | None = None,
    ) -> None:
        """Made by a client."""
        self._outbound = outbound
        self._services = services
        self._values = values
        self._identity = identity
        self._id = id
        self._workflow_id = standalone_workflow_id(id)
        self._run_id: RunId | None = None if run_id is None else check_run_id(run_id)
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The activity id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """Which of the activities of this id; None: the newest."""
        return self._run_id

    async def result(self, *, rpc_timeout: timedelta | None = None) -> ReturnT:
        """Wait for the end of the activity, over all attempts, and return what it returned.

        Servers that are away are waited for.

        Raises:
            ActivityFailureError: it ended otherwise; `cause` says how.
            RPCError: NOT_FOUND, there is no such activity, or its retention is over;
                DEADLINE_EXCEEDED, `rpc_timeout` passed.
        """
        timeout = None if rpc_timeout is None else rpc_timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout):
                with self._services.waiting():
                    closing = await closing_event(
                        self._services, self._workflow_id, self._run_id, follow_runs=False
                    )
        except builtins.TimeoutError as error:
            raise RPCError(
                f"activity {self._id!r} has not ended within {rpc_timeout}",
                RPCStatusCode.DEADLINE_EXCEEDED,
            ) from error
        return cast("ReturnT", await self._outcome_of(closing))

    async def describe(self) -> ActivityExecutionDescription:
        """Status, times, options and attempts.

        Raises:
            RPCError: NOT_FOUND, there is no such activity.
        """
        if self._outbound is None:
            return await self.look()
        given = DescribeActivityInput(activity_id=self._id, run_id=self._run_id)
        return await self._outbound.describe_activity(given)

    async def look(self) -> ActivityExecutionDescription:
        """As `describe`, past all interceptors."""
        store = self._services.store
        view = await view_of(self._services, self._workflow_id, self._run_id)
        record = None
        if view.status is RunStatus.RUNNING:
            record = await store.record(self._workflow_id, view.run_id, SCHEDULED_EVENT_ID)
        pages = store.history(self._workflow_id, view.run_id)
        history = [event async for page in pages for event in page]
        if not history:
            raise not_found(self._services, self._workflow_id, self._run_id)
        return await description_of(view, history, record, self._values)

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the activity to end. One that nobody runs ends at once; code that runs is told at
        once, sees a cancellation, and may still complete. Again does nothing.

        Raises:
            RPCError: NOT_FOUND, it is not open.
            InvalidNameError: the reason is no text, or over `limits.DETAILS_BYTES_MAX`.
        """
        given = CancelActivityInput(activity_id=self._id, run_id=self._run_id, reason=reason)
        if self._outbound is None:
            await self.send_cancel(given)
        else:
            await self._outbound.cancel_activity(given)

    async def send_cancel(self, given: CancelActivityInput) -> None:
        """As `cancel`, past all interceptors."""
        reason = check_text("reason", given.reason, bytes_max=DETAILS_BYTES_MAX)
        run_id = self._run_id
        if run_id is None:
            run_id = (await view_of(self._services, self._workflow_id, None)).run_id
        cancel = cancel_of(self._workflow_id, run_id, reason=reason, identity=self._identity)
        store, clock = self._services.store, self._services.clock
        answer = await until_known(lambda: store.cancel_standalone(cancel), clock)
        if isinstance(answer, NotOpen):
            raise not_open(self._services, self._workflow_id, self._run_id, answer)

    async def terminate(self, *, reason: str = "") -> None:
        """End the activity at once. Code that runs is not asked: its outcome counts no more, and
        its next heartbeat tells it.

        Raises:
            RPCError: NOT_FOUND, it is not open.
            InvalidNameError: as of `cancel`.
        """
        given = TerminateActivityInput(activity_id=self._id, run_id=self._run_id, reason=reason)
        if self._outbound is None:
            await self.send_terminate(given)
        else:
            await self._outbound.terminate_activity(given)

    async def send_terminate(self, given: TerminateActivityInput) -> None:
        """As `terminate`, past all interceptors."""
        terminated = e.WorkflowExecutionTerminated(
            reason=check_text("reason", given.reason, bytes_max=DETAILS_BYTES_MAX),
            identity=self._identity,
        )
        close = ForcedClose(
            workflow_id=self._workflow_id,
            event=terminated,
            status=RunStatus.TERMINATED,
            run_id=self._run_id,
        )
        store, clock = self._services.store, self._services.clock
        answer = await until_known(lambda: store.force_close(close), clock)
        if isinstance(answer, NotOpen):
            raise not_open(self._services, self._workflow_id, self._run_id, answer)

    async def _outcome_of(self, closing: HistoryEvent) -> Any:  # Any: user's value
        ended = closing.attributes
        match ended:
            case e.WorkflowExecutionCompleted(result=result):
                if result is None:
                    return None
                hints = None if self._result_type is None else [self._result_type]
                return (await self._values.decode([result], hints))[0]
            case e.WorkflowExecutionFailed(failure=failure):
                cause, how = await self._values.decode_failure(failure), "failed"
            case e.WorkflowExecutionCanceled(details=details):
                cause = CancelledError("Cancelled", *await self._values.decode(details))
                how = "cancelled"
            case e.WorkflowExecutionTerminated(reason=reason):
                cause, how = TerminatedError(reason or "Terminated"), "terminated"
            case _:
                raise RPCError(f"an activity cannot end by {closing.type}", RPCStatusCode.INTERNAL)
        raise ActivityFailureError(f"Activity execution {how}") from cause
