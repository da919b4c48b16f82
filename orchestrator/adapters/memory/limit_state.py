"""One concurrency limit as the memory store keeps it, and its steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.core.concurrency import BAND
from orchestrator.limits import DOUBTED_AT_ONCE_MAX
from orchestrator.ports.concurrency import ActivityRef, Doubtful, EnterLimits


@dataclass(slots=True)
class Holder:
    """The number of the attempt that holds a place, and when it is in doubt."""

    attempt: int
    until_ms: int


@dataclass(slots=True)
class Limit:
    """One limit of a task queue. `clock` is the virtual time of the newest waiter that entered,
    `shares` that of each fairness key's newest waiter."""

    most: int = 0
    clock: int = 0
    holders: dict[ActivityRef, Holder] = field(default_factory=dict[ActivityRef, Holder])
    waiters: dict[ActivityRef, int] = field(default_factory=dict[ActivityRef, int])
    shares: dict[str, int] = field(default_factory=dict[str, int])

    def ahead(self, place: int) -> int:
        """How many wait before `place`."""
        return sum(1 for other in self.waiters.values() if other < place)

    def following(self) -> list[ActivityRef]:
        """The first waiters, as many as there is room for."""
        room = min(self.most - len(self.holders), DOUBTED_AT_ONCE_MAX)
        order = sorted(self.waiters, key=lambda one: (self.waiters[one], one.event_id))
        return order[: max(0, room)]

    def place(self, enter: EnterLimits) -> int:
        """Where the asker stands, or would."""
        found = self.waiters.get(enter.activity)
        share = self.shares.get(enter.urgency.key, 0)
        return enter.urgency.place(clock=self.clock, share=share) if found is None else found

    def let_in(self, enter: EnterLimits, *, now_ms: int) -> int:
        """Make the asker a holder; as which attempt."""
        waited = self.waiters.pop(enter.activity, 0) % BAND
        if waited:
            key = enter.urgency.key
            self.clock = max(self.clock, waited)
            if self.shares.get(key, 0) <= self.clock:
                self.shares.pop(key, None)
        before = self.holders.get(enter.activity, Holder(0, -1))
        becomes = enter.attempt if enter.as_is else max(before.attempt, enter.attempt)
        until_ms = max(now_ms + enter.doubt_in_ms, before.until_ms + 1)
        self.holders[enter.activity] = Holder(becomes, until_ms)
        return becomes

    def doubt(self, enter: EnterLimits, *, now_ms: int) -> tuple[Doubtful, ...]:
        """Holders whose time is over; they have it again."""
        found = [(one.until_ms, ref) for ref, one in self.holders.items() if one.until_ms <= now_ms]
        late = [ref for _, ref in sorted(found, key=lambda one: one[0])[:DOUBTED_AT_ONCE_MAX]]
        for ref in late:
            self.holders[ref].until_ms = now_ms + enter.doubt_in_ms
        return tuple(
            Doubtful(
                activity=ref,
                attempt=self.holders[ref].attempt,
                until_ms=self.holders[ref].until_ms,
            )
            for ref in late
        )
