"""One attempt that runs here, as those who deliver it and those who execute it share it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.core.attempts import completed, failed, interrupted
from orchestrator.core.timeouts import beaten_due_in_ms, detached_due_in_ms
from orchestrator.core.transition import AttemptName, FinishAttempt, Heartbeat
from orchestrator.ids import AttemptToken
from orchestrator.ports.broker import Delivery
from orchestrator.ports.store import Begun
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import AttemptStarted
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker.admission import Places


class Abandoned(Enum):
    """The code ended because its time was over or its run gone: the store's row has the word."""

    BY_STORE = "by_store"


class Detached(Enum):
    """The code ended and its attempt did not: it is completed from outside."""

    FROM_HOLDER = "from_holder"


Outcome: TypeAlias = Payload | Failure | Abandoned | Detached | None
"""How an attempt ended; None: completed without a result."""
Beat: TypeAlias = Callable[["tuple[Payload, ...] | None"], Awaitable[None]]
"""Sends a heartbeat (None: the details stay as they were); its answer may stop the attempt. Raises
UnavailableError without an answer."""
Execute: TypeAlias = Callable[["Attempt", Beat], Awaitable[Outcome]]
"""Runs user code; a failure is an answer, not an exception."""
OnStop: TypeAlias = Callable[[ActivityCancellationDetails], None]


@dataclass(slots=True)
class Attempt:
    """An attempt that runs here.

    `asked_ms` is the time of this process just before it asked to begin: the store's time-outs run
    from then on or later. `stopping` says why it shall end, once it shall.
    """

    task: ActivityTask
    name: AttemptName
    token: AttemptToken
    begun: Begun
    asked_ms: int
    is_local: bool = False
    stopping: ActivityCancellationDetails | None = None
    _on_stop: OnStop | None = None

    def stop(self, details: ActivityCancellationDetails) -> None:
        """Ask it to end; the first reason stays."""
        if self.stopping is None:
            self.stopping = details
            if self._on_stop is not None:
                self._on_stop(details)

    def when_stopping(self, on_stop: OnStop) -> None:
        """Call `on_stop` when it shall end, at once if that was asked before."""
        self._on_stop = on_stop
        if self.stopping is not None:
            on_stop(self.stopping)

    def beating(self, details: tuple[Payload, ...] | None, *, now_ms: int) -> Heartbeat:
        """What the store is told of its life."""
        due_in_ms = beaten_due_in_ms(self.task, running_ms=now_ms - self.asked_ms)
        return Heartbeat(name=self.name, token=self.token, details=details, due_in_ms=due_in_ms)

    def left_to_others(self, *, now_ms: int) -> Heartbeat:
        """What the store is told when its code has ended and it has not."""
        due_in_ms = detached_due_in_ms(self.task, running_ms=now_ms - self.asked_ms)
        return Heartbeat(
            name=self.name, token=self.token, details=None, due_in_ms=due_in_ms, detach=True
        )

    def ended(self, outcome: Payload | Failure | None, *, identity: str) -> FinishAttempt:
        """What the store is told of its end."""
        started = AttemptStarted(
            attempt=self.begun.attempt,
            time_ms=self.begun.now_ms,
            identity=identity,
            last_failure=self.begun.last_failure,
        )
        was_interrupted = self.stopping is not None and (
            self.stopping.paused or self.stopping.reset
        )
        if isinstance(outcome, Failure) and was_interrupted:
            return interrupted(self.name, self.token, started, outcome)
        if isinstance(outcome, Failure):
            return failed(self.name, self.token, started, outcome, self.task.retry_policy)
        return completed(self.name, self.token, started, outcome)


@dataclass(slots=True)
class Work:
    """What was delivered of one attempt: `attempt` is set while it runs here. `cancel_asked`: the
    notice came before the answer to begin. `places` are given back when nothing is to be done about
    it here any more."""

    task: ActivityTask
    name: AttemptName
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    attempt: Attempt | None = None
    cancel_asked: bool = False
    places: Places | None = None

    def keep_places(self) -> None:
        """Somebody else's attempt has them, or will."""
        self.places = None

    def drop(self, *, done: bool) -> None:
        """Settle it unbegun. Places that it found taken may be another one's, of its own number."""
        if self.places is not None and not self.places.fresh:
            self.keep_places()
        self.settle(done)

    def settle(self, done: bool) -> None:
        """Acknowledge, or give back, all that is in hand."""
        for delivery in self.deliveries:
            if done:
                delivery.ack()
            else:
                delivery.give_back()
        self.deliveries.clear()


def hindered(what: str, error: Exception) -> Failure:
    """An attempt that failed by no fault of its own; tried again by its policy."""
    message = f"{what}: {type(error).__name__}: {error}"
    return Failure(message=message, detail=ApplicationFailure(error_type="WorkerError"))
