"""`orchestrator activity start`, `result`, `cancel`, `terminate`: activities without a workflow."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter, validators

from orchestrator.cli.attributes import ATTRIBUTE_HELP, read_attributes
from orchestrator.cli.options import Connection, Flag, connected, to_constant, to_timedelta
from orchestrator.cli.output import Format, write_json, write_line
from orchestrator.cli.workflows import Input, Seconds, Text, read_arguments

if TYPE_CHECKING:
    from orchestrator.client import ActivityHandle

RunId = Annotated[
    str | None, Parameter(help="The run that is meant; default: the newest of the activity id.")
]
_TIMES = Group("Times and retries", sort_key=20)
_POSITIVE = validators.Number(gt=0)


@Parameter(name="*")
@dataclass(frozen=True)
class Times:
    """What is not given is left to the client; one of the close time-outs must be."""

    start_to_close_timeout: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds for one attempt."),
    ] = None
    schedule_to_close_timeout: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds for all attempts together."),
    ] = None
    schedule_to_start_timeout: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds it may wait for a worker."),
    ] = None
    heartbeat_timeout: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds between two signs of life."),
    ] = None
    start_delay: Annotated[
        float | None,
        Parameter(group=_TIMES, validator=_POSITIVE, help="Seconds until it begins."),
    ] = None
    max_attempts: Annotated[
        int | None,
        Parameter(
            group=_TIMES,
            validator=validators.Number(gte=0),
            help="So many attempts in all; 0: without end [0].",
        ),
    ] = None

    def options(self) -> dict[str, Any]:  # Any: options of any types
        """As `Client.start_activity` takes them."""
        from orchestrator.common import RetryPolicy

        retries = None
        if self.max_attempts is not None:
            retries = RetryPolicy(maximum_attempts=self.max_attempts)
        return {
            "start_to_close_timeout": to_timedelta(self.start_to_close_timeout),
            "schedule_to_close_timeout": to_timedelta(self.schedule_to_close_timeout),
            "schedule_to_start_timeout": to_timedelta(self.schedule_to_start_timeout),
            "heartbeat_timeout": to_timedelta(self.heartbeat_timeout),
            "start_delay": to_timedelta(self.start_delay),
            "retry_policy": retries,
        }


async def start(
    activity_type: str,
    /,
    *,
    task_queue: str,
    id: str | None = None,
    input: Input = [],  # noqa: B006  # cyclopts makes a list of its own
    wait: Flag = False,
    timeout: Seconds = None,
    request_id: str | None = None,
    id_conflict_policy: Literal["fail", "use-existing"] = "fail",
    id_reuse_policy: Literal[
        "allow-duplicate", "allow-duplicate-failed-only", "reject-duplicate"
    ] = "allow-duplicate",
    times: Times = Times(),
    search_attribute: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help=f"{ATTRIBUTE_HELP}."),
    ] = (),
    summary: Text = "",
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """Start an activity without a workflow; with --wait also wait for its result and print it.

    Parameters
    ----------
    activity_type
        The name of the activity: that of its function, unless @activity.defn gives another one.
    task_queue
        The queue whose workers have the activity.
    id
        Names the piece of work, e.g. charge-1; at most one of it is open. Default: made up.
    wait
        Wait for the end, print the result as JSON; exit code 1 if the activity failed.
    timeout
        Seconds to wait at most with --wait; the activity goes on.
    request_id
        Repeat a start whose outcome is unknown under the same text: it starts nothing twice.
    id_conflict_policy
        What to do if an activity with this id is open.
    id_reuse_policy
        Whether the id of an activity that has ended may be used again.
    summary
        One line for people.
    """
    from orchestrator.common import ActivityIDConflictPolicy, ActivityIDReusePolicy

    arguments, options = read_arguments(input), times.options()
    async with connected(connection) as client:
        handle: ActivityHandle[Any] = await client.start_activity(
            activity_type,
            args=arguments,
            id=client.services.mint() if id is None else id,
            task_queue=task_queue,
            request_id=request_id,
            id_conflict_policy=ActivityIDConflictPolicy[to_constant(id_conflict_policy)],
            id_reuse_policy=ActivityIDReusePolicy[to_constant(id_reuse_policy)],
            search_attributes=read_attributes(search_attribute),
            summary=summary,
            **options,
        )  # Any: nothing is known of an activity given by name
        if wait:
            sys.stderr.write(f"started {handle.id}, run {handle.run_id}\n")
            await _write_result(handle, timeout)
        elif output == "json":
            write_json({"activity_id": handle.id, "run_id": handle.run_id})
        else:
            run = "" if output == "ids" else f"  run {handle.run_id}"
            write_line(f"{handle.id}{run}")


async def result(
    activity_id: str,
    /,
    *,
    run_id: RunId = None,
    timeout: Seconds = None,
    connection: Connection = Connection(),
) -> None:
    """Wait for the end of an activity without a workflow and print its result as JSON.

    Exit code 1 if the activity failed, 5 if it has not ended in time.

    Parameters
    ----------
    activity_id
        Whose result is wanted.
    timeout
        Seconds to wait at most; default: as long as it takes.
    """
    async with connected(connection) as client:
        await _write_result(client.get_activity_handle(activity_id, run_id=run_id), timeout)


async def cancel(
    activity_id: str,
    /,
    *,
    reason: Text = "",
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Ask an activity without a workflow to end; code that runs may tidy up first.

    Parameters
    ----------
    activity_id
        Which one.
    reason
        Why; it stands in the history.
    """
    async with connected(connection) as client:
        await client.get_activity_handle(activity_id, run_id=run_id).cancel(reason=reason)


async def terminate(
    activity_id: str,
    /,
    *,
    reason: Text = "",
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """End an activity without a workflow at once; the outcome of code that runs counts no more.

    Parameters
    ----------
    activity_id
        Which one.
    reason
        Why; it stands in the history.
    """
    async with connected(connection) as client:
        await client.get_activity_handle(activity_id, run_id=run_id).terminate(reason=reason)


async def _write_result(handle: ActivityHandle[Any], timeout: float | None) -> None:
    # Any: nothing is known of an activity given by name
    write_json(await handle.result(rpc_timeout=to_timedelta(timeout)))
