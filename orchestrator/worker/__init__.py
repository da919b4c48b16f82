"""What programs import that run workflows and activities: takes tasks of a task queue and does
them: workflow tasks, activity tasks, and the engine's duties.

Names and meanings are those of Temporal's Python SDK.
"""

from orchestrator.replay.control import RestrictedWorkflowAccessError
from orchestrator.worker.guards_lint import Finding, WorkflowCodeError, check_workflow
from orchestrator.worker.replayer import (
    Replayer,
    ReplayTaskError,
    WorkflowReplayResult,
    WorkflowReplayResults,
)
from orchestrator.worker.shared_state import SharedStateManager
from orchestrator.worker.watchdog import WorkflowBlockedError
from orchestrator.worker.worker import Worker

__all__ = [
    "Finding",
    "Replayer",
    "ReplayTaskError",
    "RestrictedWorkflowAccessError",
    "SharedStateManager",
    "Worker",
    "WorkflowBlockedError",
    "WorkflowCodeError",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
    "check_workflow",
]
