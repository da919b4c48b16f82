"""Do the orders' ends and the money agree? Pure, as `orchestrator.testing.audit` is for attempts.

Money is what the card provider did, not what it was asked: requests under one key are one charge,
and what is counted for an order are its different keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from orchestrator.cli.demo.orders import CANCELLED, DECLINED, DELIVERED, REFUNDED, PlacedOrder
from orchestrator.testing.audit import Check
from orchestrator.testing.ledger import Effect, Row

_MONEY: Mapping[str, tuple[int, int]] = {
    DELIVERED: (1, 0),
    REFUNDED: (1, 1),
    DECLINED: (0, 0),
    CANCELLED: (0, 0),
}
"""Outcome → how often its order is paid and refunded."""


def audit_orders(
    orders: Sequence[PlacedOrder], ends: Mapping[str, str], rows: Sequence[Row]
) -> tuple[Check, ...]:
    """Check that every order ended as it had to, and that its money was moved as it ended.

    `ends` holds each ended order's outcome, or words that say how its run failed.
    """
    return _every_order_ended(orders, ends), _money_moved_once(orders, ends, rows)


def _every_order_ended(orders: Sequence[PlacedOrder], ends: Mapping[str, str]) -> Check:
    violations: list[str] = []
    for order in orders:
        end = ends.get(order.workflow_id)
        if end is None:
            violations.append(f"{order.workflow_id}: has not ended")
        elif end != order.outcome:
            violations.append(f"{order.workflow_id}: expected {order.outcome}, found {end}")
    placed = {order.workflow_id for order in orders}
    violations += [f"{name}: ended, but nobody placed it" for name in ends if name not in placed]
    counts = Counter(ends.get(order.workflow_id, "open") for order in orders)
    sums = ", ".join(f"{count} {end}" for end, count in sorted(counts.items()))
    return Check("every order ended as it had to", f"{len(orders)} orders: {sums}", (*violations,))


def _money_moved_once(
    orders: Sequence[PlacedOrder], ends: Mapping[str, str], rows: Sequence[Row]
) -> Check:
    effects = [row for row in rows if isinstance(row, Effect)]
    moved = {(row.name, row.idempotency_key): row for row in effects}
    times = Counter((row.name, row.subject) for row in moved.values())
    violations: list[str] = []
    for order in orders:
        end = ends.get(order.workflow_id)
        if end is None or end not in _MONEY:
            continue  # the check above has its words for this
        found = (times["paid", order.workflow_id], times["refunded", order.workflow_id])
        if found != _MONEY[end]:
            expected = "expected {} and {}, found {} and {}".format(*_MONEY[end], *found)
            violations.append(f"{order.workflow_id} ({end}): paid and refunded: {expected}")
    placed = {order.workflow_id for order in orders}
    strange = sorted({row.subject for row in moved.values()} - placed)
    violations += [f"{subject}: money was moved, but nobody placed it" for subject in strange]
    sums = [
        f"{name} {sum(1 for row in moved.values() if row.name == name)} × "
        f"{sum((row.amount for row in moved.values() if row.name == name), Decimal(0))}"
        for name in ("paid", "refunded")
    ]
    measured = f"{', '.join(sums)}; {len(effects) - len(moved)} repeats made no difference"
    return Check("paid once unless declined, refunded once if refunded", measured, (*violations,))
