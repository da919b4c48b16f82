"""What a worker says about its attempts: logs for people, counts for machines.

An attempt that ends as it should is counted and not logged: nobody could act upon it.
"""

from __future__ import annotations

from orchestrator.ids import Namespace, ProcessName
from orchestrator.ports.store import FinishAnswer, Gone, RetryAt
from orchestrator.telemetry.log import Logger, bind, get_logger
from orchestrator.telemetry.metrics import Counters
from orchestrator.wire.failure import ApplicationFailure, CanceledFailure, Failure
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker.attempt import Attempt, Outcome


class Reports:
    """Counters: `activities_begun`, `_completed`, `_failed` (attempts; benign failures are not
    counted), `_retried`, `_cancelled`, `_late` (ends that count no more), `_adopted` (deliveries),
    `_lost` (holders found gone), `_detached` (left to be completed from outside)."""

    def __init__(self, counters: Counters, namespace: Namespace) -> None:
        self._counters = counters
        self._log = bind(get_logger("worker.activities"), namespace=namespace)

    def begun(self) -> None:
        """User code is about to be entered."""
        self._counters.add("activities_begun")

    def adopted(self) -> None:
        """A delivery of an attempt that is in work here."""
        self._counters.add("activities_adopted")

    def lost(self, task: ActivityTask, holder: ProcessName) -> None:
        """The holder of a running attempt is gone."""
        self._counters.add("activities_lost")
        self._about(task).warning("activity_lost", holder=holder)

    def buried(self, reason: str) -> None:
        """A message that nobody can read."""
        self._log.warning("message_buried", reason=reason)

    def detached(self) -> None:
        """Its code ended, and it is completed from outside."""
        self._counters.add("activities_detached")

    def abandoned(self, attempt: Attempt) -> None:
        """Its code ended because its time was over or its run gone."""
        self._about(attempt.task).info("activity_abandoned", why=str(attempt.stopping))

    def unexpected(self, task: ActivityTask, doing: str) -> None:
        """Something of ours broke; called while the error is handled."""
        self._about(task).exception("activity_hindered", doing=doing)

    def unanswered(self, error: Exception) -> None:
        """The store has not answered for long; what is in work waits."""
        self._log.warning("store_unavailable", error=str(error))

    def ended(self, attempt: Attempt, outcome: Outcome, answer: FinishAnswer) -> None:
        """The store has taken the end, or it was late."""
        if isinstance(answer, Gone):
            self._counters.add("activities_late")
            return
        if not isinstance(outcome, Failure):
            self._counters.add("activities_completed")
            return
        if isinstance(outcome.detail, CanceledFailure):
            self._counters.add("activities_cancelled")
            return
        if isinstance(answer, RetryAt):
            self._counters.add("activities_retried")
        detail = outcome.detail
        error_type = (
            detail.error_type
            if isinstance(detail, ApplicationFailure)
            else detail.__class__.__name__
        )
        is_benign = isinstance(detail, ApplicationFailure) and detail.benign
        log = self._about(attempt.task)
        say = log.debug if is_benign else log.warning
        if not is_benign:
            self._counters.add("activities_failed")
        say(
            "activity_failed",
            error_type=error_type,
            error=outcome.message,
            retry_in_ms=answer.at_ms - answer.now_ms if isinstance(answer, RetryAt) else None,
        )

    def _about(self, task: ActivityTask) -> Logger:
        log = bind(
            self._log, workflow_id=task.workflow_id, run_id=task.run_id, attempt=task.attempt
        )
        return log.bind(activity_id=task.activity_id, activity_type=task.activity_type)
