"""What the parts that do workflow tasks share: the servers, the clock, and who this worker is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.shard import shard_of
from orchestrator.ids import Namespace, RunId, ShardId, WorkflowId
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.telemetry.log import Logger, bind
from orchestrator.telemetry.metrics import Counters

Expect = Callable[[ShardId, int], None]
"""Something is due on a shard at a time: drive it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """One worker's surroundings. `build_id` names its release in each task,
    `sticky` its own queue; `mint` gives fresh random texts."""

    store: Store
    dispatcher: Dispatcher
    clock: Clock
    namespace: Namespace
    identity: str
    build_id: str = ""
    sticky: str | None
    expect: Expect
    mint: Callable[[], str]
    counters: Counters

    def expect_due(self, workflow_id: WorkflowId, due_at_ms: int) -> None:
        """Something of this workflow id is due then."""
        shard = shard_of(self.namespace, workflow_id, shards=self.store.shards)
        self.expect(shard, due_at_ms)

    def bind(
        self,
        logger: Logger,
        workflow_id: WorkflowId,
        run_id: RunId | None = None,
        *,
        attempt: int | None = None,
    ) -> Logger:
        """`logger` with what it speaks of."""
        return bind(
            logger,
            namespace=self.namespace,
            workflow_id=workflow_id,
            run_id=run_id,
            attempt=attempt,
        )
