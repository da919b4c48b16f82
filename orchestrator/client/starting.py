"""A start, with or without a message that goes with it, as every form of it is sent."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.client.handle import WorkflowHandle
from orchestrator.client.interceptors import OutboundInterceptor, StartWorkflowInput
from orchestrator.client.options import Target, start_options
from orchestrator.client.updates import too_many_unread
from orchestrator.converter import DataConverter
from orchestrator.core.start import start_of
from orchestrator.core.transition import StartMessage, StartRun
from orchestrator.exceptions import WorkflowAlreadyStartedError
from orchestrator.ids import OperationId, check_name
from orchestrator.ports.store import Attached, Full, Started, StartRefused
from orchestrator.relay.certainty import until_known
from orchestrator.wire.inbox import SignalReceived
from orchestrator.wiring import Services


async def start_run(services: Services, start: StartRun) -> Started | Attached:
    """Make the run, or find the one that the policies want, and wake it.

    Raises:
        WorkflowAlreadyStartedError: the policies refuse.
        RPCError: RESOURCE_EXHAUSTED, the open run has too much unread for a message.
        UnavailableError: the store does not answer.
    """
    answer = await until_known(lambda: services.store.start(start), services.clock)
    match answer:
        case Started(wake=wake) | Attached(wake=wake):
            if wake is not None:
                services.dispatcher.wake(start.workflow_id, wake)
            return answer
        case StartRefused():
            raise WorkflowAlreadyStartedError(
                start.workflow_id, answer.workflow_type, answer.run_id
            )
        case Full(unread=unread):
            raise too_many_unread(start.workflow_id, unread)


class Starts:
    """What a client needs to make a start, and a handle of what became of it."""

    services: Services
    data_converter: DataConverter
    identity: str
    outbound: OutboundInterceptor | None

    async def _start_of(self, given: StartWorkflowInput) -> StartRun:
        """The start that a user asks for; raises as `start_options` and `start_of` do."""
        services, values, options = self.services, self.data_converter, given.options
        asked, header = options.get("request_id"), dict(given.headers)
        request_id = services.mint() if asked is None else asked
        target = Target(given.workflow, given.ret_type)
        wish = start_options(
            target,
            given.args,
            options,
            values=values,
            identity=self.identity,
            request_id=request_id,
        )
        wish = replace(wish, header=header)
        start = start_of(await values.seal(wish), now_ms=services.clock.now_ms())
        signal = options.get("start_signal")
        if not signal:
            return start
        body = SignalReceived(
            signal_name=check_name("signal name", signal),
            input=tuple(await values.encode(options.get("start_signal_args", ()))),
            header=header,
            identity=self.identity,
        )
        # The request names the signal too: a start that is repeated sends it once.
        message = StartMessage(body=body, operation_id=OperationId(request_id))
        return replace(start, message=message)

    def _handle_of(
        self, given: StartWorkflowInput, start: StartRun, answer: Started | Attached
    ) -> WorkflowHandle[Any, Any]:  # Any: nothing is known of it here
        """A handle of the run that answers a start."""
        # One that was there may be a successor: the first run of its chain is not known.
        first_run_id = answer.run_id if isinstance(answer, Started) else None
        return WorkflowHandle(
            self.services,
            self.data_converter,
            self.identity,
            start.workflow_id,
            result_run_id=answer.run_id,
            first_execution_run_id=first_run_id,
            result_type=given.ret_type,
            outbound=self.outbound,
        )
