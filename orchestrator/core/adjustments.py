"""What is done to a pending activity apart from running it: by operators, and by rate limits."""

from __future__ import annotations

import msgspec

from orchestrator.core.transition import AttemptName
from orchestrator.ids import ActivityKey, OperationId
from orchestrator.wire.options import ActivityOptions


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen and keyword-only; these never travel."""


class HoldBack(_Record, frozen=True, kw_only=True):
    """An attempt that nobody has begun waits for its turn of a rate limit; `turns` is how many of
    its limits it has passed then."""

    limit: str
    turns: int


class AdjustAttempt(_Record, frozen=True, kw_only=True):
    """What an operator does to a pending activity, whatever its attempt (`name` has the one read).

    `pause` True holds back every attempt that has not begun; False lets them go, at once. `reset`
    begins anew with attempt 1: at once, or after the attempt that runs; `drop_details` forgets what
    heartbeats have told. `options` are in force from now on, or from the next attempt on when one
    runs; an attempt that waits gets `new_key`, so that its old message names nothing, and is due
    after `due_in_ms`. `deadline_ms`, of schedule-to-close, goes with them (0: none). The same
    `operation_id` again changes nothing. `hold_back` is refused unless this very attempt is
    scheduled; it is due after `due_in_ms`.
    """

    name: AttemptName
    operation_id: OperationId
    pause: bool | None = None
    reset: bool = False
    drop_details: bool = False
    options: ActivityOptions | None = None
    new_key: ActivityKey | None = None
    hold_back: HoldBack | None = None
    deadline_ms: int = 0
    due_in_ms: int = 0
