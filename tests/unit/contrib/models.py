"""Pydantic models as a workflow's and an activity's values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import pydantic

from orchestrator import activity, workflow

QUEUE = "models"


class Pizza(pydantic.BaseModel):
    """One kind of dish."""

    kind: Literal["pizza"] = "pizza"
    size_cm: Annotated[int, pydantic.Field(gt=0)]


class Drink(pydantic.BaseModel):
    """Another."""

    kind: Literal["drink"] = "drink"
    name: str


class Order(pydantic.BaseModel):
    """What is ordered, and when."""

    dishes: list[Annotated[Pizza | Drink, pydantic.Field(discriminator="kind")]]
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@activity.defn
async def without_drinks(order: Order) -> Order:
    """The same, dry."""
    dishes = [dish for dish in order.dishes if isinstance(dish, Pizza)]
    return order.model_copy(update={"dishes": dishes})


@workflow.defn
class Dry:
    """Asks an activity."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Both ways through pydantic."""
        assert isinstance(order.dishes[1], Drink)
        return await workflow.execute_activity(
            without_drinks, order, start_to_close_timeout=timedelta(minutes=1)
        )
