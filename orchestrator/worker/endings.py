"""How attempts end: told to the store until it has answered, and again after a fail-over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from orchestrator.core.transition import FinishAttempt
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import ProcessName
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import FinishAnswer, Store
from orchestrator.relay.certainty import until_known
from orchestrator.wire.failure import Failure
from orchestrator.wire.payload import Payload
from orchestrator.worker.attempt import Attempt, hindered
from orchestrator.worker.finishes import KeptFinishes
from orchestrator.worker.reports import Reports

_T = TypeVar("_T")


class Endings:
    """The ends of one process's attempts."""

    def __init__(
        self, store: Store, clock: Clock, reports: Reports, *, process: ProcessName
    ) -> None:
        self._store = store
        self._clock = clock
        self._reports = reports
        self._process = process
        self._kept = KeptFinishes()

    async def finish(
        self, attempt: Attempt, outcome: Payload | Failure | None
    ) -> tuple[Payload | Failure | None, FinishAnswer]:
        """What was told in the end, and the answer."""
        try:
            return outcome, await self._tell(attempt, outcome)
        except (
            Exception
        ) as error:  # the boundary of storing: an outcome it cannot take is a failure
            self._reports.unexpected(attempt.task, "storing the outcome")
            failure = hindered("the worker could not store how the activity ended", error)
        return failure, await self._tell(attempt, failure)

    async def certain(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The definite answer, however long it takes; only a cancellation ends the wait."""
        while True:
            try:
                return await until_known(call, self._clock)
            except UnavailableError as error:
                self._reports.unanswered(error)

    def lately(self) -> Sequence[FinishAttempt]:
        """Those of the last 30 s, oldest first."""
        return self._kept.all(now_ms=self._clock.now_ms())

    async def _tell(self, attempt: Attempt, outcome: Payload | Failure | None) -> FinishAnswer:
        finish = attempt.ended(outcome, identity=self._process)
        answer = await self.certain(partial(self._store.finish, finish))
        self._kept.add(finish, now_ms=self._clock.now_ms())
        return answer
