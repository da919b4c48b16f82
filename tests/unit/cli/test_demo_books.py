"""The demo's orders, and the books that must add up: each planted error is found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from orchestrator.cli.demo.books import audit_orders
from orchestrator.cli.demo.orders import PlacedOrder, place_orders
from orchestrator.testing.audit import Check
from orchestrator.testing.ledger import Effect

DINNER = {"item": "salad"}


def order(outcome: str, name: str = "order-1") -> PlacedOrder:
    return PlacedOrder(name, DINNER, outcome)


def effect(name: str, *, key: str = "order-1", subject: str = "order-1") -> Effect:
    return Effect(
        time_us=1,
        pid=1,
        workflow_id=subject,
        run_id="r",
        scheduled_event_id=5,
        activity_type="a",
        attempt=1,
        name=name,
        subject=subject,
        idempotency_key=key,
        amount=Decimal("12.50"),
    )


def money(outcome: str, *effects: Effect) -> Check:
    _, check = audit_orders([order(outcome)], {"order-1": outcome}, effects)
    return check


def ended(orders: Sequence[PlacedOrder], **ends: str) -> Check:
    check, _ = audit_orders(orders, {name.replace("_", "-"): end for name, end in ends.items()}, ())
    return check


def test_an_order_that_has_not_ended_is_found() -> None:
    check = ended([order("delivered")])

    assert check.violations == ("order-1: has not ended",)
    assert "1 open" in check.measured


def test_an_order_that_ended_otherwise_is_found() -> None:
    assert ended([order("declined")], order_1="delivered").violations == (
        "order-1: expected declined, found delivered",
    )


def test_an_order_that_nobody_placed_is_found() -> None:
    assert "order-2" in ended([order("declined")], order_1="declined", order_2="x").violations[0]


def test_orders_that_ended_as_they_had_to_are_counted() -> None:
    check = ended(
        [order("declined"), order("delivered", "order-2")], order_1="declined", order_2="delivered"
    )

    assert check.kept
    assert check.measured == "2 orders: 1 declined, 1 delivered"


def test_money_must_fit_the_outcome() -> None:
    paid, refunded = effect("paid"), effect("refunded")

    assert money("delivered", paid).kept
    assert money("refunded", paid, refunded).kept
    assert money("declined").kept
    assert money("cancelled").kept
    assert not money("delivered").kept, "a free meal"
    assert not money("delivered", paid, refunded).kept, "eaten, and given back"
    assert not money("refunded", paid).kept, "nothing was given back"
    assert not money("refunded", refunded).kept
    assert not money("declined", paid).kept
    assert not money("cancelled", paid).kept


def test_a_repeat_under_the_same_key_is_one_charge() -> None:
    check = money("delivered", effect("paid"), effect("paid"))

    assert check.kept
    assert check.measured == ("paid 1 × 12.50, refunded 0 × 0; 1 repeats made no difference")


def test_a_second_key_for_one_order_is_a_second_charge() -> None:
    check = money("delivered", effect("paid"), effect("paid", key="order-1/2"))

    assert len(check.violations) == 1
    assert "found 2 and 0" in check.violations[0]


def test_a_second_refund_is_found() -> None:
    assert not money(
        "refunded", effect("paid"), effect("refunded"), effect("refunded", key="again")
    ).kept


def test_money_of_an_order_that_nobody_placed_is_found() -> None:
    check = money("delivered", effect("paid"), effect("paid", key="order-9", subject="order-9"))

    assert "order-9" in check.violations[0]


def test_the_orders_are_the_same_ones_each_time_and_of_every_kind() -> None:
    orders = place_orders(200)

    assert orders == place_orders(200)
    assert len({one.workflow_id for one in orders}) == 200
    assert Counter(one.outcome for one in orders) == {
        "delivered": 176,
        "refunded": 14,
        "declined": 10,
    }
    assert {one.outcome for one in place_orders(20)} >= {"delivered", "declined"}


def test_a_start_message_is_plain_json_whose_repeat_is_the_same() -> None:
    first = place_orders(1)[0]
    message = json.loads(first.start_message())

    assert message == {
        "type": "start",
        "request_id": "start-order-0001",
        "workflow_id": "order-0001",
        "workflow_type": "Order",
        "task_queue": "orders",
        "input": [{"item": "salad", "address": "next door"}],
    }
    assert first.start_message() == place_orders(1)[0].start_message()
