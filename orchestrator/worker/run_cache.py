"""Live coroutines of runs, kept as long as they are useful and never trusted.

A cached run is used only while its token is the head's. The least recently used one goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from orchestrator.core.state import ExecutionState
from orchestrator.ids import CommitToken, RunId, WorkflowId
from orchestrator.ports.store import Head
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire.events import HistoryEvent


@dataclass(slots=True)
class CachedRun:
    """A run in memory: its state, its coroutines, and the commit they stand on.

    `pending` are events that no activation has seen: event 1 of a fresh run.
    """

    state: ExecutionState
    run: WorkflowRun
    token: CommitToken
    consumed: int
    pending: tuple[HistoryEvent, ...] = ()

    @property
    def run_id(self) -> RunId:
        """Which run it is."""
        return self.state.run_id

    def stands_on(self, head: Head) -> bool:
        """Whether nobody has moved the run since."""
        return self.run_id == head.run_id and self.token == head.token and not head.unfinished


class RunCache:
    """At most `limit` runs; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._runs: OrderedDict[WorkflowId, CachedRun] = OrderedDict()

    def take(self, workflow_id: WorkflowId) -> CachedRun | None:
        """Remove and return the run: whoever takes it owns it."""
        return self._runs.pop(workflow_id, None)

    def put(self, workflow_id: WorkflowId, cached: CachedRun) -> None:
        """Keep the run, as the most recently used one; what no longer fits is evicted."""
        self._runs[workflow_id] = cached
        while len(self._runs) > self.limit:
            _, oldest = self._runs.popitem(last=False)
            oldest.run.evict()

    def clear(self) -> None:
        """Evict every run."""
        while self._runs:
            _, cached = self._runs.popitem()
            cached.run.evict()

    def __len__(self) -> int:
        return len(self._runs)
