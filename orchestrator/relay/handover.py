"""Places under concurrency limits that come free, handed on to who waits for them.

Whoever gives a place back hears who may follow, and makes their rows due: an attempt that waits has
a row of its own, and asks again when that is due. All of this is a courtesy. A call that is lost is
made good by the waiter's own row, by the next one who asks, or by a look at the record of a holder
that should have left; so what the store does not answer here is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from orchestrator.core.transition import AttemptName
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import TaskQueue, WorkflowId
from orchestrator.limits import HANDED_ON_MAX
from orchestrator.ports.concurrency import ActivityRef, Doubtful, LeaveLimits
from orchestrator.ports.store import AttemptRecord, AttemptState, Store

Called = Sequence[WorkflowId]
"""Whose shards have something due now."""


class Handover:
    """Calls waiters, and lets go of holders that have ended. Keeps nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def leave(self, leave: LeaveLimits) -> Called:
        """Give places back and call who may follow."""
        with suppress(UnavailableError):
            return await self._leave(leave)
        return ()

    async def call(
        self, task_queue: TaskQueue, names: tuple[str, ...], waiters: Sequence[ActivityRef]
    ) -> Called:
        """Call waiters for whom there is room; those that wait no more are taken out, and the next
        are called in their place."""
        with suppress(UnavailableError):
            return await self._call(task_queue, names, waiters)
        return ()

    async def look(
        self, task_queue: TaskQueue, names: tuple[str, ...], holders: Sequence[Doubtful]
    ) -> Called:
        """Let go of holders whose record says that they run no more."""
        called: list[WorkflowId] = []
        with suppress(UnavailableError):
            for holder in holders:
                record = await self._record(holder.activity)
                if record is not None and record.state is AttemptState.RUNNING:
                    continue
                leave = LeaveLimits(
                    task_queue=task_queue,
                    names=names,
                    activity=holder.activity,
                    attempt=holder.attempt,
                    until_ms=holder.until_ms,
                )
                called.extend(await self._leave(leave))
        return called

    async def _leave(self, leave: LeaveLimits) -> Called:
        following = await self._store.leave_limits(leave)
        return await self._call(leave.task_queue, leave.names, following)

    async def _call(
        self, task_queue: TaskQueue, names: tuple[str, ...], waiters: Sequence[ActivityRef]
    ) -> Called:
        called: list[WorkflowId] = []
        left, seen = list(waiters), set[ActivityRef]()
        while left and len(seen) < HANDED_ON_MAX:
            waiter = left.pop(0)
            if waiter in seen:
                continue
            seen.add(waiter)
            record = await self._record(waiter)
            if record is not None and record.state is AttemptState.SCHEDULED and not record.paused:
                continue  # Its message is on its way.
            if record is not None and _waits(record):
                await self._store.postpone(_name(waiter, record), due_in_ms=0)
                called.append(waiter.workflow_id)
                continue
            gone = LeaveLimits(task_queue=task_queue, names=names, activity=waiter)
            left.extend(await self._store.leave_limits(gone))
        return called

    async def _record(self, activity: ActivityRef) -> AttemptRecord | None:
        return await self._store.record(activity.workflow_id, activity.run_id, activity.event_id)


def leaving(task_queue: TaskQueue, name: AttemptName, limits: tuple[str, ...]) -> LeaveLimits:
    """The word that this attempt has ended, whose record names its limits."""
    return LeaveLimits(
        task_queue=task_queue,
        names=limits,
        activity=ActivityRef(name.workflow_id, name.run_id, name.event_id),
        attempt=name.attempt,
    )


def _waits(record: AttemptRecord) -> bool:
    is_held_back = record.state is AttemptState.BACKING_OFF and record.limited_by is not None
    return is_held_back and not record.paused


def _name(activity: ActivityRef, record: AttemptRecord) -> AttemptName:
    return AttemptName(
        workflow_id=activity.workflow_id,
        run_id=activity.run_id,
        event_id=activity.event_id,
        key=record.key,
        attempt=record.attempt,
    )
