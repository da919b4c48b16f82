"""What programs import that start and ask workflows.

Names and meanings are those of Temporal's Python SDK.
"""

from orchestrator.client.activity_descriptions import (
    ActivityExecution,
    ActivityExecutionDescription,
    ActivityExecutionStatus,
)
from orchestrator.client.activity_handle import ActivityHandle
from orchestrator.client.activity_start import ActivityStartOptions, StartActivityInput
from orchestrator.client.async_activities import (
    AsyncActivityCancelledError,
    AsyncActivityHandle,
)
from orchestrator.client.client import Client
from orchestrator.client.descriptions import (
    PendingActivity,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from orchestrator.client.failures import (
    ActivityFailureError,
    RPCTimeoutOrCancelledError,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from orchestrator.client.filters import ActivityFilter, WorkflowFilter
from orchestrator.client.handle import WorkflowHandle
from orchestrator.client.interceptors import (
    CancelActivityInput,
    CancelWorkflowInput,
    DescribeActivityInput,
    DescribeWorkflowInput,
    Interceptor,
    OutboundInterceptor,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartUpdateWithStartInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    TerminateActivityInput,
    TerminateWorkflowInput,
)
from orchestrator.client.options import WorkflowStartOptions
from orchestrator.client.pending_children import PendingChildWorkflow
from orchestrator.client.plugins import ClientConfig, Plugin
from orchestrator.client.updates import WorkflowUpdateHandle, WorkflowUpdateStage
from orchestrator.client.with_start import WithStartWorkflowOperation
from orchestrator.envconfig import ClientConnectConfig
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.wire.history_json import WorkflowHistory

__all__ = [
    "Client",
    "ClientConnectConfig",
    "RPCError",
    "RPCStatusCode",
    "WorkflowHandle",
    "ActivityHandle",
    "ActivityStartOptions",
    "ActivityFilter",
    "ActivityExecution",
    "ActivityExecutionDescription",
    "ActivityExecutionStatus",
    "ActivityFailureError",
    "StartActivityInput",
    "CancelActivityInput",
    "TerminateActivityInput",
    "DescribeActivityInput",
    "AsyncActivityHandle",
    "AsyncActivityCancelledError",
    "WorkflowStartOptions",
    "WorkflowFilter",
    "WorkflowHistory",
    "WorkflowExecution",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "PendingActivity",
    "PendingChildWorkflow",
    "ClientConfig",
    "Plugin",
    "Interceptor",
    "OutboundInterceptor",
    "StartWorkflowInput",
    "SignalWorkflowInput",
    "QueryWorkflowInput",
    "StartWorkflowUpdateInput",
    "StartUpdateWithStartInput",
    "CancelWorkflowInput",
    "TerminateWorkflowInput",
    "DescribeWorkflowInput",
    "WorkflowFailureError",
    "WorkflowContinuedAsNewError",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
    "WithStartWorkflowOperation",
    "RPCTimeoutOrCancelledError",
    "WorkflowUpdateHandle",
    "WorkflowUpdateStage",
    "WorkflowUpdateFailedError",
    "WorkflowUpdateRPCTimeoutOrCancelledError",
]
