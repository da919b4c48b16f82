"""The food order: each way it can go, and what the customer is told meanwhile."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.cli.demo.books import audit_orders
from orchestrator.cli.demo.orders import PlacedOrder, place_orders
from orchestrator.client import WorkflowExecutionStatus, WorkflowFailureError
from orchestrator.exceptions import CancelledError
from orchestrator.testing.audit import audit_attempts
from orchestrator.testing.ledger import Ledger
from tests.engine.workers.kitchen import Kitchen, open_kitchen, worker_of
from workers.orders.app import task_queue
from workers.orders.model import (
    DECLINED_CARD,
    MOON,
    NOWHERE,
    SHAKY_CARD,
    SOLD_OUT,
    DriverUpdate,
    Order,
    OrderResult,
    Outcome,
    Stage,
)
from workers.orders.workflows import OrderWorkflow

STEPS = ["validate_and_pay", "send_to_restaurant", "find_delivery_driver", "deliver_order"]


async def test_an_order_is_paid_cooked_and_delivered(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order("pizza"))

    assert result == OrderResult(Outcome.DELIVERED, driver="Alex")
    assert kitchen.calls == STEPS


async def test_a_declined_card_ends_the_order_and_nothing_is_refunded(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order("pizza", card=DECLINED_CARD))

    assert result == OrderResult(Outcome.DECLINED, "the card was declined")
    assert kitchen.calls == STEPS[:1]


async def test_an_order_for_nothing_is_declined(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order("pizza", price=Decimal(0)))

    assert result.outcome is Outcome.DECLINED
    assert "price above 0" in result.reason


async def test_a_lost_answer_of_the_card_provider_is_asked_for_again(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order("pizza", card=SHAKY_CARD))

    assert result.outcome is Outcome.DELIVERED
    assert kitchen.calls == [STEPS[0], *STEPS]


async def test_a_restaurant_that_refuses_gets_the_customer_a_refund(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order(SOLD_OUT))

    assert result == OrderResult(Outcome.REFUNDED, f"the restaurant is out of {SOLD_OUT}")
    assert kitchen.calls == [*STEPS[:2], "refund"]


async def test_a_driver_is_looked_for_four_times_and_then_the_money_goes_back(
    kitchen: Kitchen,
) -> None:
    result = await kitchen.serve(Order("pizza", address=MOON))

    assert result == OrderResult(Outcome.REFUNDED, f"no driver goes to {MOON}")
    assert kitchen.calls == [*STEPS[:2], *(STEPS[2:3] * 4), "refund"]


async def test_a_customer_who_is_not_there_gets_a_refund(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order("pizza", address=NOWHERE))

    assert result == OrderResult(Outcome.REFUNDED, f"Alex found nobody at {NOWHERE}", driver="Alex")
    assert kitchen.calls == [*STEPS, "refund"]


async def test_a_slow_kitchen_is_reminded_every_quarter_of_an_hour(kitchen: Kitchen) -> None:
    result = await kitchen.serve(Order("lasagne"))

    assert result.reminders == 2
    assert kitchen.calls.count("remind_restaurant") == 2


async def test_a_kitchen_that_is_ready_early_is_believed(kitchen: Kitchen) -> None:
    handle = await kitchen.place(Order("lasagne"))
    await kitchen.env.sleep(timedelta(seconds=20))
    await handle.signal(OrderWorkflow.food_ready)

    assert (await handle.result()).reminders == 1
    passed = await kitchen.env.get_current_time() - (await handle.describe()).start_time
    assert timedelta(seconds=20) <= passed < timedelta(seconds=25)


async def test_an_order_cancelled_while_it_is_cooked_is_refunded(kitchen: Kitchen) -> None:
    handle = await kitchen.place(Order("lasagne"))
    await kitchen.env.sleep(timedelta(seconds=20))
    assert (await handle.query(OrderWorkflow.status)).stage is Stage.COOKING
    await handle.signal(OrderWorkflow.cancel_order, "changed my mind")

    result = await handle.result()

    assert result == OrderResult(Outcome.REFUNDED, "changed my mind", reminders=1)
    assert kitchen.calls == [*STEPS[:2], "remind_restaurant", "refund"]


async def test_a_payment_on_its_way_ends_before_a_cancelled_order_is_refunded(
    kitchen: Kitchen,
) -> None:
    kitchen.hold("validate_and_pay")
    handle = await kitchen.place(Order("pizza"))
    await kitchen.reached("validate_and_pay")
    await handle.signal(OrderWorkflow.cancel_order, "too expensive")
    assert (await handle.query(OrderWorkflow.status)).stage is Stage.PAYING
    kitchen.let_go("validate_and_pay")

    assert await handle.result() == OrderResult(Outcome.REFUNDED, "too expensive")
    assert kitchen.calls == ["validate_and_pay", "refund"]


async def test_an_order_cancelled_before_anything_happened_is_never_paid() -> None:
    async with open_kitchen(working=False) as kitchen:
        handle = await kitchen.place(Order("pizza"))
        await handle.signal(OrderWorkflow.cancel_order, "wrong button")
        async with worker_of(kitchen):
            assert await handle.result() == OrderResult(Outcome.CANCELLED, "wrong button")
    assert kitchen.calls == []


async def test_it_is_too_late_to_cancel_once_the_driver_has_the_order(kitchen: Kitchen) -> None:
    kitchen.hold("deliver_order")
    handle = await kitchen.place(Order("pizza"))
    await kitchen.reached("deliver_order", waiting_for=handle)
    await handle.signal(OrderWorkflow.cancel_order, "not hungry any more")

    status = await handle.query(OrderWorkflow.status)
    assert (status.stage, status.note) == (
        Stage.DELIVERING,
        "too late to cancel: the order is delivering",
    )
    kitchen.let_go("deliver_order")
    assert (await handle.result()).outcome is Outcome.DELIVERED
    assert "refund" not in kitchen.calls


async def test_a_run_that_is_cancelled_from_outside_gives_the_money_back(
    kitchen: Kitchen,
) -> None:
    handle = await kitchen.place(Order("lasagne"))
    await kitchen.env.sleep(timedelta(seconds=5))
    await handle.cancel()

    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()

    assert isinstance(caught.value.cause, CancelledError)
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert kitchen.calls == [*STEPS[:2], "refund"]
    assert (await handle.query(OrderWorkflow.status)).outcome is Outcome.REFUNDED


async def test_a_run_that_is_cancelled_from_outside_too_late_is_delivered(
    kitchen: Kitchen,
) -> None:
    kitchen.hold("deliver_order")
    handle = await kitchen.place(Order("pizza"))
    await kitchen.reached("deliver_order", waiting_for=handle)
    await handle.cancel()
    assert (await handle.query(OrderWorkflow.status)).stage is Stage.DELIVERING
    kitchen.let_go("deliver_order")

    assert (await handle.result()).outcome is Outcome.DELIVERED


async def test_the_customer_can_ask_where_the_order_is_at_every_step(kitchen: Kitchen) -> None:
    for step in (*STEPS, "refund"):
        kitchen.hold(step)
    handle = await kitchen.place(Order("pizza", address=NOWHERE))
    seen = []
    for step in STEPS:
        await kitchen.reached(step, waiting_for=handle)
        seen.append(await handle.query(OrderWorkflow.status))
        if step == "deliver_order":
            await handle.signal(OrderWorkflow.driver_update, DriverUpdate("Bridge Street"))
            seen.append(await handle.query(OrderWorkflow.status))
        kitchen.let_go(step)
        if step == "send_to_restaurant":
            await kitchen.env.sleep(timedelta(seconds=2))
            seen.append(await handle.query(OrderWorkflow.status))
    await kitchen.reached("refund")
    seen.append(await handle.query(OrderWorkflow.status))
    kitchen.let_go("refund")
    await handle.result()
    seen.append(await handle.query(OrderWorkflow.status))

    assert [status.stage for status in seen] == [
        Stage.PAYING,
        Stage.ORDERING,
        Stage.COOKING,
        Stage.FINDING_DRIVER,
        Stage.DELIVERING,
        Stage.DELIVERING,
        Stage.REFUNDING,
        Stage.ENDED,
    ]
    assert seen[4].text == "Alex is on the way to you."
    assert seen[5].text == "Alex is on the way to you, now at Bridge Street."
    assert seen[-1].text == "Your order was refunded."
    assert seen[-1].outcome is Outcome.REFUNDED


async def test_plain_json_without_a_single_option_is_an_order(kitchen: Kitchen) -> None:
    handle = await kitchen.client.start_workflow(
        "Order", {"item": "pizza"}, id="order-1", task_queue=task_queue, result_type=OrderResult
    )

    assert (await handle.result()).outcome is Outcome.DELIVERED


async def test_each_kind_of_order_of_the_demo_ends_as_it_must_and_the_books_agree(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_LEDGER", str(tmp_path / "ledger"))
    kinds = {str(order.fields): order for order in place_orders(100)}
    orders: list[PlacedOrder] = list(kinds.values())
    ends: dict[str, str] = {}
    for order in orders:
        ends[order.workflow_id] = await kitchen.client.execute_workflow(
            "Order",
            dict(order.fields),
            id=order.workflow_id,
            task_queue=task_queue,
            request_id=order.request_id,
        )
        ends[order.workflow_id] = ends[order.workflow_id]["outcome"]

    found = Ledger(tmp_path / "ledger").read()

    assert len(orders) == 6
    checks = audit_orders(orders, ends, found.rows)
    checks += audit_attempts(found.rows, recorded_us={}, interruptions=[])
    assert [violation for check in checks for violation in check.violations] == []
    assert "1 repeats made no difference" in checks[1].measured, "the shaky card's"
