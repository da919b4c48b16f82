"""The calls of a run's updates, in each of their typed forms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from orchestrator.client.interceptors import OutboundInterceptor, StartWorkflowUpdateInput
from orchestrator.client.updates import (
    Sending,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
    checked,
    send,
    waiting,
)
from orchestrator.converter import DataConverter
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.handlers import UpdateMethodMultiParam, handler_name
from orchestrator.definition.signature import read_signature
from orchestrator.ids import RunId, WorkflowId, check_name
from orchestrator.wire.inbox import UpdateReceived
from orchestrator.wiring import Services

SelfT = TypeVar("SelfT")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


class UpdateCalls(Generic[SelfT]):
    """What a handle of a workflow can do with updates."""

    _services: Services
    _values: DataConverter
    _identity: str
    _id: WorkflowId
    _run_id: RunId | None
    _first_run_id: RunId | None
    _outbound: OutboundInterceptor | None

    @overload
    async def execute_update(
        self,
        update: UpdateMethodMultiParam[[SelfT], _Result],
        *,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Result: ...
    @overload
    async def execute_update(
        self,
        update: UpdateMethodMultiParam[[SelfT, _Param], _Result],
        arg: _Param,
        *,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Result: ...
    @overload
    async def execute_update(
        self,
        update: UpdateMethodMultiParam[_Params, _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Result: ...
    @overload
    async def execute_update(
        self,
        update: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> Any: ...  # Any: nothing is known of an update given by name
    async def execute_update(
        self,
        update: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        id: str | None = None,
        result_type: type | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:  # Any: the handler's result
        """Send an update and return what its handler returned.

        Needs a worker of the run's task queue, and waits for one. The same `id` again has no
        further effect on a run and gives the outcome of the first.

        Raises:
            WorkflowUpdateFailedError: the update was rejected, its handler failed, or the run ended
                before; `cause` says which.
            WorkflowUpdateRPCTimeoutOrCancelledError: `rpc_timeout` passed, or the caller was
                cancelled; the update goes on.
            RPCError: NOT_FOUND, no such run is open, or it ended before it let the update in;
                RESOURCE_EXHAUSTED, the run takes no more updates now.
            ConversionError: an argument cannot be converted.
        """
        call: Any = self.start_update  # Any: the overloads fit no forwarded call
        handle = await call(
            update,
            arg,
            args=args,
            id=id,
            result_type=result_type,
            rpc_timeout=rpc_timeout,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
        )
        return await handle.result()

    @overload
    async def start_update(
        self,
        update: UpdateMethodMultiParam[[SelfT], _Result],
        *,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[_Result]: ...
    @overload
    async def start_update(
        self,
        update: UpdateMethodMultiParam[[SelfT, _Param], _Result],
        arg: _Param,
        *,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[_Result]: ...
    @overload
    async def start_update(
        self,
        update: UpdateMethodMultiParam[_Params, _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[_Result]: ...
    @overload
    async def start_update(
        self,
        update: str,
        arg: Any = ...,  # Any: user's value
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = ...,  # Any: user's values
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[Any]: ...  # Any: nothing is known of an update given by name
    async def start_update(
        self,
        update: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),  # Any: user's values
        id: str | None = None,
        result_type: type | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowUpdateHandle[Any]:  # Any: the handler's result
        """Send an update, wait until it has come so far, and return a handle of it.

        That it was rejected is told by the handle's `result`, as every other end is.

        Raises:
            ValueError: `wait_for_stage` is ADMITTED, which nobody can wait for.
            WorkflowUpdateRPCTimeoutOrCancelledError, RPCError, ConversionError: as
                `execute_update`.
        """
        check_stage(wait_for_stage)
        given = StartWorkflowUpdateInput(
            id=self._id,
            run_id=self._run_id,
            first_execution_run_id=self._first_run_id,
            update_id=id,
            update=check_name("update name", handler_name(update)),
            args=one_or_all(arg, args),
            wait_for_stage=wait_for_stage,
            headers={},
            ret_type=result_type or result_hint(update),
            rpc_timeout=rpc_timeout,
        )
        if self._outbound is None:
            return await self.send_update(given)
        handle: WorkflowUpdateHandle[Any] = await self._outbound.start_workflow_update(given)
        return handle  # Any: as above

    async def send_update(
        self, given: StartWorkflowUpdateInput
    ) -> WorkflowUpdateHandle[Any]:  # Any: the handler's result
        """As `start_update`, past all interceptors."""
        body = UpdateReceived(
            update_id=check_name("update id", given.update_id or self._services.mint()),
            update_name=given.update,
            input=tuple(await self._values.encode(given.args)),
            header=dict(given.headers),
            identity=self._identity,
            run_id=self._run_id,
        )
        sending = Sending(
            self._id,
            body,
            first_run_id=None if self._first_run_id is None else RunId(self._first_run_id),
            is_known=given.update_id is not None,
        )
        async with waiting(self._services, given.rpc_timeout):
            view = checked(await send(self._services, sending, given.wait_for_stage))
        return WorkflowUpdateHandle(
            self._services,
            self._values,
            self._id,
            body.update_id,
            run_id=view.run_id,
            result_type=given.ret_type,
            known=view,
        )

    def get_update_handle(
        self, id: str, *, workflow_run_id: str | None = None, result_type: type | None = None
    ) -> WorkflowUpdateHandle[Any]:  # Any: nothing is known of it
        """A handle of an update that was accepted before, without any I/O."""
        return WorkflowUpdateHandle(
            self._services,
            self._values,
            self._id,
            check_name("update id", id),
            run_id=workflow_run_id or self._run_id,
            result_type=result_type,
        )

    def get_update_handle_for(
        self,
        update: UpdateMethodMultiParam[_Params, _Result],
        id: str,
        *,
        workflow_run_id: str | None = None,
    ) -> WorkflowUpdateHandle[_Result]:
        """As `get_update_handle`, with the types of a decorated method."""
        found: WorkflowUpdateHandle[Any] = self.get_update_handle(  # Any: it is typed by `update`
            id, workflow_run_id=workflow_run_id, result_type=result_hint(update)
        )
        return found


def check_stage(stage: WorkflowUpdateStage) -> None:
    """Raises ValueError for a stage that nobody can wait for."""
    if stage is WorkflowUpdateStage.ADMITTED:
        raise ValueError(
            "wait_for_stage: expected ACCEPTED or COMPLETED, found ADMITTED: that an update is "
            "stored is certain in either case"
        )


def result_hint(update: Any) -> Any:  # Any: a name or a decorated method; annotations
    """The type of what an update returns, where it is known."""
    if isinstance(update, str):
        return None
    return read_signature(update, what=f"update {handler_name(update)}", skip_self=True).ret_type
