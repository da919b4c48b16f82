"""The orders of the demo: how many of which kind, the message that starts one, how it must end.

Which field makes which step fail is said in `workers/orders/model.py`. A few of each kind stand in
every hundred, so a run of the demo shows each outcome and still ends soon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

TASK_QUEUE = "orders"
WORKFLOW_TYPE = "Order"
DELIVERED, REFUNDED, DECLINED, CANCELLED = "delivered", "refunded", "declined", "cancelled"
_DINNER: Mapping[str, str] = {"item": "salad", "address": "next door"}


@dataclass(frozen=True)
class Kind:
    """Orders of one kind: their number in a hundred, what is special, how they must end."""

    percent: int
    fields: Mapping[str, str]
    outcome: str


_SPECIAL = (
    Kind(5, {"card": "4000000000000002"}, DECLINED),
    Kind(5, {"card": "4000000000000119"}, DELIVERED),
    Kind(4, {"item": "unicorn steak"}, REFUNDED),
    Kind(2, {"address": "the moon"}, REFUNDED),
    Kind(1, {"address": "nowhere"}, REFUNDED),
)
_PLAIN = Kind(83, {}, DELIVERED)


@dataclass(frozen=True)
class PlacedOrder:
    """One order of the demo."""

    workflow_id: str
    fields: Mapping[str, str]
    outcome: str

    @property
    def request_id(self) -> str:
        """The same for every repeat of its start."""
        return f"start-{self.workflow_id}"

    def start_message(self) -> bytes:
        """What any program in any language would publish to start it."""
        message = {
            "type": "start",
            "request_id": self.request_id,
            "workflow_id": self.workflow_id,
            "workflow_type": WORKFLOW_TYPE,
            "task_queue": TASK_QUEUE,
            "input": [dict(self.fields)],
        }
        return json.dumps(message).encode()


def place_orders(count: int) -> list[PlacedOrder]:
    """`count` orders; the same ones each time, with the special kinds spread evenly."""
    kinds: list[Kind | None] = [None] * 100
    slot = 0
    for kind in _SPECIAL:
        for _ in range(kind.percent):
            # 37 has no factor in common with 100: the steps of a walk that meets each slot once.
            slot = (slot + 37) % 100
            kinds[slot] = kind
    orders: list[PlacedOrder] = []
    for number in range(1, count + 1):
        special = kinds[number % 100] or _PLAIN
        orders.append(
            PlacedOrder(f"order-{number:04}", {**_DINNER, **special.fields}, special.outcome)
        )
    return orders
