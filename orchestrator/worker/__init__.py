"""What programs import that run workflows and activities: takes tasks of a task queue and does
them: workflow tasks, activity tasks, and the engine's duties.

Names and meanings are those of Temporal's Python SDK.
"""

from orchestrator.replay.control import RestrictedWorkflowAccessError
from orchestrator.replay.interceptors import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)
from orchestrator.replay.patches import PatchActivationInput
from orchestrator.worker.guards_lint import Finding, WorkflowCodeError, check_workflow
from orchestrator.worker.interceptors import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInterceptorClassInput,
)
from orchestrator.worker.plugins import Plugin, Replay, ReplayerConfig, Run, WorkerConfig
from orchestrator.worker.replay_results import WorkflowReplayResult, WorkflowReplayResults
from orchestrator.worker.replayer import Replayer, ReplayTaskError
from orchestrator.worker.shared_state import SharedStateManager
from orchestrator.worker.watchdog import WorkflowBlockedError
from orchestrator.worker.worker import Worker

__all__ = [
    "ActivityInboundInterceptor",
    "ActivityOutboundInterceptor",
    "ContinueAsNewInput",
    "ExecuteActivityInput",
    "ExecuteWorkflowInput",
    "Finding",
    "HandleQueryInput",
    "HandleSignalInput",
    "HandleUpdateInput",
    "Interceptor",
    "PatchActivationInput",
    "Plugin",
    "Replay",
    "Replayer",
    "ReplayerConfig",
    "Run",
    "ReplayTaskError",
    "RestrictedWorkflowAccessError",
    "SharedStateManager",
    "SignalChildWorkflowInput",
    "SignalExternalWorkflowInput",
    "StartActivityInput",
    "StartChildWorkflowInput",
    "StartLocalActivityInput",
    "Worker",
    "WorkerConfig",
    "WorkflowBlockedError",
    "WorkflowCodeError",
    "WorkflowInboundInterceptor",
    "WorkflowInterceptorClassInput",
    "WorkflowOutboundInterceptor",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
    "check_workflow",
]
