"""What workflow code may know about its run: `workflow.info()`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.common import RetryPolicy
from orchestrator.replay.facts import Activation, RunFacts
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.policies import from_options
from orchestrator.units import to_datetime, to_timedelta, to_timedelta_or_none
from orchestrator.wire.payload import Payload


@dataclass(frozen=True)
class Info:
    """What is known about the run.

    `workflow_start_time` is when the run was made, `start_time` when its code was first entered.
    Payloads are as they came; `workflow.memo()` has the notes converted.
    """

    attempt: int
    continued_run_id: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Payload]
    namespace: str
    raw_memo: Mapping[str, Payload]
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_start_time: datetime
    workflow_type: str

    def get_current_history_length(self) -> int:
        """Events of the history as of the current task."""
        return _activation().history_length

    def get_current_history_size(self) -> int:
        """Bytes of the history as of the current task."""
        return _activation().history_bytes

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the history has grown so long that the run should continue as new."""
        return _activation().continue_as_new_suggested


def info_of(facts: RunFacts, *, first_task_ms: int) -> Info:
    """The info of a run whose code was first entered at `first_task_ms`."""
    started = facts.started
    policy = started.retry_policy
    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_run_id,
        execution_timeout=to_timedelta_or_none(started.execution_timeout_ms),
        first_execution_run_id=started.first_run_id or facts.run_id,
        headers=dict(started.header),
        namespace=facts.namespace,
        raw_memo=dict(started.memo),
        retry_policy=None if policy is None else from_options(policy),
        run_id=facts.run_id,
        run_timeout=to_timedelta_or_none(started.run_timeout_ms),
        start_time=to_datetime(first_task_ms),
        task_queue=started.task_queue,
        task_timeout=to_timedelta(started.task_timeout_ms),
        workflow_id=facts.workflow_id,
        workflow_start_time=to_datetime(facts.start_time_ms),
        workflow_type=started.workflow_type,
    )


def _activation() -> Activation:
    loop = asyncio._get_running_loop()
    if not isinstance(loop, DurableLoop):
        raise RuntimeError("not in workflow code: call this from a workflow's run or handler")
    return loop.host.activation
