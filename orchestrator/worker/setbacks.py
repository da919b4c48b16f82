"""Tasks that could not be done: failed, parked, handed back.

Each is written to the log once, where it happens, with what a person on call needs; and each leaves
the run with a row that brings it back, so that nothing is lost and nothing loops hot.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.decide import Task, fail_task, park, words_of
from orchestrator.core.fold import fold
from orchestrator.core.history_size import bytes_at_end
from orchestrator.core.state import ExecutionState
from orchestrator.core.transition import TaskFailure as FailureRecord
from orchestrator.ids import CommitToken, RunId, WorkflowId
from orchestrator.limits import HAND_BACK_MS, WARN_AGAIN_MS
from orchestrator.ports.store import Head
from orchestrator.relay.certainty import until_known
from orchestrator.replay.facts import TaskFailure
from orchestrator.telemetry.log import get_logger
from orchestrator.worker.context import WorkerContext
from orchestrator.worker.run_loader import RunLoader

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standstill:
    """A run that does not go on now, and why, for a person to read."""

    problem: str


class Setbacks:
    """Records what became of a task that could not be done."""

    def __init__(self, context: WorkerContext, loader: RunLoader) -> None:
        self._context = context
        self._loader = loader
        self._warned_ms: dict[str, int] = {}

    async def fail(
        self,
        workflow_id: WorkflowId,
        run_id: RunId,
        token: CommitToken,
        failure: TaskFailure,
        *,
        attempt: int,
    ) -> Standstill:
        """Record a failed task on the state that the store has; the run backs off.

        `attempt` is 1 and the failures before.
        """
        state, task = await self._task(workflow_id, run_id, token, attempt=attempt)
        record = fail_task(
            state, task, cause=failure.cause, failure=failure.failure, mint=self._context.mint
        )
        await self._write(record)
        self._context.bind(_log, workflow_id, run_id, attempt=attempt).warning(
            "workflow_task_failed",
            cause=failure.cause.value,
            failure=words_of(failure.cause, failure.failure),
            exception=failure.failure.stack_trace,
            backoff_ms=record.backoff_ms,
        )
        return Standstill(record.problem)

    async def park(self, workflow_id: WorkflowId, head: Head, reason: str) -> Standstill:
        """Let a run that takes its workers down rest; it is tried again, alone first."""
        attempt = head.failures + 1
        state, task = await self._task(workflow_id, head.run_id, head.token, attempt=attempt)
        record = park(state, task, reason=reason, crashes=head.attempt, mint=self._context.mint)
        await self._write(record)
        self._context.bind(_log, workflow_id, head.run_id, attempt=head.attempt).error(
            "run_parked", reason=reason, backoff_ms=record.backoff_ms
        )
        return Standstill(record.problem)

    async def hand_back(
        self, workflow_id: WorkflowId, *, lacks: str, attempt: int | None
    ) -> Standstill:
        """Leave a run to a worker that has what this one lacks; `attempt` is what is counted."""
        problem = lacking(lacks)
        await self._hand_back(workflow_id, attempt, problem)
        if self._may_warn(lacks):
            self._context.bind(_log, workflow_id).warning(
                "run_handed_back", lacks=lacks, delay_ms=HAND_BACK_MS
            )
        return Standstill(problem)

    async def stumble(
        self,
        workflow_id: WorkflowId,
        run_id: RunId | None,
        error: Exception,
        *,
        attempt: int | None,
    ) -> Standstill:
        """Our own code met what it did not expect: the run is offered again after a while."""
        self._context.bind(_log, workflow_id, run_id, attempt=attempt).error(
            "workflow_task_stumbled", delay_ms=HAND_BACK_MS, exc_info=error
        )
        problem = (
            f"the worker met an error of its own: {type(error).__name__}: {error}; see its log"
        )
        await self._hand_back(workflow_id, attempt, problem)
        return Standstill(problem)

    async def _hand_back(self, workflow_id: WorkflowId, attempt: int | None, problem: str) -> None:
        await until_known(
            lambda: self._context.store.hand_back(
                workflow_id, delay_ms=HAND_BACK_MS, attempt=attempt, problem=problem
            ),
            self._context.clock,
        )

    async def _task(
        self, workflow_id: WorkflowId, run_id: RunId, token: CommitToken, *, attempt: int
    ) -> tuple[ExecutionState, Task]:
        history = await self._loader.history(workflow_id, run_id)
        state = fold(workflow_id, run_id, history)
        task = Task(
            identity=self._context.identity,
            now_ms=max(state.last_time_ms, self._context.clock.now_ms()),
            token=token,
            consumed_to=0,
            consumed_mark=None,
            attempt=attempt,
            history_bytes=bytes_at_end(history),
        )
        return state, task

    async def _write(self, record: FailureRecord) -> None:
        self._context.counters.add("task_failures")
        answer = await until_known(
            lambda: self._context.store.fail_task(record), self._context.clock
        )
        self._context.expect_due(record.workflow_id, answer.now_ms + record.backoff_ms)

    def _may_warn(self, what: str) -> bool:
        now_ms = self._context.clock.now_ms()
        recent = {
            one: at_ms for one, at_ms in self._warned_ms.items() if now_ms - at_ms < WARN_AGAIN_MS
        }
        may = what not in recent
        self._warned_ms = {what: now_ms, **recent} if may else recent
        return may


def lacking(what: str) -> str:
    """What a person reads about a run that this worker cannot read or run."""
    return f"this worker lacks {what}"


def unexpected(error: Exception) -> str:
    """What a person reads about a run over which our own code met what it did not expect."""
    return f"the worker met an error of its own: {type(error).__name__}: {error}; see its log"
