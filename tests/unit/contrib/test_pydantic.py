"""Values through pydantic: models and everything that the default converter takes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from orchestrator.contrib.pydantic import pydantic_data_converter as values
from orchestrator.exceptions import ConversionError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Replayer, Worker
from tests.unit.contrib.models import QUEUE, Drink, Dry, Order, Pizza, without_drinks


async def test_models_are_arguments_and_results_of_workflows_and_activities() -> None:
    order = Order(dishes=[Pizza(size_cm=30), Drink(name="water")])
    async with (
        await WorkflowEnvironment.start_time_skipping(data_converter=values) as env,
        Worker(env.client, task_queue=QUEUE, workflows=[Dry], activities=[without_drinks]),
    ):
        handle = await env.client.start_workflow(Dry.run, order, id="d", task_queue=QUEUE)
        assert await handle.result() == Order(dishes=[Pizza(size_cm=30)])
        history = await handle.fetch_history()
    await Replayer(workflows=[Dry], data_converter=values).replay_workflow(history)


@dataclass
class Point:
    """As users write them."""

    x: int
    at: Decimal | None = None


class Struct(msgspec.Struct):
    """What pydantic does not know."""

    name: str


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (None, None),
        (b"raw", bytes),
        ("text", str),
        ([1, 2], list[int]),
        (Point(1, Decimal("1.50")), Point),
        (Struct(name="a"), Struct),
        (UUID(int=1), UUID),
        ({"p": Pizza(size_cm=3)}, dict[str, Pizza]),
        (Pizza(size_cm=3), Pizza | None),
    ],
    ids=str,
)
def test_values_come_back_as_their_annotation_says(value: object, hint: object) -> None:
    (payload,) = values.to_payloads([value])
    assert values.from_payloads([payload], [hint]) == [value]


def test_what_does_not_fit_is_said_by_pydantic() -> None:
    (payload,) = values.to_payloads([{"size_cm": -1}])
    with pytest.raises(ConversionError, match="greater than 0"):
        values.from_payloads([payload], [Pizza])


def test_what_nobody_can_convert_is_refused() -> None:
    with pytest.raises(ConversionError, match="no JSON form"):
        values.to_payloads([object()])
