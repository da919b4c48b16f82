"""Whether an attempt may begin: a place under its concurrency limits, its turns of rates, and this
worker's own pace.

Places come first, so that only those who can begin use turns up; who then has to wait for a turn
gives its places back. Who waits for either goes back to its row, and its message is of no further
use. Places are asked for by the number of the attempt and left under it when it has ended here; a
worker that dies before it leaves them to the attempt that takes over, or to be found by its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from orchestrator.core.adjustments import AdjustAttempt, HoldBack
from orchestrator.core.concurrency import (
    ActivityConcurrency,
    ConcurrencyLimit,
    Urgency,
    lasts_ms,
    look_in_ms,
    may_be_doubted,
)
from orchestrator.core.transition import AttemptName
from orchestrator.ids import OperationId, TaskQueue, WorkflowId
from orchestrator.limits import HOLDER_DOUBT_MS
from orchestrator.ports.clock import Clock
from orchestrator.ports.concurrency import ActivityRef, EnterLimits, LeaveLimits, MustWait
from orchestrator.ports.store import Gone, Store
from orchestrator.relay.certainty import until_known
from orchestrator.relay.handover import Called, Handover
from orchestrator.wire.tasks import ActivityTask
from orchestrator.worker.rates import Rates


@dataclass(slots=True)
class Places:
    """What an attempt holds: as which number since when; `fresh`: by this very delivery."""

    enter: EnterLimits
    attempt: int
    entered_at_ms: int
    fresh: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Of its limits."""
        return tuple(limit.name for limit in self.enter.limits)


@dataclass(frozen=True, slots=True)
class Admitted:
    """It may begin; `places` None: nothing limits how many run."""

    places: Places | None = None


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Its row brings it back at `until_ms`."""

    until_ms: int


class Admission:
    """Says when attempts may begin here, and tells when they have ended."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        mint: Callable[[], str],
        concurrency: ActivityConcurrency,
        rates: Rates,
        on_due: Callable[[WorkflowId], None],
    ) -> None:
        """`on_due` hears of a workflow id in whose shard something is due now."""
        self._store = store
        self._clock = clock
        self._mint = mint
        self._concurrency = concurrency
        self._rates = rates
        self._on_due = on_due
        self._handover = Handover(store)

    async def ask(
        self, task: ActivityTask, name: AttemptName, *, leaving: asyncio.Event
    ) -> Admitted | HeldBack:
        """Whether the attempt may begin now. Waits for this worker's own pace, unless `leaving`.

        Raises:
            UnavailableError: the store does not answer; ask again.
        """
        limits = self._concurrency.of(task)
        places = await self._enter(task, name, limits) if limits else None
        if isinstance(places, HeldBack):
            return places
        until_ms = await self._rates.held_back_until_ms(task, name)
        if until_ms is not None:
            if places is not None:
                await self.leave(places)
            return HeldBack(until_ms)
        await self._rates.keep_pace(leaving)
        if places is not None and self._is_late(places):
            places = await self._enter(task, name, limits)
            if isinstance(places, HeldBack):
                return places
        return Admitted(places)

    async def begun(self, places: Places, attempt: int) -> None:
        """The attempt has begun under this number: it is counted, whatever has happened since it
        was asked for.

        Raises:
            UnavailableError: the store does not answer; say it again.
        """
        if places.attempt != attempt or self._is_late(places):
            places.enter = _as_is(places.enter, attempt)
            await self._store.enter_limits(places.enter)
        places.attempt = attempt

    async def leave(self, places: Places) -> None:
        """Give its places back, and call who may follow."""
        leave = LeaveLimits(
            task_queue=places.enter.task_queue,
            names=places.names,
            activity=places.enter.activity,
            attempt=places.attempt,
        )
        self._tell(await self._handover.leave(leave))

    async def _enter(
        self, task: ActivityTask, name: AttemptName, limits: tuple[ConcurrencyLimit, ...]
    ) -> Places | HeldBack:
        enter = EnterLimits(
            task_queue=TaskQueue(task.task_queue),
            limits=limits,
            activity=ActivityRef(name.workflow_id, name.run_id, name.event_id),
            attempt=name.attempt,
            urgency=Urgency.of(task.priority),
            doubt_in_ms=HOLDER_DOUBT_MS,
            lasts_ms=lasts_ms(task),
        )
        asked_at_ms = self._clock.now_ms()
        answer = await self._store.enter_limits(enter)
        if isinstance(answer, MustWait):
            return await self._wait(name, enter, answer)
        return Places(enter, answer.attempt, asked_at_ms, answer.fresh)

    async def _wait(
        self, name: AttemptName, enter: EnterLimits, told: MustWait
    ) -> HeldBack | Places:
        """Go back to the row. A place that came free before that found nobody to call, so whoever
        is near the front looks once more."""
        due_in_ms = look_in_ms(ahead=told.ahead)
        hold = AdjustAttempt(
            name=name,
            operation_id=OperationId(self._mint()),
            hold_back=HoldBack(limit=told.limit.shown, turns=0),
            due_in_ms=due_in_ms,
        )
        until_ms = self._clock.now_ms() + due_in_ms
        answer = await until_known(partial(self._store.adjust, hold), self._clock)
        if isinstance(answer, Gone):
            # Begun, held back or ended already: whoever begins now finds out. What does begin, a
            # lost attempt's successor, is counted then.
            return Places(enter, attempt=0, entered_at_ms=self._clock.now_ms(), fresh=False)
        names = tuple(limit.name for limit in enter.limits)
        queue, blocked = enter.task_queue, (told.limit.name,)
        self._tell(await self._handover.call(queue, names, told.following))
        self._tell(await self._handover.look(queue, blocked, told.doubtful))
        if told.ahead < told.limit.most:
            again = LeaveLimits(task_queue=queue, names=blocked)
            self._tell(await self._handover.leave(again))
        return HeldBack(until_ms)

    def _is_late(self, places: Places) -> bool:
        return may_be_doubted(entered_at_ms=places.entered_at_ms, now_ms=self._clock.now_ms())

    def _tell(self, called: Called) -> None:
        for workflow_id in called:
            self._on_due(workflow_id)


def _as_is(enter: EnterLimits, attempt: int) -> EnterLimits:
    return EnterLimits(
        task_queue=enter.task_queue,
        limits=enter.limits,
        activity=enter.activity,
        attempt=attempt,
        urgency=enter.urgency,
        doubt_in_ms=enter.doubt_in_ms,
        lasts_ms=enter.lasts_ms,
        as_is=True,
    )
