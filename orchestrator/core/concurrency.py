"""How many attempts run at a time: which limits an attempt has to enter, and who enters next.

An attempt enters all of its limits in one act, or none and waits in the first that has no room: who
waits holds nothing. Waiters of a limit stand in the order of their priority; within one priority
the fairness keys share by weight, and those of one key keep the order of asking. The order is a
number, so that any store can keep it: five bands, and in each of them a virtual time that goes on
by a stride for each waiter of a key, the shorter the heavier the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.limits import (
    CONCURRENCY_KEPT_MS,
    CONCURRENCY_MAX,
    HOLDER_DOUBT_MS,
    WAITER_LOOK_MS,
    WAITER_LOOK_PER_PLACE_MS,
    YEAR_MS,
)
from orchestrator.limits import WAITER_LOOK_MAX_MS as LOOK_MAX_MS
from orchestrator.wire.options import Priority
from orchestrator.wire.tasks import ActivityTask

DEFAULT_PRIORITY = 3
BAND = 100_000_000_000_000
"""Between two priorities; five of them are whole numbers in a double, which Redis's scores are."""
STRIDE = 1_000
"""Of a key of weight 1; the heaviest key's is 1."""


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """At most `most` attempts at a time under one name of a task queue: `key acme`, `queue` …"""

    name: str
    most: int

    @property
    def shown(self) -> str:
        """As people read why an attempt waits."""
        return f"{self.name}, {self.most} at a time"


@dataclass(frozen=True, slots=True)
class ActivityConcurrency:
    """The limits of one task queue; None and what is missing: no limit."""

    task_queue: int | None = None
    by_type: Mapping[str, int] = field(default_factory=dict[str, int])
    per_key: int | None = None

    @property
    def are_any(self) -> bool:
        """Whether an attempt may have to wait at all."""
        return bool(self.task_queue or self.by_type or self.per_key)

    def of(self, task: ActivityTask) -> tuple[ConcurrencyLimit, ...]:
        """What this task has to enter, the narrowest first."""
        found: list[ConcurrencyLimit] = []
        key, per_type = task.priority.fairness_key, self.by_type.get(task.activity_type)
        if self.per_key is not None and key:
            found.append(ConcurrencyLimit(f"key {key}", self.per_key))
        if per_type is not None:
            found.append(ConcurrencyLimit(f"type {task.activity_type}", per_type))
        if self.task_queue is not None:
            found.append(ConcurrencyLimit("queue", self.task_queue))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Urgency:
    """Where an attempt stands among the waiters of a limit."""

    priority: int
    key: str
    stride: int

    @staticmethod
    def of(priority: Priority) -> Urgency:
        """What was asked for, with what stands for it where nothing was."""
        return Urgency(
            priority=priority.priority_key or DEFAULT_PRIORITY,
            key=priority.fairness_key,
            stride=max(1, round(STRIDE / (priority.fairness_weight or 1.0))),
        )

    def place(self, *, clock: int, share: int) -> int:
        """The place of a new waiter: `clock` is the virtual time of the limit, `share` that of the
        newest waiter of the same key."""
        return self.priority * BAND + max(clock, share) + self.stride


def look_in_ms(*, ahead: int) -> int:
    """When a waiter that was not called asks again: a call may have been lost. Those far behind
    need not ask often, and whoever asks calls those whose turn it is."""
    return min(WAITER_LOOK_MS + ahead * WAITER_LOOK_PER_PLACE_MS, LOOK_MAX_MS)


def lasts_ms(task: ActivityTask) -> int:
    """For how long a limit has to be remembered for this attempt's sake: it cannot run longer."""
    times = (task.start_to_close_timeout_ms, task.schedule_to_close_timeout_ms)
    return min((time for time in times if time is not None), default=YEAR_MS) + CONCURRENCY_KEPT_MS


def may_be_doubted(*, entered_at_ms: int, now_ms: int) -> bool:
    """Whether an attempt has taken so long to begin that others may soon hold it for lost."""
    return now_ms - entered_at_ms >= HOLDER_DOUBT_MS // 2


def check_concurrency(*at_a_time: int | None) -> None:
    """Raises ValueError for a number that cannot be one."""
    for most in at_a_time:
        if most is not None and not (isinstance(most, int) and 1 <= most <= CONCURRENCY_MAX):
            raise ValueError(
                f"a number of activities at a time: expected 1 to {CONCURRENCY_MAX:,}, found {most}"
            )
