"""How workflow code ends its run other than by returning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from orchestrator.common import RetryPolicy, TypedSearchAttributes
from orchestrator.definition.calls import ABSENT, one_or_all
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.ids import check_name, check_task_queue
from orchestrator.replay.context import current_run
from orchestrator.replay.control import ContinueAsNewError
from orchestrator.replay.policies import to_options
from orchestrator.replay.search_attributes import to_search_attributes
from orchestrator.wire.commands import ContinueAsNewWorkflowExecution
from orchestrator.workflow.activities import checked_ms


def continue_as_new(
    arg: Any = ABSENT,  # Any: user's value
    *,
    args: Sequence[Any] = (),  # Any: user's values
    workflow: Any = None,  # Any: a name or a run method
    task_queue: str | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,  # Any: user's values
    search_attributes: TypedSearchAttributes | None = None,
    backoff_start_interval: timedelta | None = None,
) -> NoReturn:
    """End this run and start the next; what is not given is inherited, memo and search attributes
    as they are now. Never returns.

    It ends the run by an exception that `except Exception` does not catch; handlers may call it
    too. Signals that no handler has taken are the next run's. `backoff_start_interval` holds the
    next run back for so long.

    Raises:
        ValueError: both `arg` and `args` are given, `workflow` is not a workflow, a name cannot be
            one, or a time-out is not positive.
        InvalidSearchAttributeError: a search attribute cannot be stored.
        ConversionError: a value cannot be converted.
    """
    current = current_run()
    current.check_writable("continue as new")
    name = workflow
    if workflow is not None and not isinstance(workflow, str):
        name = WorkflowDefinition.of_run(workflow)[0]
    if name is not None:
        check_name("workflow type", name)
    if task_queue is not None:
        check_task_queue(task_queue)
    convert = current.values.to_payloads
    notes = None if memo is None else dict(zip(memo, convert(list(memo.values())), strict=True))
    attributes = None
    if search_attributes is not None:
        attributes = to_search_attributes(search_attributes)
    raise ContinueAsNewError(
        ContinueAsNewWorkflowExecution(
            workflow_type=name,
            task_queue=task_queue,
            input=tuple(convert(one_or_all(arg, args))),
            run_timeout_ms=checked_ms("run_timeout", run_timeout),
            task_timeout_ms=checked_ms("task_timeout", task_timeout),
            retry_policy=None if retry_policy is None else to_options(retry_policy),
            memo=notes,
            search_attributes=attributes,
            backoff_start_interval_ms=checked_ms("backoff_start_interval", backoff_start_interval)
            or 0,
        )
    )


def is_failure_exception(error: BaseException) -> bool:
    """Whether `error` would fail the run if it left its code; any other fails only the task."""
    return current_run().endings.is_failure(error)
