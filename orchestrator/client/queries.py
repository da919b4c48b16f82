"""A query: a transient message to a worker of the run's task queue, and its answer."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.common import QueryRejectCondition
from orchestrator.exceptions import MalformedMessageError, RPCError, RPCStatusCode, UnavailableError
from orchestrator.ids import check_name
from orchestrator.ports.broker import StickyQueue, WorkflowQueue
from orchestrator.ports.store import RunView
from orchestrator.wire import codec
from orchestrator.wire.messages import ErrorResponse, QueryResponse
from orchestrator.wire.options import QueryReject
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import QueryTask
from orchestrator.wiring import Services


async def ask(
    services: Services,
    view: RunView,
    name: str,
    payloads: Sequence[Payload],
    *,
    reject_condition: QueryRejectCondition,
    timeout_ms: int,
) -> QueryResponse:
    """The answer of the run's code.

    Raises:
        RPCError: NOT_FOUND, the run is gone; DEADLINE_EXCEEDED, nobody answered in time.
    """
    task = QueryTask(
        namespace=services.namespace,
        workflow_id=view.workflow_id,
        query=check_name("query name", name),
        run_id=view.run_id,
        input=tuple(payloads),
        request_id=services.mint(),
        expires_at_ms=services.clock.now_ms() + timeout_ms,
        reject_condition=_REJECT[reject_condition],
    )
    try:
        body = await _request(services, view, codec.encode(task), timeout_ms=timeout_ms)
        answer = codec.response_decoder.decode(body)
    except (UnavailableError, MalformedMessageError) as error:
        raise RPCError(
            f"no worker of task queue {view.task_queue!r} answered query {name!r} of workflow "
            f"{view.workflow_id!r} within {timeout_ms} ms; is one running? ({error})",
            RPCStatusCode.DEADLINE_EXCEEDED,
        ) from error
    if isinstance(answer, ErrorResponse) and answer.code == "not_found":
        raise RPCError(answer.message, RPCStatusCode.NOT_FOUND)
    if not isinstance(answer, QueryResponse):
        raise RPCError(f"query {name!r}: found {answer!r}", RPCStatusCode.INTERNAL)
    return answer


async def _request(services: Services, view: RunView, body: bytes, *, timeout_ms: int) -> bytes:
    """Ask the worker that has the run in memory, and when it is gone any worker."""
    shared = WorkflowQueue(view.task_queue)
    if view.sticky is not None:
        began_ms = services.clock.now_ms()
        own = StickyQueue(view.sticky, view.task_queue)
        try:
            return await services.broker.request(own, body, timeout_ms=timeout_ms)
        except UnavailableError:
            timeout_ms -= services.clock.now_ms() - began_ms
            if timeout_ms <= 0:
                raise
    return await services.broker.request(shared, body, timeout_ms=timeout_ms)


_REJECT = {
    QueryRejectCondition.NONE: QueryReject.NONE,
    QueryRejectCondition.NOT_OPEN: QueryReject.NOT_OPEN,
    QueryRejectCondition.NOT_COMPLETED_CLEANLY: QueryReject.NOT_COMPLETED_CLEANLY,
}
