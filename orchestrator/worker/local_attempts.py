"""Local activities: attempts that run in the workflow worker's process, one after another.

They have no record and no row: what is lost with the process is run again by whoever takes up the
task. A retry that is near is waited for here; one that is far away goes back to the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.core.retry import next_delay_ms
from orchestrator.core.transition import AttemptName
from orchestrator.ids import ActivityKey, AttemptToken, EventId, RunId, WorkflowId
from orchestrator.limits import TIMER_MS_MAX
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Begun
from orchestrator.replay.facts import RunFacts
from orchestrator.replay.local_activities import LocalActivity
from orchestrator.wire.commands import RecordMarker
from orchestrator.wire.failure import (
    ApplicationFailure,
    CanceledFailure,
    Failure,
    TimeoutFailure,
)
from orchestrator.wire.markers import LocalActivityEnd, local_activity_marker
from orchestrator.wire.options import RetryOutcome, TimeoutKind
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker.attempt import Abandoned, Attempt, Detached, Outcome
from orchestrator.worker.execution import ActivityExecution
from orchestrator.worker.slots import Slots

_CANCEL = ActivityCancellationDetails(cancel_requested=True)


@dataclass(slots=True)
class Stop:
    """How a local activity is asked to end."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    attempt: Attempt | None = None

    def ask(self) -> None:
        """Again does nothing."""
        self.asked.set()
        if self.attempt is not None:
            self.attempt.stop(_CANCEL)


class LocalAttempts:
    """Runs the local activities of one worker."""

    def __init__(
        self,
        execution: ActivityExecution | None,
        clock: Clock,
        *,
        mint: Callable[[], str],
        slots: int | None = None,
    ) -> None:
        """`slots` bounds how many run at once; without `execution` none can."""
        self._execution = execution
        self._clock = clock
        self._mint = mint
        self._slots = Slots(slots, clock)
        self._unobserved: set[asyncio.Task[RecordMarker]] = set()

    def knows(self, activity_type: str) -> bool:
        """Whether this worker can run an activity of this type."""
        return self._execution is not None and self._execution.knows(activity_type)

    def keep(self, task: asyncio.Task[RecordMarker]) -> None:
        """Own one that nobody waits for any more, until it ends."""
        if not task.done():
            self._unobserved.add(task)
            task.add_done_callback(self._unobserved.discard)

    def close(self) -> None:
        """Cancel what nobody waits for."""
        for task in self._unobserved:
            task.cancel()

    async def run(self, facts: RunFacts, request: LocalActivity, stop: Stop) -> RecordMarker:
        """Run it to its end, or to a retry that is far away; the marker that says how it went."""
        now_ms = self._clock.now_ms()
        first_ms = request.first_scheduled_at_ms or now_ms
        attempt, failure = request.attempt, request.last_failure
        scheduled_ms = now_ms
        while True:
            outcome = await self._attempt(
                facts,
                request,
                stop,
                _Turn(attempt, first_ms, scheduled_ms, failure),
            )
            end = _Ends(request, attempt, first_ms, now_ms=self._clock.now_ms())
            if not isinstance(outcome, Failure):
                return end.marker(outcome)
            delay = end.next_delay_ms(outcome, is_cancelled=stop.asked.is_set())
            if isinstance(delay, RetryOutcome):
                return end.marker(outcome, retry_outcome=delay)
            if delay > request.local_retry_threshold_ms:
                return end.marker(outcome, backoff_ms=delay)
            failure, attempt = outcome, attempt + 1
            scheduled_ms = end.now_ms + delay
            await self._clock.wait(stop.asked, timeout_ms=delay)

    async def _attempt(
        self, facts: RunFacts, request: LocalActivity, stop: Stop, turn: _Turn
    ) -> Payload | Failure | None:
        """One attempt, from its slot to its outcome."""
        if stop.asked.is_set() or self._execution is None:
            return _canceled()
        waits_ms = [TIMER_MS_MAX]
        to_start, to_close = (
            request.schedule_to_start_timeout_ms,
            request.schedule_to_close_timeout_ms,
        )
        if to_start is not None:
            waits_ms.append(to_start)
        if to_close is not None:
            waits_ms.append(max(0, turn.first_ms + to_close - self._clock.now_ms()))
        if not await self._slots.acquire(timeout_ms=min(waits_ms)):
            is_over = to_close is not None and to_start != min(waits_ms)
            kind = TimeoutKind.SCHEDULE_TO_CLOSE if is_over else TimeoutKind.SCHEDULE_TO_START
            return _timed_out(kind, turn.last_failure)
        try:
            if stop.asked.is_set():
                return _canceled()
            begun = self._begin(facts, request, turn)
            stop.attempt = begun
            return self._outcome(await self._execution.execute(begun, _beat), request, turn)
        finally:
            stop.attempt = None
            self._slots.release()

    def _outcome(
        self, outcome: Outcome, request: LocalActivity, turn: _Turn
    ) -> Payload | Failure | None:
        if isinstance(outcome, Detached):
            detail = ApplicationFailure(error_type="CompleteAsyncError", non_retryable=True)
            message = "a local activity cannot be completed from outside: use an activity"
            return Failure(message=message, detail=detail)
        if isinstance(outcome, Abandoned):
            to_close = request.schedule_to_close_timeout_ms
            is_over = to_close is not None and turn.first_ms + to_close <= self._clock.now_ms()
            kind = TimeoutKind.SCHEDULE_TO_CLOSE if is_over else TimeoutKind.START_TO_CLOSE
            return _timed_out(kind, turn.last_failure)
        return outcome

    def _begin(self, facts: RunFacts, request: LocalActivity, turn: _Turn) -> Attempt:
        now_ms = self._clock.now_ms()
        started = facts.started
        task = ActivityTask(
            namespace=facts.namespace,
            workflow_id=facts.workflow_id,
            workflow_type=started.workflow_type,
            run_id=facts.run_id,
            workflow_task_queue=started.task_queue,
            event_id=0,
            activity_id=request.activity_id,
            activity_type=request.activity_type,
            task_queue=started.task_queue,
            key="",
            attempt=turn.attempt,
            input=request.input,
            header=request.header,
            schedule_to_close_timeout_ms=request.schedule_to_close_timeout_ms,
            start_to_close_timeout_ms=request.start_to_close_timeout_ms,
            retry_policy=request.retry_policy,
            scheduled_at_ms=turn.first_ms,
            attempt_scheduled_at_ms=turn.scheduled_ms,
        )
        name = AttemptName(
            workflow_id=WorkflowId(facts.workflow_id),
            run_id=RunId(facts.run_id),
            event_id=EventId(0),
            key=ActivityKey(""),
            attempt=turn.attempt,
        )
        begun = Begun(
            attempt=turn.attempt,
            now_ms=now_ms,
            scheduled_at_ms=turn.first_ms,
            attempt_scheduled_at_ms=turn.scheduled_ms,
            last_failure=turn.last_failure,
        )
        return Attempt(task, name, AttemptToken(self._mint()), begun, now_ms, is_local=True)


