"""What keeps a process from its work, as far as the two servers are to blame."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from orchestrator.exceptions import OrchestratorError
from orchestrator.ids import ProcessName
from orchestrator.limits import HEALTH_ANSWER_MS
from orchestrator.ports.broker import DeadQueue
from orchestrator.wiring import Services


async def server_problems(services: Services, process: ProcessName) -> Sequence[str]:
    """What is wrong with the two servers, asked now."""
    answers = await asyncio.gather(
        _in_time("Redis", services.store.is_alive(process)),
        _in_time("RabbitMQ", services.broker.ready(DeadQueue())),
    )
    return [problem for problem in answers if problem]


async def _in_time(server: str, call: Awaitable[object]) -> str:
    """What is wrong with a server that was called, or nothing."""
    try:
        async with asyncio.timeout(HEALTH_ANSWER_MS / 2000):
            await call
    except TimeoutError:
        return f"{server} does not answer"
    except OrchestratorError as error:
        return str(error)
    return ""
