"""How far the demo is: counted from the ledger and from the orders that ended. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from orchestrator.testing.ledger import Begun, Ended, Row

STEPS = (
    "validate_and_pay",
    "send_to_restaurant",
    "find_delivery_driver",
    "deliver_order",
    "refund",
)
"""In the order of an order's life; others stand behind them."""


@dataclass
class StepCount:
    """Attempts of one kind of activity."""

    running: int = 0
    completed: int = 0
    failed: int = 0
    lost: int = 0
    """Begun by a process that was killed before they ended."""


@dataclass(frozen=True)
class Progress:
    """A moment of the demo."""

    placed: int
    ended: int
    outcomes: Counter[str]
    steps: dict[str, StepCount]
    workers: int
    seconds: float = field(compare=False, default=0.0)

    @property
    def running(self) -> int:
        """Attempts whose user code is running."""
        return sum(step.running for step in self.steps.values())

    def line(self) -> str:
        """The moment in one line, for output that is no terminal."""
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.seconds:5.1f} s  {self.ended}/{self.placed} orders ended"
            f"{f' ({outcomes})' if outcomes else ''}, {self.running} steps running, "
            f"{self.workers} workers"
        )


def count_steps(rows: Sequence[Row], killed: Collection[int]) -> dict[str, StepCount]:
    """Attempts by kind; `killed` are the ids of processes that are no more."""
    steps = {name: StepCount() for name in STEPS}
    open_attempts: Counter[tuple[str, int]] = Counter()
    for row in rows:
        step = steps.setdefault(row.activity_type, StepCount())
        if isinstance(row, Begun):
            open_attempts[row.activity_type, row.pid] += 1
        elif isinstance(row, Ended):
            open_attempts[row.activity_type, row.pid] -= 1
            if row.outcome == "completed":
                step.completed += 1
            else:
                step.failed += 1
    for (name, pid), count in open_attempts.items():
        if pid in killed:
            steps[name].lost += count
        else:
            steps[name].running += count
    return steps
