"""An environment with the orders app: steps take no time, and a test can hold one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pytest

from orchestrator.client import Client, WorkflowHandle
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker
from workers.orders import activities, app
from workers.orders.model import Order, OrderResult
from workers.orders.workflows import OrderWorkflow

Handle = WorkflowHandle[OrderWorkflow, OrderResult]


@dataclass
class Kitchen:
    """The environment, the calls of each step so far, and the doors before the steps."""

    env: WorkflowEnvironment
    calls: list[str] = field(default_factory=list)
    _doors: dict[str, asyncio.Event] = field(default_factory=dict)
    _arrived: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        return self.env.client

    async def place(self, order: Order) -> Handle:
        return await self.client.start_workflow(
            OrderWorkflow.run, order, id="order-1", task_queue=app.task_queue
        )

    async def serve(self, order: Order) -> OrderResult:
        return await (await self.place(order)).result()

    def hold(self, step: str) -> None:
        """Keep every attempt of `step` before its door until `let_go`."""
        self._doors[step] = asyncio.Event()

    def let_go(self, step: str) -> None:
        self._doors[step].set()

    async def reached(self, step: str, *, waiting_for: Handle | None = None) -> None:
        """Wait until an attempt of `step` has begun; time is skipped on the way to it when the end
        of an order is waited for meanwhile."""
        arrived = self._arrived.setdefault(step, asyncio.Event())
        async with asyncio.timeout(10):
            if waiting_for is None or arrived.is_set():
                await arrived.wait()
                return
            end = asyncio.create_task(waiting_for.result())
            await arrived.wait()
            end.cancel()
            await asyncio.gather(end, return_exceptions=True)

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The activity `function` behind its door."""
        name = function.__name__

        @wraps(function)
        async def run(*args: Any) -> Any:
            self.calls.append(name)
            self._arrived.setdefault(name, asyncio.Event()).set()
            if name in self._doors:
                await self._doors[name].wait()
            return await function(*args)

        return run


@asynccontextmanager
async def open_kitchen(*, working: bool = True) -> AsyncIterator[Kitchen]:
    """A kitchen on a clock that skips idle time."""
    async with await WorkflowEnvironment.start_time_skipping() as env:
        kitchen = Kitchen(env)
        if not working:
            yield kitchen
            return
        async with worker_of(kitchen):
            yield kitchen


def worker_of(kitchen: Kitchen) -> Worker:
    """A worker of the orders app behind the kitchen's doors."""
    return Worker(
        kitchen.client,
        task_queue=app.task_queue,
        workflows=app.workflows,
        activities=[kitchen.step(function) for function in app.activities],
    )


@pytest.fixture(autouse=True)
def no_step_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def instant(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(activities, "sleep", instant)


@pytest.fixture
async def kitchen() -> AsyncIterator[Kitchen]:
    async with open_kitchen() as opened:
        yield opened
