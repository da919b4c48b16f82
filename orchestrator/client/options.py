"""The options of a start, as users write them → as pure code takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Required, TypedDict

from orchestrator.common import (
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from orchestrator.core.start import StartOptions
from orchestrator.definition.workflow import WorkflowDefinition
from orchestrator.replay.policies import to_options
from orchestrator.replay.search_attributes import to_priority, to_search_attributes
from orchestrator.replay.values import Values
from orchestrator.units import to_ms_or_none
from orchestrator.wire.options import Conflict, Reuse

_REQUIRED = ("id", "task_queue")


class WorkflowStartOptions(TypedDict, total=False):
    """Options of every form of a start.

    `id` names the piece of work: at most one run of it is open. `request_id` becomes the run id; a
    start that is repeated under it finds the run it made before.
    """

    id: Required[str]
    task_queue: Required[str]
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    start_delay: timedelta | None
    """Holds the first task back; a signal or update ends it. Not together with `cron_schedule`."""
    retry_policy: RetryPolicy | None
    """A run that fails or times out is followed by a new one, after a back-off; None: by none."""
    cron_schedule: str | None
    """Each run is followed by one at the next time of the schedule: five fields, `@daily` and the
    like, `@every 1h30m`; UTC, unless `CRON_TZ=Europe/Rome ` stands before."""
    memo: Mapping[str, Any] | None  # Any: user's values
    search_attributes: TypedSearchAttributes | None
    static_summary: str | None
    """One line for people, in Markdown."""
    static_details: str | None
    """A page for people, in Markdown."""
    priority: Priority | None
    request_id: str | None
    start_signal: str | None
    """Sent with the start, in the same write: to the open run if there is one (unless a conflict
    policy says otherwise), else to the new run, whose first task sees it."""
    start_signal_args: Sequence[Any]  # Any: user's values


class Target(NamedTuple):
    """A workflow by name, with the type of its result where it is known."""

    name: str
    ret_type: Any  # Any: annotations are of no common type


def target_of(workflow: Any, result_type: type | None) -> Target:  # Any: a name or a run method
    """What `workflow` names: a text, or the `@workflow.run` method of a class."""
    if isinstance(workflow, str):
        return Target(workflow, result_type)
    name, ret_type, _ = WorkflowDefinition.of_run(workflow)
    return Target(name, result_type or ret_type)


def start_options(
    target: Target,
    args: Sequence[Any],  # Any: user's values
    options: WorkflowStartOptions,
    *,
    values: Values,
    identity: str,
    request_id: str,
) -> StartOptions:
    """The start that a user asks for.

    Raises:
        TypeError: an option is unknown or missing: what is misspelt must not be left out silently.
        ValueError: policies contradict each other, or a time is no time.
        InvalidSearchAttributeError: a search attribute cannot be stored.
        ConversionError: an argument cannot be converted.
    """
    _check_names(options)
    reuse = options.get("id_reuse_policy", WorkflowIDReusePolicy.ALLOW_DUPLICATE)
    conflict = options.get("id_conflict_policy", WorkflowIDConflictPolicy.UNSPECIFIED)
    if reuse is WorkflowIDReusePolicy.TERMINATE_IF_RUNNING:
        if conflict is not WorkflowIDConflictPolicy.UNSPECIFIED:
            raise ValueError("TERMINATE_IF_RUNNING cannot be combined with id_conflict_policy")
        reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        conflict = WorkflowIDConflictPolicy.TERMINATE_EXISTING
    if options.get("start_signal") and conflict is WorkflowIDConflictPolicy.UNSPECIFIED:
        conflict = WorkflowIDConflictPolicy.USE_EXISTING
    memo, retry_policy = options.get("memo") or {}, options.get("retry_policy")
    return StartOptions(
        workflow_id=options["id"],
        workflow_type=target.name,
        task_queue=options["task_queue"],
        request_id=request_id,
        input=tuple(values.to_payloads(args)),
        reuse=_REUSE[reuse],
        conflict=_CONFLICT[conflict],
        execution_timeout_ms=to_ms_or_none(options.get("execution_timeout")),
        run_timeout_ms=to_ms_or_none(options.get("run_timeout")),
        task_timeout_ms=to_ms_or_none(options.get("task_timeout")),
        start_delay_ms=to_ms_or_none(options.get("start_delay")) or 0,
        retry_policy=None if retry_policy is None else to_options(retry_policy),
        cron_schedule=options.get("cron_schedule") or "",
        search_attributes=to_search_attributes(options.get("search_attributes")),
        static_summary=options.get("static_summary") or "",
        static_details=options.get("static_details") or "",
        priority=to_priority(options.get("priority")),
        memo={key: values.to_payloads([memo[key]])[0] for key in memo},
        identity=identity,
    )


def _check_names(options: WorkflowStartOptions) -> None:
    """The check that Python makes of a signature, for options that are passed on as they are."""
    unknown = sorted(options.keys() - WorkflowStartOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(WorkflowStartOptions.__annotations__))
        raise TypeError(f"a start has no option {', '.join(unknown)}; known: {known}")
    missing = [name for name in _REQUIRED if name not in options]
    if missing:
        raise TypeError(f"a start needs {' and '.join(missing)}")


_REUSE = {
    WorkflowIDReusePolicy.ALLOW_DUPLICATE: Reuse.ALLOW_DUPLICATE,
    WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY: Reuse.ALLOW_DUPLICATE_FAILED_ONLY,
    WorkflowIDReusePolicy.REJECT_DUPLICATE: Reuse.REJECT_DUPLICATE,
}
_CONFLICT = {
    WorkflowIDConflictPolicy.UNSPECIFIED: Conflict.FAIL,
    WorkflowIDConflictPolicy.FAIL: Conflict.FAIL,
    WorkflowIDConflictPolicy.USE_EXISTING: Conflict.USE_EXISTING,
    WorkflowIDConflictPolicy.TERMINATE_EXISTING: Conflict.TERMINATE_EXISTING,
}
