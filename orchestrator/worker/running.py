"""One attempt while its code runs: what stops it, what it tells, and what its end means."""

from __future__ import annotations

import asyncio

from orchestrator.activity import ActivityCancellationDetails, Info
from orchestrator.converter import DataConverter
from orchestrator.core.task_token import TaskToken
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import RunKind, kind_of
from orchestrator.limits import IDLE_POLL_MS
from orchestrator.metering import MetricMeter
from orchestrator.ports.clock import Clock
from orchestrator.replay.policies import from_options
from orchestrator.replay.search_attributes import from_priority
from orchestrator.units import to_datetime, to_timedelta_or_none
from orchestrator.wire.failure import ApplicationFailure, CanceledFailure, Failure
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker.activity_context import LocalContext, LocalOccurrence
from orchestrator.worker.attempt import Abandoned, Attempt, Beat, Detached, Outcome
from orchestrator.worker.calls import Ended
from orchestrator.worker.deadlines import Deadlines
from orchestrator.worker.executors import Job
from orchestrator.worker.heartbeats import Heartbeats
from orchestrator.worker.interruption import Interruption


class RunningAttempt:
    """Joins an attempt, its context, its heartbeats and the call of its function.

    What stops the attempt (`Attempt.stop`, its time limit, details that cannot be converted)
    reaches the code once, with the first reason.
    """

    def __init__(
        self,
        attempt: Attempt,
        values: DataConverter,
        clock: Clock,
        beat: Beat,
        *,
        throttle_ms: int,
        worker_shutdown: LocalOccurrence,
        interruption: Interruption | None,
        client: object = None,
        beats_by_itself: bool = False,
    ) -> None:
        """Raises whatever the converter does when it reads heartbeat details of attempts before."""
        self.attempt = attempt
        self.context = LocalContext(
            info_of(attempt, values),
            values.payload_converter,
            on_heartbeat=self._heartbeat,
            worker_shutdown=worker_shutdown,
            interruption=interruption,
            client=client,
        )
        self._values = values
        self._clock = clock
        self._beat = beat
        self._beaten_ms = attempt.asked_ms
        self._heartbeats = Heartbeats(clock, self._send, throttle_ms=throttle_ms)
        self._throttle_ms = throttle_ms
        self._beats_by_itself = beats_by_itself and attempt.task.heartbeat_timeout_ms is not None
        self._heartbeat_failure: Failure | None = None
        self._loop = asyncio.get_running_loop()
        self._job: Job | None = None

    def note(self, details: tuple[Payload, ...]) -> None:
        """A heartbeat, converted; from any thread."""
        self._heartbeats.note(details)

    async def run(self, job: Job, deadlines: Deadlines) -> Outcome:
        """Wait for the end of `job`, the call that was begun with `context`.

        Raises:
            PoolUnusableError: the executor broke under it.
        """
        self._job = job
        due_ms = self._due_ms()
        deadline = None if due_ms is None else deadlines.watch(due_ms, self._expire)
        self.attempt.when_stopping(self._stop)
        beating = self._loop.create_task(self._beat_on()) if self._beats_by_itself else None
        try:
            ended = await job.ended()
            await self._heartbeats.stop()
        except asyncio.CancelledError:  # of this worker, not of the attempt
            job.cancel(ActivityCancellationDetails(worker_shutdown=True))
            raise
        finally:
            self._heartbeats.abort()
            if beating is not None:
                beating.cancel()
            if deadline is not None:
                deadline.cancel()
        if ended.last_details is not None:
            self._heartbeats.note(ended.last_details)
        outcome = outcome_of(
            ended, self.context.cancellation_details(), heartbeat_failure=self._heartbeat_failure
        )
        is_failure = isinstance(outcome, Failure) and not isinstance(
            outcome.detail, CanceledFailure
        )
        if is_failure or isinstance(outcome, Detached):
            await self._heartbeats.flush()
        return outcome

    def _heartbeat(self, *details: object) -> None:
        """In the thread of the user's code: whatever it does to `details` later changes nothing."""
        try:
            payloads = tuple(self._values.to_payloads(details))
        except Exception as error:  # the boundary of converters, which users may write
            self._heartbeat_failure = self._values.to_failure(error)
            self._loop.call_soon_threadsafe(self._stop, ActivityCancellationDetails())
        else:
            self._heartbeats.note(payloads)

    async def _beat_on(self) -> None:
        """Tell that the code has not ended, whenever it has not told that itself for a while."""
        never = asyncio.Event()
        while True:
            left_ms = self._beaten_ms + self._throttle_ms - self._clock.now_ms()
            if left_ms > 0:
                await self._clock.wait(never, timeout_ms=left_ms)
                continue
            try:
                await self._send(None)
            except UnavailableError:
                await self._clock.wait(never, timeout_ms=min(self._throttle_ms, IDLE_POLL_MS))

    async def _send(self, details: tuple[Payload, ...] | None) -> None:
        sent_ms = self._clock.now_ms()
        await self._beat(details)
        self._beaten_ms = sent_ms

    def _stop(self, details: ActivityCancellationDetails) -> None:
        if self.context.cancel(details) and self._job is not None:
            self._job.cancel(details)

    def _expire(self) -> int | None:
        """Its time seems over: stop it, or say when to look again."""
        due_ms = self._due_ms()
        if due_ms is not None and due_ms > self._clock.now_ms():
            return due_ms
        self.attempt.stop(ActivityCancellationDetails(timed_out=True))
        return None

    def _due_ms(self) -> int | None:
        """When the nearest of its time limits is reached, by the clock of this process; never later
        than by the store's."""
        task, begun, asked_ms = self.attempt.task, self.attempt.begun, self.attempt.asked_ms
        due_ms: list[int] = []
        if task.start_to_close_timeout_ms is not None:
            due_ms.append(asked_ms + task.start_to_close_timeout_ms)
        if task.schedule_to_close_timeout_ms is not None:
            passed_ms = begun.now_ms - begun.scheduled_at_ms
            due_ms.append(asked_ms + task.schedule_to_close_timeout_ms - passed_ms)
        if task.heartbeat_timeout_ms is not None:
            due_ms.append(self._beaten_ms + task.heartbeat_timeout_ms)
        return min(due_ms, default=None)


