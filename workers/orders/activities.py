"""The steps of an order that touch the world. Each may run more than once, and must not mind.

Nothing here is real but the shape: how long a step takes and whether it fails follows from the
order alone (see `model`). Seconds stand for the minutes of life, so that a reader can watch.
"""

from __future__ import annotations

from asyncio import sleep
from datetime import timedelta
from decimal import Decimal

from orchestrator import activity
from orchestrator.exceptions import ApplicationError
from workers.orders.ledger import book, recorded
from workers.orders.model import (
    DECLINED_CARD,
    MOON,
    NEXT_DOOR,
    NOWHERE,
    SHAKY_CARD,
    SOLD_OUT,
    Order,
    Payment,
    Ticket,
)

_COOKING_SECONDS = {"salad": 0.2, "pizza": 5.0, "lasagne": 40.0}
_COOKING_SECONDS_ELSE = 5.0
_CALL_SECONDS = 0.02
"""What a call to somebody else's computer takes."""
_STREETS = 5
"""Parts of the way to a customer; a second each."""


@activity.defn
@recorded
async def validate_and_pay(order_id: str, order: Order) -> Payment:
    """Charge the card, once for an order id however often this runs.

    Raises:
        ApplicationError: InvalidOrder or CardDeclined, both final; AnswerLost, worth a retry.
    """
    if order.price <= 0 or not order.item:
        raise ApplicationError(
            f"an order needs an item and a price above 0, found {order.item!r} for {order.price}",
            type="InvalidOrder",
            non_retryable=True,
        )
    await sleep(_CALL_SECONDS)
    if order.card == DECLINED_CARD:
        raise ApplicationError("the card was declined", type="CardDeclined", non_retryable=True)
    # The order id is the key under which the provider knows this charge: a second attempt, after
    # a crash or a lost answer, finds the first one's charge and makes none.
    book("paid", order_id=order_id, idempotency_key=order_id, amount=order.price)
    if order.card == SHAKY_CARD and activity.info().attempt == 1:
        raise ApplicationError("the provider's answer was lost", type="AnswerLost")
    return Payment(payment_id=f"payment-{order_id}", amount=order.price)


@activity.defn
@recorded
async def send_to_restaurant(order_id: str, order: Order) -> Ticket:
    """Give the order to the kitchen and bring back its promise.

    Raises:
        ApplicationError: RestaurantRejected, final.
    """
    await sleep(_CALL_SECONDS)
    if order.item == SOLD_OUT:
        raise ApplicationError(
            f"the restaurant is out of {order.item}", type="RestaurantRejected", non_retryable=True
        )
    seconds = _COOKING_SECONDS.get(order.item, _COOKING_SECONDS_ELSE)
    return Ticket(restaurant="Da Mario", ready_in=timedelta(seconds=seconds))


@activity.defn
@recorded
async def remind_restaurant(order_id: str, reminder: int) -> None:
    """Ask the kitchen how it is going."""
    await sleep(_CALL_SECONDS)
    activity.logger.info("reminded the restaurant of %s (reminder %d)", order_id, reminder)


@activity.defn
@recorded
async def find_delivery_driver(order_id: str, order: Order) -> str:
    """Find somebody who brings it; the name of the driver.

    Raises:
        ApplicationError: NoDriver; another attempt may find one.
    """
    await sleep(_CALL_SECONDS)
    if order.address == MOON:
        raise ApplicationError(f"no driver goes to {order.address}", type="NoDriver")
    return "Alex"


@activity.defn
@recorded
async def deliver_order(order_id: str, order: Order, driver: str) -> None:
    """Go there, and tell of each street on the way; a second attempt goes on where the first one
    was last heard of.

    Raises:
        ApplicationError: NobodyHome, final.
    """
    near = order.address in (NEXT_DOOR, NOWHERE)
    streets, seconds = (1, 0.5) if near else (_STREETS, 1.0)
    details = activity.info().heartbeat_details
    done = int(details[0]) if details else 0
    for street in range(done, streets):
        activity.heartbeat(street)
        await sleep(seconds)
    if order.address == NOWHERE:
        raise ApplicationError(
            f"{driver} found nobody at {order.address}", type="NobodyHome", non_retryable=True
        )


@activity.defn
@recorded
async def refund(order_id: str, amount: Decimal) -> None:
    """Give the money back, once for an order id however often this runs."""
    await sleep(_CALL_SECONDS)
    book("refunded", order_id=order_id, idempotency_key=order_id, amount=amount)