@dataclass(frozen=True, slots=True)
class _Turn:
    """Which attempt it is, and since when."""

    attempt: int
    first_ms: int
    scheduled_ms: int
    last_failure: Failure | None


@dataclass(frozen=True, slots=True)
class _Ends:
    """What the end of an attempt means."""

    request: LocalActivity
    attempt: int
    first_ms: int
    now_ms: int

    def next_delay_ms(self, failure: Failure, *, is_cancelled: bool) -> int | RetryOutcome:
        if isinstance(failure.detail, CanceledFailure) or is_cancelled:
            return RetryOutcome.CANCEL_REQUESTED
        if isinstance(failure.detail, TimeoutFailure) and failure.detail.timeout in (
            TimeoutKind.SCHEDULE_TO_CLOSE,
            TimeoutKind.SCHEDULE_TO_START,
        ):
            return RetryOutcome.TIMEOUT
        delay = next_delay_ms(self.request.retry_policy, failure, attempt=self.attempt)
        to_close = self.request.schedule_to_close_timeout_ms
        if (
            isinstance(delay, int)
            and to_close is not None
            and self.now_ms + delay >= self.first_ms + to_close
        ):
            return RetryOutcome.TIMEOUT
        return delay

    def marker(
        self,
        outcome: Payload | Failure | None,
        *,
        retry_outcome: RetryOutcome | None = None,
        backoff_ms: int | None = None,
    ) -> RecordMarker:
        end = LocalActivityEnd(
            activity_id=self.request.activity_id,
            activity_type=self.request.activity_type,
            attempt=self.attempt,
            backoff_ms=backoff_ms,
            first_scheduled_at_ms=self.first_ms,
            retry_outcome=retry_outcome,
            summary=self.request.summary,
        )
        return local_activity_marker(end, outcome, time_ms=self.now_ms)


async def _beat(details: tuple[Payload, ...] | None) -> None:
    """Heartbeats of a local activity tell nobody anything: its task is kept alive as a whole."""


def _canceled() -> Failure:
    return Failure(message="Cancelled", detail=CanceledFailure())


def _timed_out(kind: TimeoutKind, cause: Failure | None) -> Failure:
    return Failure(
        message=f"activity {kind.value.replace('_', '-')} time-out",
        detail=TimeoutFailure(timeout=kind),
        cause=cause,
    )
