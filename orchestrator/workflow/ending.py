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
from orchestrator.replay.interceptors import ContinueAsNewInput
from orchestrator.replay.outbound import continue_as_new as end_as_new


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
    asked = ContinueAsNewInput(
        workflow=name,
        args=one_or_all(arg, args),
        task_queue=task_queue,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        retry_policy=retry_policy,
        memo=memo,
        search_attributes=search_attributes,
        backoff_start_interval=backoff_start_interval,
        headers={},
    )
    outbound = current.outbound
    if outbound is None:
        end_as_new(current, asked)
    outbound.continue_as_new(asked)


def is_failure_exception(error: BaseException) -> bool:
    """Whether `error` would fail the run if it left its code; any other fails only the task."""
    return current_run().endings.is_failure(error)
