"""The engine duties of one process, assembled: what is due, and the gateway of requests.

Every worker runs one by default; `orchestrator engine` runs one alone. Engines share the shards of
a namespace; nothing elects a leader, and doing a duty twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.engine.gateway import Gateway
from orchestrator.engine.redrive import Redrive
from orchestrator.engine.service import Duties
from orchestrator.engine.timers import Timers
from orchestrator.ids import ProcessName, ShardId
from orchestrator.limits import REQUESTS_MAX
from orchestrator.ports.broker import RequestsQueue
from orchestrator.relay.subscriptions import Subscription, Subscriptions
from orchestrator.telemetry.log import bind, get_logger
from orchestrator.wiring import Services


class Engine:
    """Duties of one process over its services."""

    def __init__(self, services: Services, *, process: ProcessName) -> None:
        dispatcher = services.dispatcher
        self._log = bind(get_logger("engine"), namespace=services.namespace)
        self._duties = Duties(
            services.store,
            services.broker,
            Timers(
                services.store,
                services.broker,
                dispatcher,
                namespace=services.namespace,
                retention_ms=services.settings.engine.retention_ms,
            ),
            Redrive(services.store, services.broker, dispatcher),
            services.clock,
            process=process,
            on_error=self._report,
        )
        self._gateway = Gateway(
            services.store,
            services.broker,
            dispatcher,
            namespace=services.namespace,
            expect=self._duties.expect,
            clock=services.clock,
            counters=services.counters,
        )
        requests = Subscription(RequestsQueue(), self._gateway.take, REQUESTS_MAX)
        self._subscriptions = Subscriptions(
            services.store, services.broker, services.clock, [requests], log=self._log
        )

    async def run(self) -> None:
        """Take requests and do the duties until `stop`. Servers that are away are waited for.

        Raises:
            UnavailableError: RabbitMQ does not answer at the start.
        """
        await self._subscriptions.begin()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._subscriptions.run(), name="requests")
                await self._duties.run()
                await self._subscriptions.stop()
        finally:
            await self._subscriptions.stop()
            await self._gateway.drain()

    def stop(self) -> None:
        """End `run` after what it is doing."""
        self._duties.stop()

    def problems(self) -> Sequence[str]:
        """Why it does not take requests now; empty when it does."""
        if not self._subscriptions.is_consuming:
            return ["the engine is not subscribed to the requests"]
        return []

    def expect(self, shard: ShardId, due_at_ms: int) -> None:
        """Something was armed for `due_at_ms`: look at its shard then, whoever owns it."""
        self._duties.expect(shard, due_at_ms)

    def _report(self, doing: str, error: Exception) -> None:
        self._log.warning("duty_failed", doing=doing, error=str(error), kind=type(error).__name__)
