"""What `orchestrator worker workers.orders.app` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.orders import activities as steps
from workers.orders.workflows import OrderWorkflow

task_queue: str = "orders"
workflows: list[type] = [OrderWorkflow]
activities: list[Callable[..., Any]] = [  # Any: activities take and give what they like
    steps.validate_and_pay,
    steps.send_to_restaurant,
    steps.remind_restaurant,
    steps.find_delivery_driver,
    steps.deliver_order,
    steps.refund,
]
