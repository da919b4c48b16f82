"""Queries: answered from a run's state, once that has seen everything sent before the question.

A query commits nothing itself: what is unread goes the way of every workflow task first. Whoever
asked is told what stands in the way (`problem`), how the run stands when the condition rejects it,
or that there is no such run; nobody waits for the answer to be confirmed, the asker repeats.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core.state import started_of
from orchestrator.exceptions import ConversionError, UnavailableError
from orchestrator.ids import CommitToken, RunId, WorkflowId
from orchestrator.limits import STALE_IN_A_ROW_MAX
from orchestrator.ports.broker import Broker, Delivery, Outgoing, ReplyTo
from orchestrator.ports.store import RunView
from orchestrator.relay.certainty import until_known
from orchestrator.replay.facts import TaskFailure
from orchestrator.telemetry.log import get_logger
from orchestrator.wire import codec
from orchestrator.wire.failure import Failure
from orchestrator.wire.messages import ErrorResponse, QueryResponse, Response
from orchestrator.wire.options import QueryReject, RunStatus
from orchestrator.wire.tasks import QueryTask
from orchestrator.worker.advance import Advancer, Errand
from orchestrator.worker.border import Border
from orchestrator.worker.confirmations import Confirmations
from orchestrator.worker.context import WorkerContext
from orchestrator.worker.run_cache import CachedRun, RunCache
from orchestrator.worker.run_loader import Lacking, Loaded, RunLoader
from orchestrator.worker.setbacks import Standstill, lacking
from orchestrator.worker.user_code import UserCode

_log = get_logger(__name__)


class QueryTasks:
    """Answers the queries of one worker. Its caller sees to one task per run at a time."""

    def __init__(
        self,
        context: WorkerContext,
        broker: Broker,
        *,
        user_code: UserCode,
        border: Border,
        loader: RunLoader,
        advancer: Advancer,
        cache: RunCache,
    ) -> None:
        self._context = context
        self._broker = broker
        self._user_code = user_code
        self._border = border
        self._loader = loader
        self._advancer = advancer
        self._cache = cache

    async def answer(
        self, delivery: Delivery, question: QueryTask, published: Confirmations
    ) -> None:
        """Answer one query; then its delivery may be acked.

        Raises:
            UnavailableError: the store does not answer; the delivery is to be given back.
        """
        workflow_id = WorkflowId(question.workflow_id)
        log = self._context.bind(_log, workflow_id)
        if not self._is_awaited(delivery, question):
            log.debug("query_dropped", query=question.query)
            return
        self._context.counters.add("queries")
        try:
            response = await self._coded_response(workflow_id, question, published)
        except UnavailableError:
            raise
        except Exception as error:  # the boundary of one query: the others' worker must live
            log.error("query_stumbled", query=question.query, exc_info=error)
            problem = (
                f"the worker met an error of its own: {type(error).__name__}: {error}; see its log"
            )
            response = _response(question, problem=problem)
        self.reply(delivery, response)

    def reply(self, delivery: Delivery, response: Response) -> None:
        """Send an answer to whoever waits for one."""
        if delivery.reply_to is None:
            return
        self._broker.publish(
            Outgoing(
                to=ReplyTo(delivery.reply_to),
                body=codec.encode(response),
                correlation_id=delivery.correlation_id,
            )
        )

    def _is_awaited(self, delivery: Delivery, question: QueryTask) -> bool:
        if delivery.reply_to is None:
            return False
        if question.expires_at_ms is None:
            # It may be what took its worker down, and nothing else would ever end it.
            return not delivery.redelivered
        return self._context.clock.now_ms() < question.expires_at_ms

    async def _coded_response(
        self, workflow_id: WorkflowId, question: QueryTask, published: Confirmations
    ) -> Response:
        try:
            opened = await self._border.unseal(question)
        except ConversionError as error:
            failed = await self._border.failure_of(error)
            return _response(question, failure=failed.failure)
        response = await self._response(workflow_id, opened, published)
        return await self._border.seal_response(response)

    async def _response(
        self, workflow_id: WorkflowId, question: QueryTask, published: Confirmations
    ) -> Response:
        run_id = None if question.run_id is None else RunId(question.run_id)
        for _ in range(STALE_IN_A_ROW_MAX):
            if run_id is not None and not self._cache.holds(workflow_id, run_id):
                view = await self._view(workflow_id, run_id)
                if view is None:
                    return _not_found(question)
                if view.newest_run_id != run_id:
                    return await self._from_an_older_run(view, question)
            run = self._cache.take(workflow_id)
            errand = Errand(workflow_id, published, run, wants_run=True)
            standing = await self._advancer.advance(errand)
            match standing:
                case CachedRun() if run_id in (None, standing.run_id):
                    return self._ask_and_keep(workflow_id, standing, question)
                case CachedRun():
                    self._cache.put(workflow_id, standing)
                case Standstill(problem=problem):
                    return await self._standstill(workflow_id, question, problem)
                case None:
                    if await self._view(workflow_id, run_id) is None:
                        return _not_found(question)
        problem = "other workers move the run on faster than this one can read it; ask again"
        return _response(question, problem=problem)

    async def _standstill(
        self, workflow_id: WorkflowId, question: QueryTask, problem: str
    ) -> QueryResponse:
        view = await self._view(workflow_id, None)
        if view is not None and _rejects(question.reject_condition, view.status):
            return _response(question, rejected=view.status)
        return _response(question, problem=problem)

    async def _from_an_older_run(self, view: RunView, question: QueryTask) -> Response:
        """A run that has successors is closed: its history is all there is to know."""
        if _rejects(question.reject_condition, view.status):
            return _response(question, rejected=view.status)
        loaded = await self._loader.load(
            view.workflow_id, view.run_id, token=CommitToken(""), consumed=0
        )
        match loaded:
            case Loaded(cached=run):
                try:
                    return self._ask(run, question)
                finally:
                    run.evict()
            case Lacking(what=what):
                return _response(question, problem=lacking(what))
            case TaskFailure():
                problem = f"{loaded.cause.value}: {loaded.failure.message}"
                return _response(question, problem=problem)
            case None:
                return _not_found(question)

    def _ask_and_keep(
        self, workflow_id: WorkflowId, run: CachedRun, question: QueryTask
    ) -> QueryResponse:
        try:
            return self._ask(run, question)
        finally:
            self._cache.put(workflow_id, run)

    def _ask(self, run: CachedRun, question: QueryTask) -> QueryResponse:
        status = run.state.status
        if _rejects(question.reject_condition, status):
            return _response(question, rejected=status)
        if not run.run.has_begun:
            started = started_of(run.state)
            problem = f"this run of {started.workflow_type!r} ended before its code ran"
            return _response(question, problem=problem)
        outcome = self._user_code.query(run.run, question)
        run.is_broken = run.is_broken or outcome.cut_off or run.run.tainted
        if isinstance(outcome.answer, Failure):
            return _response(question, failure=outcome.answer)
        return _response(question, result=outcome.answer)

    async def _view(self, workflow_id: WorkflowId, run_id: RunId | None) -> RunView | None:
        return await until_known(
            lambda: self._context.store.run(workflow_id, run_id), self._context.clock
        )


def _rejects(condition: QueryReject, status: RunStatus) -> bool:
    match condition:
        case QueryReject.NONE:
            return False
        case QueryReject.NOT_OPEN:
            return status is not RunStatus.RUNNING
        case QueryReject.NOT_COMPLETED_CLEANLY:
            return status not in (RunStatus.RUNNING, RunStatus.COMPLETED)


def _response(question: QueryTask, **fields: Any) -> QueryResponse:  # Any: fields of the Struct
    return QueryResponse(request_id=question.request_id, **fields)


def _not_found(question: QueryTask) -> ErrorResponse:
    run = "" if question.run_id is None else f" with run id {question.run_id!r}"
    return ErrorResponse(
        code="not_found",
        message=f"there is no workflow {question.workflow_id!r}{run}, or retention removed it",
        request_id=question.request_id,
    )
