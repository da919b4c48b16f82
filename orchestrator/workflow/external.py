"""Handles of workflows that this one did not start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.ids import check_run_id, check_workflow_id
from orchestrator.replay.context import current_run
from orchestrator.replay.externals import Target
from orchestrator.replay.signal_target import ExternalWorkflowHandle

_Self = TypeVar("_Self")
_Params = ParamSpec("_Params")


def get_external_workflow_handle(
    workflow_id: str, *, run_id: str | None = None
) -> ExternalWorkflowHandle[Any]:  # Any: nothing is known of it
    """Another workflow, to signal or cancel; nothing is sent by this. `run_id` None: whatever run
    is the newest then.

    Raises:
        ValueError: an id cannot be one.
    """
    current = current_run()
    target = Target(
        workflow_id=check_workflow_id(workflow_id),
        run_id=None if run_id is None else check_run_id(run_id),
    )

    async def send(name: str, args: Sequence[Any]) -> None:  # Any: user's values
        current.check_writable("signal another workflow")
        await current.operations.externals.signal(target, name, args)

    async def cancel(reason: str) -> None:
        current.check_writable("cancel another workflow")
        await current.operations.externals.cancel(target, reason)

    return ExternalWorkflowHandle(workflow_id, run_id, send=send, request_cancel=cancel)


def get_external_workflow_handle_for(
    workflow: Callable[Concatenate[_Self, _Params], Awaitable[Any]],  # Any: what it returns
    workflow_id: str,
    *,
    run_id: str | None = None,
) -> ExternalWorkflowHandle[_Self]:
    """As `get_external_workflow_handle`, with the signals of a run method's class.

    Raises:
        ValueError: `workflow` is not a run method, or an id cannot be one.
    """
    WorkflowDefinition.of_run(workflow)
    return get_external_workflow_handle(workflow_id, run_id=run_id)
