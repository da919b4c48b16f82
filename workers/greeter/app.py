"""What `orchestrator worker workers.greeter.app` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.greeter.activities import greet
from workers.greeter.workflows import Greeting

task_queue: str = "greeter"
workflows: list[type] = [Greeting]
activities: list[Callable[..., Any]] = [greet]  # Any: activities take and give what they like
