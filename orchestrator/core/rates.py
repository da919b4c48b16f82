"""Rates of activities: which limits an attempt has to pass, and when its turn is.

A limit hands out turns in the order of asking, each an interval after the one before; up to a
second's worth may have been saved. An attempt passes its limits from the narrowest to the widest,
one after the other, so that whoever waits for a narrow one takes nothing of the wide ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.limits import RATE_BURST_US, RATE_MAX, RATE_MIN
from orchestrator.wire.tasks import ActivityTask


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit of a task queue, by its name: `key acme`, `type pay`, `queue`."""

    name: str
    per_second: float

    @property
    def interval_us(self) -> int:
        """Between two turns."""
        return max(1, round(1_000_000 / self.per_second))

    @property
    def saved_us(self) -> int:
        """How long before now an unused turn may lie and be taken all the same."""
        return max(0, RATE_BURST_US - self.interval_us)


@dataclass(frozen=True, slots=True)
class ActivityRates:
    """The limits of one task queue; None and what is missing: no limit."""

    task_queue: float | None = None
    by_type: Mapping[str, float] = field(default_factory=dict[str, float])
    per_key: float | None = None

    @property
    def are_any(self) -> bool:
        """Whether an attempt may have to wait at all."""
        return bool(self.task_queue or self.by_type or self.per_key)

    def of(self, task: ActivityTask) -> Sequence[RateLimit]:
        """What this task has to pass, the narrowest first."""
        found: list[RateLimit] = []
        key, per_type = task.priority.fairness_key, self.by_type.get(task.activity_type)
        if self.per_key is not None and key:
            found.append(RateLimit(f"key {key}", self.per_key))
        if per_type is not None:
            found.append(RateLimit(f"type {task.activity_type}", per_type))
        if self.task_queue is not None:
            found.append(RateLimit("queue", self.task_queue))
        return found


def next_turn_us(limit: RateLimit, *, reserved_us: int, now_us: int) -> int:
    """The turn of whoever asks now, when all before `reserved_us` is given away: due at once when
    it lies before now. What is given away afterwards ends an interval later."""
    return max(reserved_us, now_us - limit.saved_us)


def check_rates(*per_second: float | None) -> None:
    """Raises ValueError for a rate that cannot be one."""
    for rate in per_second:
        if rate is not None and not RATE_MIN <= rate <= RATE_MAX:
            raise ValueError(
                f"a rate of activities: expected {RATE_MIN} to {RATE_MAX:,} a second, found {rate}"
            )