def outcome_of(
    ended: Ended,
    details: ActivityCancellationDetails | None,
    *,
    heartbeat_failure: Failure | None,
) -> Outcome:
    """What the end of the code means, by the reason for which it was stopped (None: it was not)."""
    if ended.outcome is None:
        return Detached.FROM_HOLDER
    if not ended.by_cancellation or isinstance(ended.outcome, Payload):
        return ended.outcome
    if heartbeat_failure is not None:
        return heartbeat_failure
    if details is None:
        return _failure_of("the activity raised a cancellation that nobody asked for", ended)
    if details.cancel_requested:
        return ended.outcome
    if details.paused or details.reset:
        what = "paused" if details.paused else "reset"
        return Failure(
            message=f"the activity was {what} while the attempt ran",
            detail=ApplicationFailure(error_type=f"Activity{what.capitalize()}"),
        )
    if details.worker_shutdown:
        return Failure(
            message="the worker went before the activity had ended",
            detail=ApplicationFailure(error_type="WorkerShutdown", next_retry_delay_ms=0),
        )
    return Abandoned.BY_STORE


def info_of(attempt: Attempt, values: DataConverter) -> Info:
    """What the attempt may know about itself."""
    task, begun = attempt.task, attempt.begun
    is_standalone = kind_of(task.workflow_id) is RunKind.ACTIVITY
    return Info(
        activity_id=task.activity_id,
        activity_type=task.activity_type,
        attempt=begun.attempt,
        current_attempt_scheduled_time=to_datetime(begun.attempt_scheduled_at_ms),
        heartbeat_details=values.from_payloads(begun.details),
        heartbeat_timeout=to_timedelta_or_none(task.heartbeat_timeout_ms),
        is_local=attempt.is_local,
        retry_policy=from_options(task.retry_policy),
        schedule_to_close_timeout=to_timedelta_or_none(task.schedule_to_close_timeout_ms),
        scheduled_event_id=task.event_id,
        scheduled_time=to_datetime(begun.scheduled_at_ms),
        start_to_close_timeout=to_timedelta_or_none(task.start_to_close_timeout_ms),
        started_time=to_datetime(begun.now_ms),
        task_queue=task.task_queue,
        task_token=b"" if attempt.is_local else _token_of(attempt),
        workflow_id=None if is_standalone else task.workflow_id,
        workflow_namespace=task.namespace,
        workflow_run_id=None if is_standalone else task.run_id,
        workflow_type=None if is_standalone else task.workflow_type,
        priority=from_priority(task.priority),
        activity_run_id=task.run_id if is_standalone else None,
    )


def meter_of(meter: MetricMeter, task: ActivityTask) -> MetricMeter:
    """The worker's meter, with what the activity is."""
    attributes = {
        "namespace": task.namespace,
        "task_queue": task.task_queue,
        "activity_type": task.activity_type,
    }
    return meter.with_additional_attributes(attributes)


def _token_of(attempt: Attempt) -> bytes:
    return TaskToken(attempt.name, attempt.token).to_bytes()


def _failure_of(message: str, ended: Ended) -> Failure:
    cause = ended.outcome if isinstance(ended.outcome, Failure) else None
    stack_trace = "" if cause is None else cause.stack_trace
    detail = ApplicationFailure(error_type="CancelledError")
    return Failure(message=message, detail=detail, stack_trace=stack_trace)
