"""What programs import that run workflows and activities: takes tasks of a task queue and does
them: workflow tasks, activity tasks, and the engine's duties.

Names and meanings are those of Temporal's Python SDK.
"""

from orchestrator.worker.replayer import (
    Replayer,
    ReplayTaskError,
    WorkflowReplayResult,
    WorkflowReplayResults,
)
from orchestrator.worker.shared_state import SharedStateManager
from orchestrator.worker.worker import Worker

__all__ = [
    "Replayer",
    "ReplayTaskError",
    "SharedStateManager",
    "Worker",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
]
