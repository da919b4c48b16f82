"""A pending activity as operators see it: found by its token or ids, paused, reset, changed.

Nothing here decides an outcome: what runs goes on, unless its heartbeat tells it to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from orchestrator.common import RetryPolicy
from orchestrator.converter import DataConverter
from orchestrator.core.activity_options import effective, options_of
from orchestrator.core.adjustments import AdjustAttempt
from orchestrator.core.retry import backoff_ms
from orchestrator.core.task_token import TaskToken
from orchestrator.core.transition import AttemptName
from orchestrator.exceptions import RPCError, RPCStatusCode
from orchestrator.ids import (
    ActivityKey,
    OperationId,
    RunId,
    RunKind,
    WorkflowId,
    check_task_queue,
    kind_of,
)
from orchestrator.limits import MEETINGS_MAX, PENDING_LOOKS_MAX
from orchestrator.ports.store import AttemptRecord, AttemptState, Gone
from orchestrator.relay.certainty import until_known
from orchestrator.replay.policies import to_options
from orchestrator.units import to_ms
from orchestrator.wire.events import ActivityTaskScheduled
from orchestrator.wire.options import ActivityOptions
from orchestrator.wiring import Services


@dataclass(frozen=True, slots=True)
class ActivityIds:
    """The current attempt of an activity, whatever its number; `run_id` None: the newest run."""

    workflow_id: WorkflowId
    run_id: RunId | None
    activity_id: str

    def __str__(self) -> str:
        run = "" if self.run_id is None else f", run {self.run_id!r}"
        if kind_of(self.workflow_id) is RunKind.ACTIVITY:
            return f"activity {self.activity_id!r}{run}"
        return f"activity {self.activity_id!r} of workflow {self.workflow_id!r}{run}"


@dataclass(frozen=True, slots=True)
class Found:
    """An activity as it stands."""

    name: AttemptName
    record: AttemptRecord
    original: ActivityTaskScheduled

    @property
    def scheduled(self) -> ActivityTaskScheduled:
        """With the options that are in force."""
        return effective(self.original, self.record.options)


class ActivityOperations:
    """What operators do to one pending activity. Every method raises RPCError NOT_FOUND when it is
    not pending any more."""

    def __init__(
        self,
        services: Services,
        values: DataConverter,
        identity: str,
        target: TaskToken | ActivityIds,
    ) -> None:
        """Made by a client."""
        self._services = services
        self._values = values
        self._identity = identity
        self._target = target

    async def pause(self) -> None:
        """Let no further attempt begin. One that runs is told by its heartbeat and may end; one
        that does not heartbeat runs on, and its outcome counts."""
        await self._adjust(lambda found: self._change(found, pause=True))

    async def unpause(self, *, reset_attempts: bool = False, reset_heartbeat: bool = False) -> None:
        """Let attempts begin again, at once; with `reset_attempts` from number 1 on, with
        `reset_heartbeat` without the details of heartbeats before."""
        await self._adjust(
            lambda found: self._change(
                found, pause=False, reset=reset_attempts, drop_details=reset_heartbeat
            )
        )

    async def reset(self, *, reset_heartbeat: bool = False, keep_paused: bool = False) -> None:
        """Begin anew with attempt 1: at once, or after the attempt that runs, which is told by its
        heartbeat. A paused activity goes on, unless `keep_paused`."""
        await self._adjust(
            lambda found: self._change(
                found,
                pause=None if keep_paused else False,
                reset=True,
                drop_details=reset_heartbeat,
            )
        )

    async def update_options(
        self,
        *,
        task_queue: str | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        heartbeat_timeout: timedelta | None = None,
        retry_policy: RetryPolicy | None = None,
        restore_original: bool = False,
    ) -> None:
        """Change what is given and leave the rest; with `restore_original` take back all changes
        before, first. An attempt that runs keeps its options: the next one has the new ones. One
        that waits for its retry waits as long as the new policy says, from now on.

        Raises:
            ValueError: an option cannot be one.
        """
        if task_queue is not None:
            check_task_queue(task_queue)
        given: dict[str, Any] = {  # Any: fields of the options
            "task_queue": task_queue,
            "schedule_to_close_timeout_ms": _ms(schedule_to_close_timeout),
            "schedule_to_start_timeout_ms": _ms(schedule_to_start_timeout),
            "start_to_close_timeout_ms": _ms(start_to_close_timeout),
            "heartbeat_timeout_ms": _ms(heartbeat_timeout),
            "retry_policy": None if retry_policy is None else to_options(retry_policy),
        }
        changes = {name: value for name, value in given.items() if value is not None}

        def change(found: Found) -> AdjustAttempt:
            before = found.original if restore_original else found.scheduled
            options = replace(options_of(before), **changes)
            return self._change(found, options=options)

        await self._adjust(change)

    def _change(self, found: Found, **fields: Any) -> AdjustAttempt:  # Any: fields of the Struct
        options: ActivityOptions | None = fields.get("options")
        record, mint = found.record, self._services.mint
        if options is not None:
            to_close_ms = options.schedule_to_close_timeout_ms
            fields["deadline_ms"] = record.scheduled_at_ms + to_close_ms if to_close_ms else 0
            fields["new_key"] = ActivityKey(mint())
            if record.state is AttemptState.BACKING_OFF and record.attempt > 0:
                fields["due_in_ms"] = backoff_ms(options.retry_policy, attempt=record.attempt)
        return AdjustAttempt(name=found.name, operation_id=OperationId(mint()), **fields)

    async def _adjust(self, change: Callable[[Found], AdjustAttempt]) -> None:
        """The activity may move under our hands: then it is found anew."""
        store, clock = self._services.store, self._services.clock
        for _ in range(MEETINGS_MAX):
            adjust = change(await self._find())
            answer = await until_known(partial(store.adjust, adjust), clock)
            if not isinstance(answer, Gone):
                return
        raise self._not_found()

    async def _find(self) -> Found:
        """The attempt that is meant, if it is current.

        Raises:
            RPCError: NOT_FOUND, it is not.
        """
        if isinstance(self._target, ActivityIds):
            found = await find_activity(self._services, self._target)
            if found is None:
                raise self._not_found()
            return found
        name, store = self._target.name, self._services.store
        record = await store.record(name.workflow_id, name.run_id, name.event_id)
        event = await store.event(name.workflow_id, name.run_id, name.event_id)
        if (
            record is None
            or event is None
            or not isinstance(event.attributes, ActivityTaskScheduled)
            or record.state is AttemptState.DONE
            or (record.key, record.attempt) != (name.key, name.attempt)
            or record.token != self._target.token
        ):
            raise self._not_found()
        return Found(name, record, event.attributes)

    def _described(self) -> str:
        if isinstance(self._target, ActivityIds):
            return str(self._target)
        name = self._target.name
        return f"attempt {name.attempt} of event {name.event_id} of workflow {name.workflow_id!r}"

    def _not_found(self) -> RPCError:
        return RPCError(
            f"{self._described()} is not pending (it has ended, its time was over, another "
            "attempt has begun, or its run is closed)",
            RPCStatusCode.NOT_FOUND,
        )


async def find_activity(services: Services, ids: ActivityIds) -> Found | None:
    """The pending activity of this id; None: there is none."""
    store = services.store
    view = await store.run(ids.workflow_id, ids.run_id)
    if view is None:
        return None
    records = [
        one
        for one in await store.records(ids.workflow_id, view.run_id)
        if one.state is not AttemptState.DONE
    ]
    for first in range(0, len(records), PENDING_LOOKS_MAX):
        page = records[first : first + PENDING_LOOKS_MAX]
        events = await asyncio.gather(
            *(store.event(ids.workflow_id, view.run_id, one.event_id) for one in page)
        )
        for record, event in zip(page, events, strict=True):
            scheduled = None if event is None else event.attributes
            if (
                isinstance(scheduled, ActivityTaskScheduled)
                and scheduled.activity_id == ids.activity_id
            ):
                name = AttemptName(
                    workflow_id=ids.workflow_id,
                    run_id=view.run_id,
                    event_id=record.event_id,
                    key=record.key,
                    attempt=record.attempt,
                )
                return Found(name, record, scheduled)
    return None


def _ms(timeout: timedelta | None) -> int | None:
    if timeout is None:
        return None
    found_ms = to_ms(timeout)
    if found_ms <= 0:
        raise ValueError(f"a time-out must be positive, found {timeout}")
    return found_ms
