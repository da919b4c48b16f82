"""Commands on one workflow: start, result, signal, query, cancel, terminate, resume."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, validators

from orchestrator.cli.exits import CommandError
from orchestrator.cli.options import Connection, Flag, connected, to_constant, to_timedelta
from orchestrator.cli.output import Format, write_json, write_line
from orchestrator.cli.start_options import StartOptions

if TYPE_CHECKING:
    from orchestrator.client import WorkflowHandle

_POSITIVE = validators.Number(gt=0)
Input = Annotated[
    list[str],
    Parameter(
        name="--input",
        help='An argument as JSON, e.g. --input \'{"item": "pizza"}\'; repeat it for more.',
        negative="",
        show_default=False,
        allow_leading_hyphen=True,
        json_list=False,
        json_dict=False,
    ),
]
SignalInput = Annotated[
    list[str],
    Parameter(
        name="--start-signal-input",
        help="An argument of the signal as JSON; repeat it for more.",
        negative="",
        show_default=False,
        allow_leading_hyphen=True,
        json_list=False,
        json_dict=False,
    ),
]
Seconds = Annotated[float | None, Parameter(validator=_POSITIVE)]
Text = Annotated[str, Parameter(show_default=False)]
RunId = Annotated[
    str | None, Parameter(help="The run that is meant; default: the newest of the workflow id.")
]


async def start(
    workflow_type: str,
    /,
    *,
    task_queue: str,
    id: str | None = None,
    input: Input = [],  # noqa: B006  # cyclopts makes a list of its own
    wait: Flag = False,
    timeout: Seconds = None,
    request_id: str | None = None,
    start_signal: Text = "",
    start_signal_input: SignalInput = [],  # noqa: B006  # cyclopts makes a list of its own
    id_conflict_policy: Literal["fail", "use-existing", "terminate-existing"] | None = None,
    id_reuse_policy: Literal[
        "allow-duplicate", "allow-duplicate-failed-only", "reject-duplicate"
    ] = "allow-duplicate",
    more: StartOptions = StartOptions(),
    output: Format = "table",
    connection: Connection = Connection(),
) -> None:
    """Start a workflow; with --wait also wait for its result and print it.

    Parameters
    ----------
    workflow_type
        The name of the workflow: that of its class, unless @workflow.defn gives another one.
    task_queue
        The queue whose workers know the workflow.
    id
        Names the piece of work, e.g. order-1; at most one run of it is open. Default: made up.
    wait
        Wait for the end, print the result as JSON; exit code 1 if the workflow failed.
    timeout
        Seconds to wait at most with --wait; the workflow goes on.
    request_id
        Repeat a start whose outcome is unknown under the same text: it starts nothing twice.
    start_signal
        The name of a signal that is sent in the same write: to the run with this id if one is open,
        else to the new one, before its code begins.
    id_conflict_policy
        What to do if a run with this id is open. Default: fail; with --start-signal, use-existing.
    id_reuse_policy
        Whether the id of a closed run may be used again.
    """
    from orchestrator.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

    arguments, options = read_arguments(input), more.options()
    async with connected(connection) as client:
        handle: WorkflowHandle[Any, Any] = await client.start_workflow(
            workflow_type,
            args=arguments,
            id=client.services.mint() if id is None else id,
            task_queue=task_queue,
            request_id=request_id,
            id_conflict_policy=WorkflowIDConflictPolicy[to_constant(id_conflict_policy)],
            start_signal=start_signal or None,
            start_signal_args=read_arguments(start_signal_input),
            id_reuse_policy=WorkflowIDReusePolicy[to_constant(id_reuse_policy)],
            **options,
        )  # Any: nothing is known of a workflow given by name
        if wait:
            sys.stderr.write(f"started {handle.id}, run {handle.result_run_id}\n")
            await _write_result(handle, timeout)
        elif output == "json":
            write_json({"workflow_id": handle.id, "run_id": handle.result_run_id})
        else:
            run = "" if output == "ids" else f"  run {handle.result_run_id}"
            write_line(f"{handle.id}{run}")


async def result(
    workflow_id: str,
    /,
    *,
    run_id: RunId = None,
    timeout: Seconds = None,
    connection: Connection = Connection(),
) -> None:
    """Wait for the end of a workflow and print its result as JSON.

    Exit code 1 if the workflow failed, 5 if it has not ended in time.

    Parameters
    ----------
    workflow_id
        Whose result is wanted.
    timeout
        Seconds to wait at most; default: as long as it takes.
    """
    async with connected(connection) as client:
        await _write_result(client.get_workflow_handle(workflow_id, run_id=run_id), timeout)


async def signal(
    workflow_id: str,
    name: str,
    /,
    *,
    input: Input = [],  # noqa: B006  # cyclopts makes a list of its own
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Send a signal to an open workflow. It is kept once this returns.

    Parameters
    ----------
    workflow_id
        Who gets it.
    name
        The signal's name.
    """
    arguments = read_arguments(input)
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        await handle.signal(name, args=arguments)


