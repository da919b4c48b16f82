"""The store of one process: the same acts as the scripts in Redis, on dictionaries.

It carries a newcomer's first run, users' tests with a clock of their own, and the simulation of the
engine; one contract suite holds it and the Redis store to the same behaviour. Nothing survives the
process.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from orchestrator.adapters.memory.store_activities import MemoryActivities
from orchestrator.adapters.memory.store_concurrency import MemoryConcurrency
from orchestrator.adapters.memory.store_duties import MemoryDuties
from orchestrator.adapters.memory.store_idle import MemoryIdle
from orchestrator.adapters.memory.store_presence import MemoryPresence
from orchestrator.adapters.memory.store_rates import MemoryRates
from orchestrator.adapters.memory.store_relations import MemoryRelations
from orchestrator.adapters.memory.store_runs import MemoryRuns
from orchestrator.adapters.memory.store_standalone import MemoryStandalone
from orchestrator.adapters.memory.store_state import MemoryState
from orchestrator.adapters.memory.store_visibility import MemoryVisibility
from orchestrator.ids import Namespace
from orchestrator.limits import RETENTION_MS, SHARDS


class MemoryStore(
    MemoryRuns,
    MemoryActivities,
    MemoryStandalone,
    MemoryRates,
    MemoryConcurrency,
    MemoryDuties,
    MemoryRelations,
    MemoryPresence,
    MemoryVisibility,
    MemoryIdle,
):
    """Implements `orchestrator.ports.store.Store`. Equal seeds and clocks give equal answers."""

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        random: Random,
        namespace: Namespace = Namespace("default"),
        shards: int = SHARDS,
        retention_ms: int = RETENTION_MS,
    ) -> None:
        """Make an empty namespace; `now_ms` is the store's clock, `random` mints its tokens."""
        super().__init__(
            MemoryState(
                namespace=namespace,
                shards=shards,
                now_ms=now_ms,
                random=random,
                retention_ms=retention_ms,
            )
        )

    @property
    def shards(self) -> int:
        """The number of shards."""
        return self._state.shards

    @property
    def is_connected(self) -> bool:
        """There is nothing to lose."""
        return True

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to disconnect from: the content stays for the next `open`."""
