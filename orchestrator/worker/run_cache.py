"""Live coroutines of runs, kept as long as they are useful and never trusted.

A cached run is used only while its token is the head's. The least recently used one goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.state import ExecutionState
from orchestrator.ids import CommitToken, RunId, WorkflowId
from orchestrator.ports.store import Head
from orchestrator.replay.run import WorkflowRun
from orchestrator.wire.events import HistoryEvent


@dataclass(slots=True)
class CachedRun:
    """A run in memory: its state, its coroutines, and the commit they stand on.

    `pending` are events that no activation has seen: event 1 of a fresh run. `history_bytes` is the
    size of what is committed. Whoever holds the run ends by keeping it or by calling `evict`.
    """

    state: ExecutionState
    run: WorkflowRun
    token: CommitToken
    consumed: int
    evict: Callable[[], None]
    pending: tuple[HistoryEvent, ...] = ()
    history_bytes: int = 0
    is_fresh: bool = True
    """Replayed for the task at hand; false once it has been kept."""
    is_broken: bool = False
    """Its code was cut off or failed: it may be evicted and nothing else."""

    @property
    def run_id(self) -> RunId:
        """Which run it is."""
        return self.state.run_id

    def stands_on(self, head: Head, *, in_task: bool = False) -> bool:
        """Whether nobody has moved the run since. What is unfinished can only be continued from its
        history, unless whoever asks is in the middle of it."""
        is_same = self.run_id == head.run_id and self.token == head.token
        return is_same and (in_task or not head.unfinished)


class RunCache:
    """At most `limit` runs; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._runs: OrderedDict[WorkflowId, CachedRun] = OrderedDict()

    def take(self, workflow_id: WorkflowId) -> CachedRun | None:
        """Remove and return the run: whoever takes it owns it."""
        return self._runs.pop(workflow_id, None)

    def holds(self, workflow_id: WorkflowId, run_id: RunId) -> bool:
        """Whether this very run is kept."""
        kept = self._runs.get(workflow_id)
        return kept is not None and kept.run_id == run_id

    def put(self, workflow_id: WorkflowId, cached: CachedRun) -> None:
        """Keep the run, as the most recently used one; what is broken or no longer fits is
        evicted."""
        replaced = self._runs.pop(workflow_id, None)
        if replaced is not None:
            replaced.evict()
        if cached.is_broken:
            cached.evict()
            return
        cached.is_fresh = False
        self._runs[workflow_id] = cached
        while len(self._runs) > self.limit:
            _, oldest = self._runs.popitem(last=False)
            oldest.evict()

    def clear(self) -> None:
        """Evict every run."""
        while self._runs:
            _, cached = self._runs.popitem()
            cached.evict()

    def __len__(self) -> int:
        return len(self._runs)
