"""What workflow code asks for, as its interceptors have left it → the wishes of its run."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from orchestrator.ids import check_text
from orchestrator.limits import SUMMARY_BYTES_MAX
from orchestrator.replay.control import ContinueAsNewError
from orchestrator.replay.facts import RunFacts
from orchestrator.replay.handles import ActivityHandle
from orchestrator.replay.interceptors import ContinueAsNewInput, StartActivityInput
from orchestrator.replay.operations import Operations
from orchestrator.replay.policies import to_options
from orchestrator.replay.search_attributes import inherited_priority, to_search_attributes
from orchestrator.replay.values import Values
from orchestrator.units import checked_ms
from orchestrator.wire.commands import ContinueAsNewWorkflowExecution, ScheduleActivityTask
from orchestrator.wire.options import DEFAULT_RETRY


class AskedRun(Protocol):
    """The run, as far as wishes need it."""

    facts: RunFacts
    values: Values
    operations: Operations


def schedule_activity(
    run: AskedRun, asked: StartActivityInput
) -> ActivityHandle[Any]:  # Any: the activity's result
    """Wish for an activity; raises what `workflow.start_activity` does."""
    policy = asked.retry_policy
    command = ScheduleActivityTask(
        activity_id=run.operations.activities.next_id(asked.activity_id),
        activity_type=asked.activity,
        task_queue=asked.task_queue or run.facts.started.task_queue,
        input=tuple(run.values.to_payloads(asked.args)),
        header=dict(asked.headers),
        schedule_to_close_timeout_ms=checked_ms(
            "schedule_to_close_timeout", asked.schedule_to_close_timeout
        ),
        schedule_to_start_timeout_ms=checked_ms(
            "schedule_to_start_timeout", asked.schedule_to_start_timeout
        ),
        start_to_close_timeout_ms=checked_ms(
            "start_to_close_timeout", asked.start_to_close_timeout
        ),
        heartbeat_timeout_ms=checked_ms("heartbeat_timeout", asked.heartbeat_timeout),
        retry_policy=DEFAULT_RETRY if policy is None else to_options(policy),
        summary=check_text("summary", asked.summary or "", bytes_max=SUMMARY_BYTES_MAX),
        priority=inherited_priority(asked.priority, run.facts.started.priority),
    )
    return run.operations.activities.start(
        command, result_type=asked.result_type, cancellation_type=asked.cancellation_type
    )


def continue_as_new(run: AskedRun, asked: ContinueAsNewInput) -> NoReturn:
    """End the run; raises what `workflow.continue_as_new` does."""
    convert, memo, attributes = run.values.to_payloads, asked.memo, asked.search_attributes
    notes = None if memo is None else dict(zip(memo, convert(list(memo.values())), strict=True))
    raise ContinueAsNewError(
        ContinueAsNewWorkflowExecution(
            workflow_type=asked.workflow,
            task_queue=asked.task_queue,
            input=tuple(convert(asked.args)),
            header=dict(asked.headers),
            run_timeout_ms=checked_ms("run_timeout", asked.run_timeout),
            task_timeout_ms=checked_ms("task_timeout", asked.task_timeout),
            retry_policy=None if asked.retry_policy is None else to_options(asked.retry_policy),
            memo=notes,
            search_attributes=None if attributes is None else to_search_attributes(attributes),
            backoff_start_interval_ms=checked_ms(
                "backoff_start_interval", asked.backoff_start_interval
            )
            or 0,
        )
    )
