"""The engine duties of one process, assembled: what is due, and (where it is open) the gateway.

Every worker runs one by default; `orchestrator engine` runs one alone. Engines share the shards of
a namespace; nothing elects a leader, and doing a duty twice changes nothing.
"""

from __future__ import annotations

from orchestrator.engine.redrive import Redrive
from orchestrator.engine.service import Duties
from orchestrator.engine.timers import Timers
from orchestrator.ids import ProcessName, ShardId
from orchestrator.telemetry.log import bind, get_logger
from orchestrator.wiring import Services


class Engine:
    """Duties of one process over its services."""

    def __init__(self, services: Services, *, process: ProcessName) -> None:
        dispatcher = services.dispatcher
        self._log = bind(get_logger("engine"), namespace=services.namespace)
        self._duties = Duties(
            services.store,
            Timers(
                services.store,
                dispatcher,
                namespace=services.namespace,
                retention_ms=services.settings.engine.retention_ms,
            ),
            Redrive(services.store, services.broker, dispatcher),
            services.clock,
            process=process,
            on_error=self._report,
        )

    async def run(self) -> None:
        """Do the duties until `stop`. Servers that are away are waited for."""
        await self._duties.run()

    def stop(self) -> None:
        """End `run` after what it is doing."""
        self._duties.stop()

    def expect(self, shard: ShardId, due_at_ms: int) -> None:
        """Something was armed for `due_at_ms`: look at its shard then, whoever owns it."""
        self._duties.expect(shard, due_at_ms)

    def _report(self, doing: str, error: Exception) -> None:
        self._log.warning("duty_failed", doing=doing, error=str(error), kind=type(error).__name__)
