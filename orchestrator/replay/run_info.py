"""What workflow code may know about its run: `workflow.info()`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.common import Priority, RetryPolicy, TypedSearchAttributes
from orchestrator.replay.facts import Activation, RunFacts
from orchestrator.replay.loop import DurableLoop
from orchestrator.replay.policies import from_options
from orchestrator.replay.properties import Properties
from orchestrator.replay.search_attributes import from_priority, from_search_attributes, values_of
from orchestrator.units import to_datetime, to_timedelta, to_timedelta_or_none
from orchestrator.wire.payload import Payload


@dataclass(frozen=True)
class ParentInfo:
    """The run that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class RootInfo:
    """The run above all parents."""

    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class Info:
    """What is known about the run.

    `workflow_start_time` is when the run was made, `start_time` when its code was first entered.
    Memo and search attributes are as they are at the moment of asking; the memo's payloads are as
    they came, `workflow.memo()` has them converted. `parent` and `root` are None for a run that is
    no child; after a child has continued as new they are what they were.
    """

    attempt: int
    continued_run_id: str | None
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Payload]
    namespace: str
    priority: Priority
    parent: ParentInfo | None
    retry_policy: RetryPolicy | None
    root: RootInfo | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_start_time: datetime
    workflow_type: str
    _properties: Properties = field(repr=False, compare=False)

    @property
    def raw_memo(self) -> Mapping[str, Payload]:
        """The notes as payloads."""
        return dict(self._properties.memo)

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        """The search attributes, with what the code has changed."""
        return from_search_attributes(self._properties.search_attributes)

    @property
    def search_attributes(self) -> Mapping[str, Sequence[Any]]:  # Any: values of any types
        """As `typed_search_attributes`, by name; deprecated, as in Temporal."""
        found = self._properties.search_attributes
        return {name: values_of(attribute) for name, attribute in found.items()}

    def get_current_build_id(self) -> str:
        """The `build_id` of the worker that does, or has done, the current task; empty: it had
        none. The same on replay, so that code may branch on it."""
        return _activation().build_id

    def get_current_history_length(self) -> int:
        """Events of the history as of the current task."""
        return _activation().history_length

    def get_current_history_size(self) -> int:
        """Bytes of the history as of the current task."""
        return _activation().history_bytes

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the history has grown so long that the run should continue as new."""
        return _activation().continue_as_new_suggested


def info_of(facts: RunFacts, properties: Properties, *, first_task_ms: int) -> Info:
    """The info of a run whose code was first entered at `first_task_ms`."""
    started = facts.started
    policy, parent, root = started.retry_policy, started.parent, started.root
    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_run_id,
        cron_schedule=started.cron_schedule or None,
        execution_timeout=to_timedelta_or_none(started.execution_timeout_ms),
        first_execution_run_id=started.first_run_id or facts.run_id,
        headers=dict(started.header),
        namespace=facts.namespace,
        priority=from_priority(started.priority),
        parent=None
        if parent is None
        else ParentInfo(
            namespace=facts.namespace, run_id=parent.run_id, workflow_id=parent.workflow_id
        ),
        retry_policy=None if policy is None else from_options(policy),
        root=None if root is None else RootInfo(run_id=root.run_id, workflow_id=root.workflow_id),
        run_id=facts.run_id,
        run_timeout=to_timedelta_or_none(started.run_timeout_ms),
        start_time=to_datetime(first_task_ms),
        task_queue=started.task_queue,
        task_timeout=to_timedelta(started.task_timeout_ms),
        workflow_id=facts.workflow_id,
        workflow_start_time=to_datetime(facts.start_time_ms),
        workflow_type=started.workflow_type,
        _properties=properties,
    )


def _activation() -> Activation:
    loop = asyncio._get_running_loop()
    if not isinstance(loop, DurableLoop):
        raise RuntimeError("not in workflow code: call this from a workflow's run or handler")
    return loop.host.activation
