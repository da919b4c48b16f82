"""A start of a standalone activity: from the words of users to what the store is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Required, TypedDict

from msgspec.structs import replace

from orchestrator.common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
)
from orchestrator.converter import DataConverter
from orchestrator.core.standalone import StandaloneOptions, first_task_of, standalone_start_of
from orchestrator.core.transition import StartRun
from orchestrator.exceptions import ActivityAlreadyStartedError
from orchestrator.ids import ActivityKey, RunId, standalone_activity_id
from orchestrator.ports.store import Attached, Full, Started, StartRefused
from orchestrator.relay.certainty import until_known
from orchestrator.replay.policies import to_options
from orchestrator.replay.search_attributes import to_priority, to_search_attributes
from orchestrator.units import to_ms_or_none
from orchestrator.wire.options import Conflict, Reuse
from orchestrator.wire.payload import Payload
from orchestrator.wiring import Services

_REQUIRED = ("id", "task_queue")


class ActivityStartOptions(TypedDict, total=False):
    """Options of every form of a start; one of the two close time-outs is required.

    `id` names the piece of work among the activities without a workflow: at most one of it is
    open. `request_id` becomes the run id; a start that is repeated under it finds what it made
    before. Time-outs run from the end of `start_delay`.
    """

    id: Required[str]
    task_queue: Required[str]
    schedule_to_close_timeout: timedelta | None
    """From the start to the end, over all attempts."""
    schedule_to_start_timeout: timedelta | None
    """How long it may wait for a worker."""
    start_to_close_timeout: timedelta | None
    """For one attempt."""
    heartbeat_timeout: timedelta | None
    """Between two signs of life of an attempt."""
    id_reuse_policy: ActivityIDReusePolicy
    id_conflict_policy: ActivityIDConflictPolicy
    retry_policy: RetryPolicy | None
    """When a failed attempt is tried again; None: for ever, as any activity is."""
    start_delay: timedelta | None
    """Holds the first attempt back."""
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    """One line for people."""
    priority: Priority | None
    request_id: str | None


@dataclass
class StartActivityInput:
    """A standalone activity is started; `options` are those of the call."""

    activity: str
    args: Sequence[Any]  # Any: user's values
    options: ActivityStartOptions
    headers: Mapping[str, Payload]
    ret_type: Any  # Any: annotations are of no common type

    @property
    def id(self) -> str:
        """The activity id."""
        return self.options["id"]

    @property
    def task_queue(self) -> str:
        """Whose workers run it."""
        return self.options["task_queue"]


async def activity_start_of(
    given: StartActivityInput, *, services: Services, values: DataConverter, identity: str
) -> StartRun:
    """The start that a user asks for; raises what `Client.start_activity` does."""
    options = given.options
    _check_names(options)
    asked, retry_policy = options.get("request_id"), options.get("retry_policy")
    wish = StandaloneOptions(
        activity_id=options["id"],
        activity_type=given.activity,
        task_queue=options["task_queue"],
        request_id=services.mint() if asked is None else asked,
        input=tuple(values.to_payloads(given.args)),
        header=dict(given.headers),
        reuse=Reuse[options.get("id_reuse_policy", ActivityIDReusePolicy.ALLOW_DUPLICATE).name],
        conflict=_CONFLICT[options.get("id_conflict_policy", ActivityIDConflictPolicy.FAIL)],
        schedule_to_close_timeout_ms=to_ms_or_none(options.get("schedule_to_close_timeout")),
        schedule_to_start_timeout_ms=to_ms_or_none(options.get("schedule_to_start_timeout")),
        start_to_close_timeout_ms=to_ms_or_none(options.get("start_to_close_timeout")),
        heartbeat_timeout_ms=to_ms_or_none(options.get("heartbeat_timeout")),
        start_delay_ms=to_ms_or_none(options.get("start_delay")) or 0,
        retry_policy=None if retry_policy is None else to_options(retry_policy),
        search_attributes=to_search_attributes(options.get("search_attributes")),
        summary=options.get("summary") or "",
        priority=to_priority(options.get("priority")),
        identity=identity,
    )
    sealed = replace(wish, input=tuple(await values.seal(list(wish.input))))
    key, now_ms = ActivityKey(services.mint()), services.clock.now_ms()
    return standalone_start_of(sealed, key=key, now_ms=now_ms)


async def start_standalone(services: Services, start: StartRun) -> RunId:
    """Make the activity, or find the one that the policies want; its run id.

    One script and one message: that of a repeated start is left to the activity's row.

    Raises:
        ActivityAlreadyStartedError: the policies refuse.
        UnavailableError: the store does not answer.
    """
    answer = await until_known(lambda: services.store.start(start), services.clock)
    match answer:
        case Started(new=new, now_ms=now_ms):
            task = first_task_of(services.namespace, start, now_ms=now_ms) if new else None
            if task is not None:
                services.dispatcher.activity(task)
            return answer.run_id
        case Attached():
            return answer.run_id
        case StartRefused():
            activity_id = standalone_activity_id(start.workflow_id)
            raise ActivityAlreadyStartedError(activity_id, answer.workflow_type, answer.run_id)
        case Full():
            raise AssertionError("a start without a message meets no full inbox")


def _check_names(options: ActivityStartOptions) -> None:
    """The check that Python makes of a signature, for options that are passed on as they are."""
    unknown = sorted(options.keys() - ActivityStartOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(ActivityStartOptions.__annotations__))
        raise TypeError(f"a start has no option {', '.join(unknown)}; known: {known}")
    missing = [name for name in _REQUIRED if name not in options]
    if missing:
        raise TypeError(f"a start needs {' and '.join(missing)}")


_CONFLICT = {
    ActivityIDConflictPolicy.UNSPECIFIED: Conflict.FAIL,
    ActivityIDConflictPolicy.FAIL: Conflict.FAIL,
    ActivityIDConflictPolicy.USE_EXISTING: Conflict.USE_EXISTING,
}