async def query(
    workflow_id: str,
    name: str,
    /,
    *,
    input: Input = [],  # noqa: B006  # cyclopts makes a list of its own
    run_id: RunId = None,
    timeout: Seconds = None,
    connection: Connection = Connection(),
) -> None:
    """Ask a workflow, open or closed, and print the answer as JSON. Needs a running worker.

    Parameters
    ----------
    workflow_id
        Who is asked.
    name
        The query's name.
    timeout
        Seconds to wait for the answer [10].
    """
    arguments = read_arguments(input)
    async with connected(connection) as client:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        write_json(await handle.query(name, args=arguments, rpc_timeout=to_timedelta(timeout)))


async def cancel(
    workflow_id: str,
    /,
    *,
    reason: Text = "",
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """Ask an open workflow to end; its code may tidy up first.

    Parameters
    ----------
    workflow_id
        Who is asked.
    reason
        Why; it stands in the history.
    """
    async with connected(connection) as client:
        await client.get_workflow_handle(workflow_id, run_id=run_id).cancel(reason=reason)


async def terminate(
    workflow_id: str,
    /,
    *,
    reason: Text = "",
    run_id: RunId = None,
    connection: Connection = Connection(),
) -> None:
    """End an open workflow at once; its code is not asked and cannot tidy up.

    Parameters
    ----------
    workflow_id
        Who is ended.
    reason
        Why; it stands in the history.
    """
    async with connected(connection) as client:
        await client.get_workflow_handle(workflow_id, run_id=run_id).terminate(reason=reason)


async def resume(workflow_id: str, /, *, connection: Connection = Connection()) -> None:
    """Have a stalled workflow tried again now, e.g. after its code was mended.

    A workflow whose code cannot go on (a bug, changed code, a type that no worker knows) stalls and
    is tried again ever more rarely. `describe` shows what is wrong.

    Parameters
    ----------
    workflow_id
        Who is tried again.
    """
    async with connected(connection) as client:
        await client.get_workflow_handle(workflow_id).resume()


def read_arguments(texts: Sequence[str]) -> list[Any]:  # Any: user's values
    """The values of `--input` options.

    Raises:
        CommandError: one is not JSON.
    """
    import msgspec

    values: list[Any] = []  # Any: as above
    for text in texts:
        try:
            values.append(msgspec.json.decode(text))
        except msgspec.DecodeError as error:
            raise CommandError(
                f"--input: expected JSON, found {text!r}: {error}; a text needs its quotes: "
                f"--input '\"pizza\"'"
            ) from None
    return values


async def _write_result(handle: WorkflowHandle[Any, Any], timeout: float | None) -> None:
    # Any: nothing is known of a workflow given by name
    write_json(await handle.result(rpc_timeout=to_timedelta(timeout)))
