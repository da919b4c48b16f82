"""Children that have not ended, as a client sees them: read off the history of their parent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.wire import relation_events as r
from orchestrator.wire.events import HistoryEvent


@dataclass(frozen=True)
class PendingChildWorkflow:
    """A child that has not ended. `run_id` None: it is not known to exist yet."""

    workflow_id: str
    workflow_type: str
    run_id: str | None
    initiated_event_id: int
    parent_close_policy: str
    """One of terminate, abandon, request_cancel."""


class PendingChildren:
    """Collects them from events, in order."""

    def __init__(self) -> None:
        self._found: dict[int, PendingChildWorkflow] = {}

    def see(self, events: Iterable[HistoryEvent]) -> None:
        """Take the next events into account."""
        for event in events:
            match event.attributes:
                case r.StartChildWorkflowExecutionInitiated() as initiated:
                    self._found[event.event_id] = PendingChildWorkflow(
                        workflow_id=initiated.workflow_id,
                        workflow_type=initiated.workflow_type,
                        run_id=None,
                        initiated_event_id=event.event_id,
                        parent_close_policy=initiated.parent_close_policy.value,
                    )
                case r.ChildWorkflowExecutionStarted(initiated_event_id=event_id, run_id=run_id):
                    self._found[event_id] = replace(self._found[event_id], run_id=run_id)
                case (
                    r.StartChildWorkflowExecutionFailed(initiated_event_id=event_id)
                    | r.ChildWorkflowExecutionCompleted(initiated_event_id=event_id)
                    | r.ChildWorkflowExecutionFailed(initiated_event_id=event_id)
                    | r.ChildWorkflowExecutionCanceled(initiated_event_id=event_id)
                    | r.ChildWorkflowExecutionTimedOut(initiated_event_id=event_id)
                    | r.ChildWorkflowExecutionTerminated(initiated_event_id=event_id)
                ):
                    del self._found[event_id]
                case _:
                    pass

    @property
    def found(self) -> tuple[PendingChildWorkflow, ...]:
        """Those without an end, in the order in which they were asked for."""
        return tuple(self._found.values())
