"""What workflow code imports. Everything here acts on the run whose code is executing.

Names and meanings are those of Temporal's Python SDK.
"""

from __future__ import annotations

from orchestrator.definition.handlers import (
    HandlerUnfinishedPolicy,
    UpdateMethodMultiParam,
    query,
    signal,
    update,
)
from orchestrator.definition.workflow import (
    DynamicWorkflowConfig,
    defn,
    dynamic_config,
    init,
    run,
)
from orchestrator.replay.children import ChildWorkflowCancellationType, ChildWorkflowHandle
from orchestrator.replay.control import (
    ContinueAsNewError,
    NondeterminismError,
    ReadOnlyContextError,
    UnfinishedSignalHandlersWarning,
    UnfinishedUpdateHandlersWarning,
)
from orchestrator.replay.handles import ActivityCancellationType, ActivityHandle
from orchestrator.replay.run_info import Info, ParentInfo, RootInfo
from orchestrator.replay.signal_target import ExternalWorkflowHandle
from orchestrator.replay.updates import UpdateInfo, current_update_info
from orchestrator.workflow.activities import ActivityConfig, execute_activity, start_activity
from orchestrator.workflow.activity_methods import (
    execute_activity_class,
    execute_activity_method,
    start_activity_class,
    start_activity_method,
)
from orchestrator.workflow.children import (
    ChildWorkflowConfig,
    ParentClosePolicy,
    execute_child_workflow,
    start_child_workflow,
)
from orchestrator.workflow.ending import continue_as_new, is_failure_exception
from orchestrator.workflow.external import (
    get_external_workflow_handle,
    get_external_workflow_handle_for,
)
from orchestrator.workflow.local_activities import (
    LocalActivityConfig,
    execute_local_activity,
    start_local_activity,
)
from orchestrator.workflow.local_activity_methods import (
    execute_local_activity_class,
    execute_local_activity_method,
    start_local_activity_class,
    start_local_activity_method,
)
from orchestrator.workflow.log import LoggerAdapter, logger
from orchestrator.workflow.messages import (
    all_handlers_finished,
    get_dynamic_query_handler,
    get_dynamic_signal_handler,
    get_dynamic_update_handler,
    get_query_handler,
    get_signal_handler,
    get_update_handler,
    set_dynamic_query_handler,
    set_dynamic_signal_handler,
    set_dynamic_update_handler,
    set_query_handler,
    set_signal_handler,
    set_update_handler,
)
from orchestrator.workflow.patching import deprecate_patch, patched
from orchestrator.workflow.properties import (
    get_current_details,
    get_last_completion_result,
    get_last_failure,
    has_last_completion_result,
    memo,
    memo_value,
    set_current_details,
    upsert_memo,
    upsert_search_attributes,
)
from orchestrator.workflow.runtime import (
    cancellation_reason,
    in_workflow,
    info,
    metric_meter,
    new_random,
    now,
    payload_converter,
    random,
    random_seed,
    time,
    time_ns,
    uuid4,
    uuid7,
)
from orchestrator.workflow.unsafety import unsafe
from orchestrator.workflow.waiting import as_completed, sleep, wait, wait_condition

__all__ = [
    "defn",
    "run",
    "init",
    "signal",
    "query",
    "update",
    "UpdateMethodMultiParam",
    "dynamic_config",
    "DynamicWorkflowConfig",
    "UpdateInfo",
    "current_update_info",
    "HandlerUnfinishedPolicy",
    "Info",
    "ParentInfo",
    "RootInfo",
    "info",
    "in_workflow",
    "now",
    "time",
    "time_ns",
    "random",
    "random_seed",
    "new_random",
    "uuid4",
    "uuid7",
    "memo",
    "memo_value",
    "upsert_memo",
    "upsert_search_attributes",
    "set_current_details",
    "get_current_details",
    "has_last_completion_result",
    "get_last_completion_result",
    "get_last_failure",
    "patched",
    "deprecate_patch",
    "payload_converter",
    "metric_meter",
    "LoggerAdapter",
    "logger",
    "ActivityConfig",
    "ActivityCancellationType",
    "ActivityHandle",
    "start_activity",
    "execute_activity",
    "start_activity_method",
    "execute_activity_method",
    "start_activity_class",
    "execute_activity_class",
    "ChildWorkflowConfig",
    "ChildWorkflowCancellationType",
    "ChildWorkflowHandle",
    "ParentClosePolicy",
    "start_child_workflow",
    "execute_child_workflow",
    "ExternalWorkflowHandle",
    "get_external_workflow_handle",
    "get_external_workflow_handle_for",
    "LocalActivityConfig",
    "start_local_activity",
    "execute_local_activity",
    "start_local_activity_method",
    "execute_local_activity_method",
    "start_local_activity_class",
    "execute_local_activity_class",
    "sleep",
    "wait_condition",
    "wait",
    "as_completed",
    "cancellation_reason",
    "continue_as_new",
    "is_failure_exception",
    "set_signal_handler",
    "get_signal_handler",
    "set_dynamic_signal_handler",
    "get_dynamic_signal_handler",
    "set_query_handler",
    "get_query_handler",
    "set_dynamic_query_handler",
    "get_dynamic_query_handler",
    "set_update_handler",
    "get_update_handler",
    "set_dynamic_update_handler",
    "get_dynamic_update_handler",
    "all_handlers_finished",
    "unsafe",
    "ContinueAsNewError",
    "NondeterminismError",
    "ReadOnlyContextError",
    "UnfinishedSignalHandlersWarning",
    "UnfinishedUpdateHandlersWarning",
]
