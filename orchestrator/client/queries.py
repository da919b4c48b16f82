"""A query: a transient message to a worker of the run's task queue, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.common import QueryRejectCondition
from orchestrator.exceptions import MalformedMessageError, RPCError, RPCStatusCode, UnavailableError
from orchestrator.ids import check_name
from orchestrator.limits import IDLE_POLL_MS
from orchestrator.ports.broker import StickyQueue, WorkflowQueue
from orchestrator.ports.store import RunView
from orchestrator.wire import codec
from orchestrator.wire.messages import ErrorResponse, QueryResponse
from orchestrator.wire.options import QueryReject
from orchestrator.wire.payload import Header, Payload
from orchestrator.wire.tasks import QueryTask
from orchestrator.wiring import Services


async def ask(
    services: Services,
    view: RunView,
    name: str,
    payloads: Sequence[Payload],
    *,
    header: Header,
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
        header=header,
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
    """Ask the worker that has the run in memory, and when it is gone any worker; again while there
    is time, for the first worker of a task queue may be just about to come.

    Raises:
        UnavailableError: the time is over.
    """
    broker, clock = services.broker, services.clock
    shared = WorkflowQueue(view.task_queue)
    asked = shared if view.sticky is None else StickyQueue(view.sticky, view.task_queue)
    until_ms = clock.now_ms() + timeout_ms
    while True:
        try:
            return await broker.request(asked, body, timeout_ms=until_ms - clock.now_ms())
        except UnavailableError:
            left_ms = until_ms - clock.now_ms()
            if asked is shared and left_ms > 0:
                await clock.wait(asyncio.Event(), timeout_ms=min(IDLE_POLL_MS, left_ms))
            if clock.now_ms() >= until_ms:
                raise
            asked = shared


_REJECT = {
    QueryRejectCondition.NONE: QueryReject.NONE,
    QueryRejectCondition.NOT_OPEN: QueryReject.NOT_OPEN,
    QueryRejectCondition.NOT_COMPLETED_CLEANLY: QueryReject.NOT_COMPLETED_CLEANLY,
}
