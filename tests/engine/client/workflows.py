"""Workflows that clients of the tests start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator import activity, workflow
from orchestrator.exceptions import ApplicationError

QUEUE = "orders"


@dataclass
class Order:
    item: str
    extras: list[str] = field(default_factory=list)


@activity.defn
async def pay(order: Order) -> str:
    if order.item == "nothing":
        raise ApplicationError("nothing to pay", order, type="Empty", non_retryable=True)
    return f"paid {order.item}"


@workflow.defn
class Ordering:
    """Pays, then waits until it may leave the kitchen, at most an hour."""

    @workflow.init
    def __init__(self, order: Order) -> None:
        self.order = order
        self.ready = False

    @workflow.run
    async def run(self, order: Order) -> Order:
        await workflow.execute_activity(
            pay, order, start_to_close_timeout=timedelta(seconds=10), summary=f"for {order.item}"
        )
        try:
            await workflow.wait_condition(lambda: self.ready, timeout=timedelta(hours=1))
        except TimeoutError:
            self.order.extras.append("late")
        return self.order

    @workflow.signal
    def add(self, extra: str) -> None:
        self.order.extras.append(extra)

    @workflow.signal
    def finish(self) -> None:
        self.ready = True

    @workflow.query
    def extras(self) -> list[str]:
        return self.order.extras


@workflow.defn
class Erring:
    """Has a bug."""

    @workflow.run
    async def run(self) -> None:
        raise KeyError("salad")


@workflow.defn
class Sleeper:
    """Sleeps so many days."""

    @workflow.run
    async def run(self, days: int) -> str:
        await asyncio.sleep(days * 24 * 3600)
        return "awake"


@workflow.defn
class Counter:
    """Continues as new until it has counted down."""

    @workflow.run
    async def run(self, left: int) -> str:
        if left:
            workflow.continue_as_new(left - 1)
        return "done"


@workflow.defn
class Renewed:
    """Continues as new once, then waits to be cancelled."""

    @workflow.run
    async def run(self, begins: bool) -> None:
        if begins:
            workflow.continue_as_new(False)
        await workflow.wait_condition(lambda: False)


WORKFLOWS = [Erring, Ordering, Sleeper, Counter, Renewed]
ACTIVITIES = [pay]
