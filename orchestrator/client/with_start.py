"""Update-with-start: one write that makes a run, or finds the open one, and gives it an update.

It is atomic as far as the start goes: a run that was made stays if its code rejects the update.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from msgspec.structs import replace

from orchestrator.client.handle import WorkflowHandle
from orchestrator.client.interceptors import (
    StartUpdateWithStartInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
)
from orchestrator.client.options import WorkflowStartOptions, target_of
from orchestrator.client.starting import Starts, start_run
from orchestrator.client.update_calls import check_stage, result_hint
from orchestrator.client.updates import (
    Sending,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
    append,
    checked,
    settle,
    waiting,
    watching,
)
from orchestrator.common import WorkflowIDConflictPolicy
from orchestrator.core.transition import StartMessage
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.handlers import UpdateMethodMultiParam, handler_name
from orchestrator.ids import OperationId, check_name, check_workflow_id
from orchestrator.ports.store import Started, UpdateView
from orchestrator.wire.inbox import UpdateReceived

SelfT = TypeVar("SelfT")
ReturnT = TypeVar("ReturnT")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


class WithStartWorkflowOperation(Generic[SelfT, ReturnT]):
    """The start that goes with an update; good for one call."""

    @overload
    def __init__(
        self,
        workflow: Callable[[SelfT], Awaitable[ReturnT]],
        **options: Unpack[WorkflowStartOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        workflow: Callable[[SelfT, _Param], Awaitable[ReturnT]],
        arg: _Param,
        **options: Unpack[WorkflowStartOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        workflow: Callable[Concatenate[SelfT, _Params], Awaitable[ReturnT]],
        *,
        args: Sequence[Any],  # Any: user's values
        **options: Unpack[WorkflowStartOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: WithStartWorkflowOperation[Any, Any],  # Any: nothing is known of it
        workflow: str,
        arg: Any = ...,  # Any: user's value
        *,
        args: Sequence[Any] = ...,  # Any: user's values
        result_type: type | None = ...,
        **options: Unpack[WorkflowStartOptions],
    ) -> None: ...
    def __init__(
        self,
        workflow: Any,  # Any: a name or a run method
        arg: Any = ABSENT,  # Any: user's value
        *,
        args: Sequence[Any] = (),  # Any: user's values
        result_type: type | None = None,
        **options: Unpack[WorkflowStartOptions],
    ) -> None:
        """The options are those of `Client.start_workflow`; the conflict policy must be given.

        Raises:
            ValueError: it is not, or both `arg` and `args` are given, or `start_signal` is.
        """
        policy = options.get("id_conflict_policy", WorkflowIDConflictPolicy.UNSPECIFIED)
        if policy is WorkflowIDConflictPolicy.UNSPECIFIED:
            raise ValueError(
                "id_conflict_policy: expected FAIL, USE_EXISTING or TERMINATE_EXISTING, found "
                "none; an update that goes with a start must say what to do about an open run"
            )
        if options.get("start_signal"):
            raise ValueError("start_signal: a start takes one message, here the update")
        self.target = target_of(workflow, result_type)
        self.args = one_or_all(arg, args)
        self.options = options
        self._is_used = False
        self._handle: asyncio.Future[WorkflowHandle[Any, Any]] | None = None  # Any: see the types

    async def workflow_handle(self) -> WorkflowHandle[SelfT, ReturnT]:
        """The handle of the run that answers the start; waits until that is known.

        Raises:
            WorkflowAlreadyStartedError: the policies refuse; and whatever else the start raised.
        """
        handle = await asyncio.shield(self._known())
        return cast("WorkflowHandle[SelfT, ReturnT]", handle)

    def input(self) -> StartWorkflowInput:
        """The start, for interceptors to see."""
        return StartWorkflowInput(
            workflow=self.target.name,
            args=self.args,
            options=self.options,
            headers={},
            ret_type=self.target.ret_type,
        )

    def use(self) -> None:
        """Take the operation for a call.

        Raises:
            RuntimeError: it was used before.
        """
        if self._is_used:
            raise RuntimeError("a WithStartWorkflowOperation is good for one call; make another")
        self._is_used = True

    def succeed(self, handle: WorkflowHandle[Any, Any]) -> None:  # Any: as above
        """Tell who waits for the handle."""
        self._known().set_result(handle)

    def fail(self, error: BaseException) -> None:
        """Tell who waits for the handle, if there is none, why."""
        known = self._known()
        if not known.done():
            known.set_exception(error)
            known.exception()  # The caller has it; nobody must ask here.

    def _known(self) -> asyncio.Future[WorkflowHandle[Any, Any]]:  # Any: as above
        if self._handle is None:
            self._handle = asyncio.get_running_loop().create_future()
        return self._handle


class UpdateWithStartCalls(Starts):
    """What a client can do with an update and a start in one."""

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfT], _Result],
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfT, Any],  # Any: any result
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Result: ...
    @overload
    async def execute_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfT, _Param], _Result],
        arg: _Param,
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfT, Any],  # Any: any result
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Result: ...
    @overload
    async def execute_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[_Params, _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],  # Any: any workflow
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> _Result: ...
    @overload
    async def execute_update_with_start_workflow(
        self,
        update: str,
        arg: Any = ...,  # Any: user's value
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],  # Any: any workflow
        args: Sequence[Any] = ...,  # Any: user's values
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> Any: ...  # Any: nothing is known of an update given by name
    async def execute_update_with_start_workflow(
        self,
        update: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],  # Any: any workflow
        args: Sequence[Any] = (),  # Any: user's values
        id: str | None = None,
        result_type: type | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:  # Any: the handler's result
        """As `start_update_with_start_workflow`, and return what the handler returned; raises also
        what `WorkflowUpdateHandle.result` does."""
        call: Any = self.start_update_with_start_workflow  # Any: overloads fit no forwarded call
        handle = await call(
            update,
            arg,
            args=args,
            id=id,
            result_type=result_type,
            rpc_timeout=rpc_timeout,
            start_workflow_operation=start_workflow_operation,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
        )
        return await handle.result()

    @overload
    async def start_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfT], _Result],
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfT, Any],  # Any: any result
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[_Result]: ...
    @overload
    async def start_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfT, _Param], _Result],
        arg: _Param,
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfT, Any],  # Any: any result
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[_Result]: ...
    @overload
    async def start_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[_Params, _Result],
        *,
        args: Sequence[Any],  # Any: user's values
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],  # Any: any workflow
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[_Result]: ...
    @overload
    async def start_update_with_start_workflow(
        self,
        update: str,
        arg: Any = ...,  # Any: user's value
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],  # Any: any workflow
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = ...,  # Any: user's values
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_timeout: timedelta | None = ...,
    ) -> WorkflowUpdateHandle[Any]: ...  # Any: nothing is known of an update given by name
    async def start_update_with_start_workflow(
        self,
        update: Any,  # Any: a name or a decorated method
        arg: Any = ABSENT,  # Any: user's value
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],  # Any: any workflow
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),  # Any: user's values
        id: str | None = None,
        result_type: type | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowUpdateHandle[Any]:  # Any: the handler's result
        """Send an update to the open run, or to one that is made for it and sees it in its first
        task; wait until the update has come to a stage, and return its handle.

        An update whose `id` the newest run knows is found and not sent again, if that run is open
        or has completed it.

        Raises:
            WorkflowAlreadyStartedError: the policies refuse.
            ValueError: `wait_for_stage` is ADMITTED, which nobody can wait for.
            RuntimeError: the operation was used before.
            WorkflowUpdateRPCTimeoutOrCancelledError: `rpc_timeout` passed, or the caller was
                cancelled; what was written stays.
            RPCError: RESOURCE_EXHAUSTED, the open run takes no more updates now; NOT_FOUND, the run
                ended before it let the update in.
            InvalidNameError, ConversionError: as `Client.start_workflow`.
        """
        check_stage(wait_for_stage)
        operation = start_workflow_operation
        operation.use()
        try:
            given = StartUpdateWithStartInput(
                start=operation.input(),
                update=StartWorkflowUpdateInput(
                    id=operation.options["id"],
                    run_id=None,
                    first_execution_run_id=None,
                    update_id=id,
                    update=check_name("update name", handler_name(update)),
                    args=one_or_all(arg, args),
                    wait_for_stage=wait_for_stage,
                    headers={},
                    ret_type=result_type or result_hint(update),
                    rpc_timeout=rpc_timeout,
                ),
                operation=operation,
            )
            if self.outbound is None:
                return await self.send_update_with_start(given)
            handle: WorkflowUpdateHandle[
                Any
            ] = await self.outbound.start_update_with_start_workflow(given)  # Any: as above
        except BaseException as error:  # whoever waits for the handle of the run must hear of it
            operation.fail(error)
            raise
        return handle

    async def send_update_with_start(
        self, given: StartUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:  # Any: the handler's result
        """As `start_update_with_start_workflow`, past all interceptors."""
        update = given.update
        body = UpdateReceived(
            update_id=check_name("update id", update.update_id or self.services.mint()),
            update_name=update.update,
            input=tuple(await self.data_converter.encode(update.args)),
            header=dict(update.headers),
            identity=self.identity,
            operation_id=self.services.mint(),
        )
        async with waiting(self.services, update.rpc_timeout):
            view = await self._send_with_start(given, body)
        handle = await given.operation.workflow_handle()
        return WorkflowUpdateHandle(
            self.services,
            self.data_converter,
            check_workflow_id(handle.id),
            body.update_id,
            run_id=view.run_id,
            result_type=update.ret_type,
            known=view,
        )

    async def _send_with_start(
        self, given: StartUpdateWithStartInput, body: UpdateReceived
    ) -> UpdateView:
        operation_id, stage = OperationId(body.operation_id), given.update.wait_for_stage
        start = await self._start_of(given.start)
        start = replace(start, message=StartMessage(body=body, operation_id=operation_id))
        sending = Sending(start.workflow_id, body)
        async with watching(self.services, start.workflow_id) as notice:
            answer = await start_run(self.services, start)
            given.operation.succeed(self._handle_of(given.start, start, answer))
            if isinstance(answer, Started) and not answer.new:
                # This request made the run before, perhaps with another update.
                await append(self.services, sending, operation_id, quiet=True)
            view = await settle(self.services, sending, answer.run_id, operation_id, stage, notice)
        return checked(view)
