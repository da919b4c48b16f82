"""The food delivery order: pay, cook, find a driver, deliver; give the money back when it fails.

Everything below survives any crash: a wait is a timer kept by the engine, a step's result is
recorded once, and a process that takes over replays what is recorded and goes on. So the code is
written as if nothing could ever happen to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from orchestrator import workflow
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import ActivityError, ApplicationError
from workers.orders import activities
from workers.orders.model import (
    DriverUpdate,
    Order,
    OrderResult,
    OrderStatus,
    Outcome,
    Payment,
    Stage,
)

_Result = TypeVar("_Result")

_REMIND_EVERY = timedelta(seconds=15)
"""A kitchen that takes longer than this is asked how it is going, again and again."""

_MONEY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""For ever, and without a time-out for the whole: nobody knows whether an attempt that was not
heard of again has moved the money. The next one, under the same key, finds out."""

_DRIVER_SEARCH = RetryPolicy(
    initial_interval=timedelta(seconds=0.5), backoff_coefficient=2.0, maximum_attempts=4
)
"""Drivers come free every few minutes; after the fourth try the food would be cold."""


class _OrderCancelledError(Exception):
    """The customer took the order back in time."""


@workflow.defn(name="Order")
class OrderWorkflow:
    """One order of one customer. Its workflow id is the order's id."""

    def __init__(self) -> None:
        self._order_id = workflow.info().workflow_id
        self._stage = Stage.PAYING
        self._driver: str | None = None
        self._position: str | None = None
        self._reminders = 0
        self._food_is_ready = False
        self._cancel_reason: str | None = None
        self._note = ""
        self._result: OrderResult | None = None

    @workflow.run
    async def run(self, order: Order) -> OrderResult:
        # Whoever cancels the run from outside gets what a customer gets: the order is taken back
        # if that is still possible, and its money is never lost on the way.
        work = asyncio.create_task(self._handle(order))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.cancel_order("the run was cancelled")
            result = await work
            if result.outcome is Outcome.DELIVERED:
                return result
            raise

    @workflow.query
    def status(self) -> OrderStatus:
        """Where is my order right now?"""
        return OrderStatus(
            stage=self._stage,
            text=self._describe(),
            driver=self._driver,
            position=self._position,
            reminders=self._reminders,
            outcome=self._result.outcome if self._result else None,
            note=self._note,
        )

    @workflow.signal
    def cancel_order(self, reason: str = "the customer cancelled") -> None:
        """Take the order back. Once the driver has it, it is too late; `status` says so."""
        if self._stage in (Stage.DELIVERING, Stage.REFUNDING, Stage.ENDED):
            self._note = f"too late to cancel: the order is {self._stage}"
        else:
            self._cancel_reason = reason

    @workflow.signal
    def food_ready(self) -> None:
        """The kitchen is done earlier than it promised."""
        self._food_is_ready = True

    @workflow.signal
    def driver_update(self, update: DriverUpdate) -> None:
        """The driver's phone says where it is."""
        self._position = update.position

    async def _handle(self, order: Order) -> OrderResult:
        if self._cancel_reason is not None:
            return self._end(Outcome.CANCELLED, self._cancel_reason)
        try:
            payment = await self._pay(order)
        except ActivityError as error:
            return self._end(Outcome.DECLINED, _reason(error))
        try:
            self._driver = await self._unless_cancelled(self._prepare(order))
            await self._deliver(order, self._driver)
        except _OrderCancelledError as error:
            await self._refund(payment)
            return self._end(Outcome.REFUNDED, str(error))
        except ActivityError as error:
            await self._refund(payment)
            return self._end(Outcome.REFUNDED, _reason(error))
        return self._end(Outcome.DELIVERED)

    async def _pay(self, order: Order) -> Payment:
        # Never cancelled: a payment that is on its way ends first, and is then given back.
        return await workflow.execute_activity(
            activities.validate_and_pay,
            args=[self._order_id, order],
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=_MONEY,
        )

    async def _prepare(self, order: Order) -> str:
        """From the kitchen's promise to a driver at its door; the driver's name."""
        self._stage = Stage.ORDERING
        ticket = await workflow.execute_activity(
            activities.send_to_restaurant,
            args=[self._order_id, order],
            start_to_close_timeout=timedelta(seconds=10),
            # A kitchen that cannot be reached for so long is closed; the customer wants to know.
            schedule_to_close_timeout=timedelta(minutes=10),
        )
        self._stage = Stage.COOKING
        await self._cook(ticket.ready_in)
        self._stage = Stage.FINDING_DRIVER
        return await workflow.execute_activity(
            activities.find_delivery_driver,
            args=[self._order_id, order],
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=_DRIVER_SEARCH,
        )

    async def _cook(self, promised: timedelta) -> None:
        """Wait for the kitchen. Many never say that they are done: then its promise counts."""
        reminding = asyncio.create_task(self._remind())
        try:
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._food_is_ready, timeout=promised)
        finally:
            reminding.cancel()

    async def _remind(self) -> None:
        while True:
            await workflow.sleep(_REMIND_EVERY)
            self._reminders += 1
            with suppress(ActivityError):  # a reminder that fails delays nobody's food
                await workflow.execute_activity(
                    activities.remind_restaurant,
                    args=[self._order_id, self._reminders],
                    schedule_to_close_timeout=timedelta(seconds=10),
                )

    async def _deliver(self, order: Order, driver: str) -> None:
        self._stage = Stage.DELIVERING
        await workflow.execute_activity(
            activities.deliver_order,
            args=[self._order_id, order, driver],
            # The longest way there is. Nobody waits so long for a driver who had an accident: the
            # phone tells every second how far it is, and after six silent ones another goes on.
            start_to_close_timeout=timedelta(hours=2),
            heartbeat_timeout=timedelta(seconds=6),
        )

    async def _refund(self, payment: Payment) -> None:
        self._stage = Stage.REFUNDING
        await workflow.execute_activity(
            activities.refund,
            args=[self._order_id, payment.amount],
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=_MONEY,
        )

    async def _unless_cancelled(
        self, work: Coroutine[Any, Any, _Result]
    ) -> _Result:  # Any: asyncio's own types
        """Do `work`, but stop as soon as the customer cancels.

        Raises:
            _OrderCancelledError: the customer did, at the latest when `work` was done.
        """
        task = asyncio.create_task(work)
        await workflow.wait_condition(lambda: task.done() or self._cancel_reason is not None)
        if self._cancel_reason is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise _OrderCancelledError(self._cancel_reason)
        return await task

    def _end(self, outcome: Outcome, reason: str = "") -> OrderResult:
        self._stage = Stage.ENDED
        self._result = OrderResult(outcome, reason, self._driver, self._reminders)
        return self._result

    def _describe(self) -> str:
        match self._stage:
            case Stage.PAYING:
                return "We are charging your card."
            case Stage.ORDERING:
                return "We are giving your order to the restaurant."
            case Stage.COOKING:
                return "The restaurant is cooking."
            case Stage.FINDING_DRIVER:
                return "Your food is ready; we are looking for a driver."
            case Stage.DELIVERING:
                where = f", now at {self._position}" if self._position else ""
                return f"{self._driver} is on the way to you{where}."
            case Stage.REFUNDING:
                return "Something went wrong; we are giving your money back."
            case Stage.ENDED:
                return f"Your order was {self._result.outcome if self._result else 'closed'}."


def _reason(error: ActivityError) -> str:
    cause = error.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause or error)
