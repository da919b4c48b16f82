"""What travels between the customer, the workflow and its activities.

Everything has a default where life has one, so that `{"item": "pizza"}` is an order. The values
below that make a step fail always do: a demo, a test and a reader get the outcome they ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"
SHAKY_CARD = "4000000000000119"
"""The first attempt charges it, and then the provider's answer is lost."""
SOLD_OUT = "unicorn steak"
"""Every restaurant refuses this item."""
MOON = "the moon"
"""No driver goes there."""
NOWHERE = "nowhere"
"""A driver goes there, and nobody opens."""
NEXT_DOOR = "next door"
"""The shortest way."""


@dataclass(frozen=True)
class Order:
    """What the customer wants. Its id is the workflow id."""

    item: str
    price: Decimal = Decimal("12.50")
    card: str = GOOD_CARD
    address: str = "1 Main Street"


@dataclass(frozen=True)
class Payment:
    """A charge that the card provider has made."""

    payment_id: str
    amount: Decimal


@dataclass(frozen=True)
class Ticket:
    """The restaurant's promise."""

    restaurant: str
    ready_in: timedelta


@dataclass(frozen=True)
class DriverUpdate:
    """Where the driver's phone says it is."""

    position: str


class Stage(StrEnum):
    """Where the order is, in the order of its life."""

    PAYING = "paying"
    ORDERING = "ordering"
    COOKING = "cooking"
    FINDING_DRIVER = "finding driver"
    DELIVERING = "delivering"
    REFUNDING = "refunding"
    ENDED = "ended"


class Outcome(StrEnum):
    """How the order ended."""

    DELIVERED = "delivered"
    """Paid once, and eaten."""
    REFUNDED = "refunded"
    """Paid once, and given back."""
    DECLINED = "declined"
    """Never paid."""
    CANCELLED = "cancelled"
    """Taken back before anything was paid."""


@dataclass(frozen=True)
class OrderStatus:
    """The answer to "where is my order right now?"."""

    stage: Stage
    text: str
    driver: str | None = None
    position: str | None = None
    reminders: int = 0
    outcome: Outcome | None = None
    note: str = ""
    """What became of the customer's last wish, when it could not be fulfilled."""


@dataclass(frozen=True)
class OrderResult:
    """How the order ended, and why when it was not delivered."""

    outcome: Outcome
    reason: str = ""
    driver: str | None = None
    reminders: int = 0
