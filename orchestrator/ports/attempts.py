"""An attempt as the store keeps it, and what it answers to those who keep attempts alive."""

from __future__ import annotations

from enum import Enum

import msgspec

from orchestrator.ids import ActivityKey, AttemptToken, EventId, ProcessName
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import ActivityOptions
from orchestrator.wire.payload import Payload


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen and keyword-only."""


class AttemptState(Enum):
    """Where an activity's current attempt stands."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    DONE = "done"


class AttemptRecord(_Answer, frozen=True, kw_only=True):
    """The life of one activity, outside of history."""

    event_id: EventId
    key: ActivityKey
    attempt: int
    state: AttemptState
    token: AttemptToken | None
    holder: ProcessName | None
    cancel_requested: bool
    scheduled_at_ms: int
    attempt_scheduled_at_ms: int
    started_at_ms: int | None
    heartbeat_at_ms: int | None
    deadline_ms: int | None
    dispatches: int
    """How often the current attempt was published after the first time."""
    losses: int
    """Holders lost in a row."""
    detached: bool = False
    """Running without a holder: it is ended from outside, or by its time."""
    paused: bool = False
    """Nothing begins until an operator lets it."""
    reset: bool = False
    """The attempt after the one that runs is number 1."""
    limited_by: str | None = None
    """The limit that it waits for: its turn of a rate, or a place among those that run."""
    limits: tuple[str, ...] = ()
    """The concurrency limits under which the newest attempt that began has, or had, a place."""
    turns: int = 0
    """How many rate limits this attempt has passed."""
    options: ActivityOptions | None = None
    """What an operator has changed, in force; None: what its event says."""
    details: tuple[Payload, ...] = ()
    last_failure: Failure | None = None


class Beaten(_Answer, frozen=True, kw_only=True):
    """The heartbeat was taken; `cancel_requested` asks the activity to stop, the others ask the
    attempt to end, so that another one may follow."""

    cancel_requested: bool
    now_ms: int
    paused: bool = False
    reset: bool = False


class Adjusted(_Answer, frozen=True, kw_only=True):
    """It is as asked; `record` is what it is now."""

    now_ms: int
    record: AttemptRecord


class Redispatched(_Answer, frozen=True, kw_only=True):
    """The record is scheduled as asked; publish its task."""

    now_ms: int
    record: AttemptRecord
