"""What follows a run: a retry of a failed one, the next one of a cron schedule, or nothing.

A run that was asked to cancel, or ended from outside, has no successor; nor is one begun after the
deadline of the chain. A retry begins as the failed run did; the next of a schedule too, with the
last result of one that succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from msgspec.structs import replace

from orchestrator.core.cron import next_cron_ms
from orchestrator.core.retry import next_delay_ms
from orchestrator.core.state import ExecutionState, started_of
from orchestrator.core.transition import ForcedClose, NewRun
from orchestrator.ids import EventId, RunId
from orchestrator.wire.events import WorkflowExecutionStarted, WorkflowExecutionTimedOut
from orchestrator.wire.failure import Failure, TimeoutFailure
from orchestrator.wire.options import RetryOutcome, RunInitiator, RunStatus, TimeoutKind
from orchestrator.wire.payload import Payload


@dataclass(frozen=True, slots=True)
class Following:
    """What comes after a run. `outcome` says why it is not tried again; None: it is."""

    successor: NewRun | None = None
    outcome: RetryOutcome | None = None

    @property
    def run_id(self) -> RunId | None:
        """Of the successor."""
        return None if self.successor is None else self.successor.run_id


def after_completion(
    state: ExecutionState, result: Payload | None, *, now_ms: int, mint: Callable[[], str]
) -> Following:
    """What follows a run that returned `result`."""
    return Following(
        _next_of_schedule(state, now_ms=now_ms, mint=mint, result=result, failure=None)
    )


def after_failure(
    state: ExecutionState, failure: Failure, *, now_ms: int, mint: Callable[[], str]
) -> Following:
    """What follows a run that failed, or whose time was over."""
    started = started_of(state)
    delay_ms = _retry_delay_ms(state, started, failure, now_ms=now_ms)
    if isinstance(delay_ms, int):
        again = replace(
            _begun_again(state, started),
            attempt=started.attempt + 1,
            initiator=RunInitiator.RETRY,
            first_task_backoff_ms=delay_ms,
            continued_failure=failure,
        )
        return Following(new_run(RunId(mint()), again, now_ms=now_ms))
    successor = _next_of_schedule(
        state, now_ms=now_ms, mint=mint, result=started.last_completion_result, failure=failure
    )
    return Following(successor, delay_ms)


def time_out(state: ExecutionState, *, now_ms: int) -> ForcedClose:
    """The end of a run whose own row is due: its time or that of its chain is over.

    Where a run follows, the store is to see that nothing was written since `state`: a request to
    cancel ends the chain.
    """
    failure = Failure(
        message="Workflow timed out", detail=TimeoutFailure(timeout=TimeoutKind.START_TO_CLOSE)
    )
    # One id, whoever closes the run and however often it is tried.
    run_id = sha256(f"after {state.run_id}".encode()).hexdigest()[:32]
    following = after_failure(state, failure, now_ms=now_ms, mint=lambda: run_id)
    return ForcedClose(
        workflow_id=state.workflow_id,
        run_id=state.run_id,
        event=WorkflowExecutionTimedOut(
            retry_outcome=following.outcome, new_execution_run_id=following.run_id
        ),
        status=RunStatus.TIMED_OUT,
        successor=following.successor,
        due_only=True,
        expected_last_event_id=None
        if following.successor is None
        else EventId(state.last_event_id),
    )


def has_followers(started: WorkflowExecutionStarted) -> bool:
    """Whether another run may follow without the code's asking."""
    return started.retry_policy is not None or bool(started.cron_schedule)


def new_run(run_id: RunId, started: WorkflowExecutionStarted, *, now_ms: int) -> NewRun:
    """A run to be made. Its own time begins with its first task; the chain's deadline stands."""
    delay_ms = started.first_task_backoff_ms
    times: list[int] = []
    if started.run_timeout_ms is not None:
        times.append(started.run_timeout_ms + delay_ms)
    if started.execution_deadline_ms is not None:
        times.append(max(0, started.execution_deadline_ms - now_ms))
    return NewRun(
        run_id=run_id,
        started=started,
        run_timeout_ms=min(times, default=None),
        first_task_delay_ms=delay_ms,
        is_backoff=started.initiator is not None or bool(started.cron_schedule),
    )


def _retry_delay_ms(
    state: ExecutionState, started: WorkflowExecutionStarted, failure: Failure, *, now_ms: int
) -> int | RetryOutcome:
    if started.retry_policy is None:
        return RetryOutcome.RETRY_POLICY_NOT_SET
    if state.cancel_requested:
        return RetryOutcome.CANCEL_REQUESTED
    delay_ms = next_delay_ms(started.retry_policy, failure, attempt=started.attempt)
    if isinstance(delay_ms, int) and _is_over(started, now_ms + delay_ms):
        return RetryOutcome.TIMEOUT
    return delay_ms


def _next_of_schedule(
    state: ExecutionState,
    *,
    now_ms: int,
    mint: Callable[[], str],
    result: Payload | None,
    failure: Failure | None,
) -> NewRun | None:
    started = started_of(state)
    if not started.cron_schedule or state.cancel_requested:
        return None
    begun_ms = state.started_at_ms + started.first_task_backoff_ms
    due_ms = next_cron_ms(started.cron_schedule, started_ms=begun_ms, now_ms=now_ms)
    if due_ms is None or _is_over(started, due_ms):
        return None
    following = replace(
        _begun_again(state, started),
        attempt=1,
        initiator=RunInitiator.CRON,
        first_task_backoff_ms=due_ms - now_ms,
        last_completion_result=result,
        continued_failure=failure,
    )
    return new_run(RunId(mint()), following, now_ms=now_ms)


def _begun_again(
    state: ExecutionState, started: WorkflowExecutionStarted
) -> WorkflowExecutionStarted:
    return replace(
        started,
        first_run_id=started.first_run_id or state.run_id,
        continued_run_id=state.run_id,
    )


def _is_over(started: WorkflowExecutionStarted, at_ms: int) -> bool:
    """Whether the chain has ended by then."""
    deadline_ms = started.execution_deadline_ms
    return deadline_ms is not None and at_ms >= deadline_ms
