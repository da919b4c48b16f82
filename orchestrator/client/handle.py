"""A run as a client holds it: wait for its result, signal, query, cancel, terminate, look at it.

A handle does no I/O until asked. Without a run id it speaks of the newest run of its workflow id.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from orchestrator.client.descriptions import (
    PendingActivity,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    status_of,
)
from orchestrator.client.failures import (
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from orchestrator.client.interceptors import (
    CancelWorkflowInput,
    DescribeWorkflowInput,
    OutboundInterceptor,
    QueryWorkflowInput,
    SignalWorkflowInput,
    TerminateWorkflowInput,
)
from orchestrator.client.pending_children import PendingChildren
from orchestrator.client.queries import ask
from orchestrator.client.results import closing_event, not_found, not_open, outcome_of, view_of
from orchestrator.client.update_calls import SelfT, UpdateCalls
from orchestrator.client.updates import too_many_unread
from orchestrator.common import QueryRejectCondition
from orchestrator.converter import DataConverter
from orchestrator.core.transition import Append, ForcedClose
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.handlers import handler_name
from orchestrator.definition.signature import read_signature
from orchestrator.exceptions import (
    FailureError,
    RPCError,
    RPCStatusCode,
)
from orchestrator.ids import (
    OperationId,
    RunId,
    check_name,
    check_run_id,
    check_text,
    check_workflow_id,
)
from orchestrator.limits import DETAILS_BYTES_MAX, IDLE_POLL_MS, QUERY_TIMEOUT_MS
from orchestrator.ports.store import (
    Appended,
    AttemptRecord,
    Closed,
    Duplicate,
    Full,
    NotOpen,
    RunView,
)
from orchestrator.relay.certainty import until_known
from orchestrator.units import to_ms
from orchestrator.wire import events as e
from orchestrator.wire.events import ActivityTaskScheduled, HistoryEvent
from orchestrator.wire.history_json import WorkflowHistory
from orchestrator.wire.inbox import CancelReceived, SignalReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wiring import Services

ReturnT = TypeVar("ReturnT")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Answer = TypeVar("_Answer")


class WorkflowHandle(UpdateCalls[SelfT], Generic[SelfT, ReturnT]):
    """A run, or the newest run of a workflow id."""

    def __init__(
        self,
        services: Services,
        values: DataConverter,
        identity: str,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,  # Any: annotations are of no common type
        outbound: OutboundInterceptor | None = None,
    ) -> None:
        """Made by a client; see `Client.get_workflow_handle`."""
        self._outbound = outbound
        self._services = services
        self._values = values
        self._identity = identity
        self._id = check_workflow_id(id)
        self._run_id = _checked(run_id)
        self._result_run_id = _checked(result_run_id)
        self._first_run_id = _checked(first_execution_run_id)
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that signals, queries and requests are meant for; None: the newest."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run whose result is waited for; None: the newest."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The run that began the chain, where it is known; cancel and terminate refuse another
        chain."""
        return self._first_run_id

    async def result(
        self, *, follow_runs: bool = True, rpc_timeout: timedelta | None = None
    ) -> ReturnT:
        """Wait for the end of the run, and of its successors, and return what it returned.

        Servers that are away are waited for.

        Raises:
            WorkflowFailureError: it ended otherwise; `cause` says how.
            WorkflowContinuedAsNewError: it has a successor, and `follow_runs` is False.
            RPCError: NOT_FOUND, there is no such run; DEADLINE_EXCEEDED, `rpc_timeout` passed.
        """
        try:
            timeout = None if rpc_timeout is None else rpc_timeout.total_seconds()
            async with asyncio.timeout(timeout):
                with self._services.waiting():
                    closing = await closing_event(
                        self._services,
                        self._id,
                        self._result_run_id or self._run_id,
                        follow_runs=follow_runs,
                    )
        except builtins.TimeoutError as error:
            raise RPCError(
                f"workflow {self._id!r} has not ended within {rpc_timeout}",
                RPCStatusCode.DEADLINE_EXCEEDED,
            ) from error
        return cast("ReturnT", await outcome_of(closing, self._values, self._result_type))

    # Messages -------------------------------------------------------------------------------------

    @overload
    async def signal(self, signal: Callable[[SelfT], Any]) -> None: ...  # Any: what it returns
    @overload
    async def signal(
        self,
        signal: Callable[[SelfT, _Param], Any],  # Any: what it returns is not used
        arg: _Param,
    ) -> None: ...
    @overload
    async def signal(
        self,
        signal: Callable[Concatenate[SelfT, _Params], Any],  # Any: what it returns is not used
        *,
        args: Sequence[Any],  # Any: user's values
    ) -> None: ...
    @overload
    async def signal(
        self,
        signal: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
    ) -> None: ...
    async def signal(
        self,
        signal: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
    ) -> None:
        """Send a signal; durable once this returns. A run without a handler keeps it for one.

        Raises:
            RPCError: NOT_FOUND, no such run is open; RESOURCE_EXHAUSTED, the run has too many
                unread entries.
            ConversionError: an argument cannot be converted.
        """
        given = SignalWorkflowInput(
            id=self._id,
            run_id=self._run_id,
            signal=check_name("signal name", handler_name(signal)),
            args=one_or_all(arg, args),
            headers={},
        )
        if self._outbound is None:
            await self.send_signal(given)
        else:
            await self._outbound.signal_workflow(given)

    @overload
    async def query(
        self,
        query: Callable[[SelfT], _Answer],
        *,
        reject_condition: QueryRejectCondition | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Answer: ...
    @overload
    async def query(
        self,
        query: Callable[[SelfT, _Param], _Answer],
        arg: _Param,
        *,
        reject_condition: QueryRejectCondition | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Answer: ...
    @overload
    async def query(
        self,
        query: Callable[Concatenate[SelfT, _Params], _Answer],
        *,
        args: Sequence[Any],  # Any: user's values
        reject_condition: QueryRejectCondition | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Answer: ...
    @overload
    async def query(
        self,
        query: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: type | None = ...,
        reject_condition: QueryRejectCondition | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> Any: ...  # Any: nothing is known of a query given by name
    async def query(
        self,
        query: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        result_type: type | None = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:  # Any: the handler's result
        """Ask the run's code, which sees every signal sent before; a closed run is replayed.

        Needs a worker of the run's task queue.

        Raises:
            WorkflowQueryFailedError: the handler raised, or there is none of this name.
            WorkflowQueryRejectedError: `reject_condition` holds.
            RPCError: NOT_FOUND, there is no such run; DEADLINE_EXCEEDED, no worker answered within
                `rpc_timeout` (10 s); FAILED_PRECONDITION, the run's code cannot go on.
        """
        name, hint = handler_name(query), result_type
        if hint is None and not isinstance(query, str):
            hint = read_signature(query, what=f"query {name}", skip_self=True).ret_type
        given = QueryWorkflowInput(
            id=self._id,
            run_id=self._run_id,
            query=name,
            args=one_or_all(arg, args),
            reject_condition=reject_condition,
            headers={},
            ret_type=hint,
            rpc_timeout=rpc_timeout,
        )
        if self._outbound is None:
            return await self.send_query(given)
        return await self._outbound.query_workflow(given)

    async def send_query(self, given: QueryWorkflowInput) -> Any:  # Any: the handler's result
        """As `query`, past all interceptors."""
        timeout = given.rpc_timeout
        timeout_ms = QUERY_TIMEOUT_MS if timeout is None else to_ms(timeout)
        view = await self._view(self._run_id)
        answer = await ask(
            self._services,
            view,
            given.query,
            await self._values.encode(given.args),
            header=dict(given.headers),
            reject_condition=given.reject_condition or QueryRejectCondition.NONE,
            timeout_ms=timeout_ms,
        )
        if answer.problem is not None:
            raise RPCError(
                f"workflow {self._id!r} cannot answer: {answer.problem}",
                RPCStatusCode.FAILED_PRECONDITION,
            )
        if answer.rejected is not None:
            raise WorkflowQueryRejectedError(status_of(answer.rejected).name)
        if answer.failure is not None:
            cause = await self._values.decode_failure(answer.failure)
            raise WorkflowQueryFailedError(str(cause)) from cause
        if answer.result is None:
            return None
        hints = None if given.ret_type is None else [given.ret_type]
        return (await self._values.decode([answer.result], hints))[0]

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the run to end; its code sees `asyncio.CancelledError` once. Again does nothing.

        Raises:
            RPCError: NOT_FOUND, no such run is open.
            InvalidNameError: the reason is no text, or over `limits.DETAILS_BYTES_MAX`.
        """
        given = CancelWorkflowInput(
            id=self._id,
            run_id=self._run_id,
            first_execution_run_id=self._first_run_id,
            reason=reason,
        )
        if self._outbound is None:
            await self.send_cancel(given)
        else:
            await self._outbound.cancel_workflow(given)

    async def terminate(self, *args: Any, reason: str = "") -> None:  # Any: user's values
        """End the run at once; its code is not asked. `args` are details for whoever waits.

        Raises:
            RPCError: NOT_FOUND, no such run is open.
            InvalidNameError: as of `cancel`.
        """
        given = TerminateWorkflowInput(
            id=self._id,
            run_id=self._run_id,
            first_execution_run_id=self._first_run_id,
            args=args,
            reason=reason,
        )
        if self._outbound is None:
            await self.send_terminate(given)
        else:
            await self._outbound.terminate_workflow(given)

    async def send_terminate(self, given: TerminateWorkflowInput) -> None:
        """As `terminate`, past all interceptors."""
        close = ForcedClose(
            workflow_id=self._id,
            event=e.WorkflowExecutionTerminated(
                reason=check_text("reason", given.reason, bytes_max=DETAILS_BYTES_MAX),
                details=tuple(await self._values.encode(given.args)),
                identity=self._identity,
            ),
            status=RunStatus.TERMINATED,
            run_id=self._run_id,
            first_run_id=self._first_run_id,
        )
        store, clock = self._services.store, self._services.clock
        answer = await until_known(lambda: store.force_close(close), clock)
        match answer:
            case Closed(woken=woken):
                if woken is not None:
                    self._services.dispatcher.wake(self._id, woken)
            case NotOpen():
                raise not_open(self._services, self._id, self._run_id, answer)

    async def resume(self) -> None:
        """Have the newest run of the workflow id looked at now, whatever back-off it is in: a
        stalled one, after its code was mended. A run that goes on by itself is not disturbed.

        Raises:
            RPCError: NOT_FOUND, no such run is open.
        """
        view = await self._view(self._run_id)
        if view.status is not RunStatus.RUNNING or view.run_id != view.newest_run_id:
            raise RPCError(
                f"workflow {self._id!r} is not open: run {view.run_id} is {view.status.value}",
                RPCStatusCode.NOT_FOUND,
            )
        store, clock = self._services.store, self._services.clock
        await until_known(lambda: store.hand_back(self._id, delay_ms=0), clock)

    # Looking --------------------------------------------------------------------------------------

    async def describe(self) -> WorkflowExecutionDescription:
        """Status, times and what is pending.

        Raises:
            RPCError: NOT_FOUND, there is no such run.
        """
        if self._outbound is None:
            return await self.look()
        given = DescribeWorkflowInput(id=self._id, run_id=self._run_id)
        return await self._outbound.describe_workflow(given)

    async def look(self) -> WorkflowExecutionDescription:
        """As `describe`, past all interceptors."""
        store = self._services.store
        view = await self._view(self._run_id)
        first = await store.event(self._id, view.run_id, 1)
        if first is None:
            raise not_found(self._services, self._id, view.run_id)
        records = await store.records(self._id, view.run_id)
        events = await asyncio.gather(  # Issued together, they travel together.
            *(store.event(self._id, view.run_id, record.event_id) for record in records)
        )
        pending = [
            await self._pending(record, event.attributes)
            for record, event in zip(records, events, strict=True)
            if event is not None and isinstance(event.attributes, ActivityTaskScheduled)
        ]
        children = PendingChildren()
        if view.status is RunStatus.RUNNING:
            async for page in store.history(self._id, view.run_id):
                children.see(page)
        return WorkflowExecutionDescription.of_view(
            view, first, pending, children.found, self._values
        )

    async def fetch_history(self) -> WorkflowHistory:
        """All events so far, to keep or to replay.

        Raises:
            RPCError: NOT_FOUND, there is no such run.
        """
        view = await self._view(self._run_id)
        pages = self._services.store.history(self._id, view.run_id)
        events = [event async for page in pages for event in page]
        return WorkflowHistory(self._id, events, view.run_id)

    async def fetch_history_events(
        self, *, wait_new_event: bool = False
    ) -> AsyncIterator[HistoryEvent]:
        """Events in order; with `wait_new_event` until the run has closed.

        Raises:
            RPCError: NOT_FOUND, there is no such run.
        """
        store = self._services.store
        view = await self._view(self._run_id)
        seen = 0
        while True:
            async for page in store.history(self._id, view.run_id, after=seen):
                for event in page:
                    seen = event.event_id
                    yield event
            if not wait_new_event or (
                view.status is not RunStatus.RUNNING and seen >= view.history_length
            ):
                return
            await self._services.clock.wait(asyncio.Event(), timeout_ms=IDLE_POLL_MS)
            view = await self._view(view.run_id)

    async def status(self) -> WorkflowExecutionStatus:
        """How the run stands, in one read.

        Raises:
            RPCError: NOT_FOUND, there is no such run.
        """
        return status_of((await self._view(self._run_id)).status)

    # Past the interceptors ------------------------------------------------------------------------

    async def send_signal(self, given: SignalWorkflowInput) -> None:
        """As `signal`, past all interceptors."""
        body = SignalReceived(
            signal_name=given.signal,
            input=tuple(await self._values.encode(given.args)),
            header=dict(given.headers),
            identity=self._identity,
        )
        await self._append(body, message=True)

    async def send_cancel(self, given: CancelWorkflowInput) -> None:
        """As `cancel`, past all interceptors."""
        reason = check_text("reason", given.reason, bytes_max=DETAILS_BYTES_MAX)
        body = CancelReceived(reason=reason, identity=self._identity)
        await self._append(body, message=False)

    # Inside ---------------------------------------------------------------------------------------

    async def _pending(
        self, record: AttemptRecord, scheduled: ActivityTaskScheduled
    ) -> PendingActivity:
        failure = record.last_failure
        error = None if failure is None else await self._values.decode_failure(failure)
        message = error.message if isinstance(error, FailureError) else None
        return PendingActivity.of_record(record, scheduled, last_failure=message)

    async def _append(self, body: SignalReceived | CancelReceived, *, message: bool) -> None:
        append = Append(
            workflow_id=self._id,
            body=body,
            operation_id=OperationId(self._services.mint()),
            run_id=self._run_id,
            first_run_id=self._first_run_id if isinstance(body, CancelReceived) else None,
            message=message,
        )
        store, clock = self._services.store, self._services.clock
        answer = await until_known(lambda: store.append(append), clock)
        match answer:
            case Appended(wake=wake):
                if wake is not None:
                    self._services.dispatcher.wake(self._id, wake)
            case Duplicate():
                pass  # The first call's answer was lost.
            case Full(unread=unread):
                raise too_many_unread(self._id, unread)
            case NotOpen():
                raise not_open(self._services, self._id, self._run_id, answer)

    async def _view(self, run_id: str | None) -> RunView:
        return await view_of(self._services, self._id, run_id)


def _checked(run_id: str | None) -> RunId | None:
    return None if run_id is None else check_run_id(run_id)
