"""The port to what counts attempts under concurrency limits that all workers of a queue share.

A holder is an activity with the number of its attempt: its next attempt, or the one that takes over
from a lost worker, goes on in its place. The limits stand beside the shards, so no act changes them
and an attempt's record together. The record is the truth: a holder that others wait for is doubted
when its time is over, and whoever asked looks at its record and lets it go, or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from orchestrator.core.concurrency import ConcurrencyLimit, Urgency
from orchestrator.ids import EventId, RunId, TaskQueue, WorkflowId


class ActivityRef(msgspec.Struct, frozen=True):
    """One activity of one run, at whatever attempt."""

    workflow_id: WorkflowId
    run_id: RunId
    event_id: EventId


class EnterLimits(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt asks for a place under each of `limits`: all of them, or it waits in the first
    without room.

    An activity that is a holder already has its places; they become those of the higher attempt
    number. `as_is` counts it in without asking: it runs. It is in doubt after `doubt_in_ms`;
    everything is kept for `lasts_ms`.
    """

    task_queue: TaskQueue
    limits: tuple[ConcurrencyLimit, ...]
    activity: ActivityRef
    attempt: int
    urgency: Urgency
    doubt_in_ms: int
    lasts_ms: int
    as_is: bool = False


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """It has its places, as attempt number `attempt`. `fresh`: it had not before."""

    attempt: int
    fresh: bool


class Doubtful(msgspec.Struct, frozen=True, kw_only=True):
    """A holder whose time is over, for the asker to look at; others get it after `until_ms`."""

    activity: ActivityRef
    attempt: int
    until_ms: int


class MustWait(msgspec.Struct, frozen=True, kw_only=True):
    """It waits under `limit` behind `ahead` others. `following` have room and may not know."""

    limit: ConcurrencyLimit
    ahead: int
    doubtful: tuple[Doubtful, ...] = ()
    following: tuple[ActivityRef, ...] = ()


class LeaveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """An activity leaves the limits of these names: as a holder with this number of its attempt
    and, where somebody else says so, still in the doubt that was told; or, without a number, as a
    waiter. Without an activity nobody leaves, and those who may follow are told."""

    task_queue: TaskQueue
    names: tuple[str, ...]
    activity: ActivityRef | None = None
    attempt: int | None = None
    until_ms: int | None = None


class ConcurrencyStore(Protocol):
    """Counts who runs. Doing the same again changes nothing."""

    async def enter_limits(self, enter: EnterLimits) -> Entered | MustWait:
        """A place under each limit, or among the waiters of one. The asker says how many there are,
        so that the newest workers' word counts."""
        ...

    async def leave_limits(self, leave: LeaveLimits) -> Sequence[ActivityRef]:
        """Give places back; the waiters for whom there is room now, to be called."""
        ...
