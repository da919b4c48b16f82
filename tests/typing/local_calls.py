"""What a checker must know of local activities, and of results that go where they do not fit.

Not run: mypy and pyright read it (see `test_checkers`). A line with an `ignore` must be an error of
exactly this kind for both; without the error the ignore itself is one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from orchestrator import workflow
from orchestrator.client import Client, WorkflowHandle
from tests.typing.activity_calls import no_arg, one_arg, sync_no_arg, sync_one_arg, two_args
from tests.typing.handle_calls import Shop, Till

CLOSE = timedelta(seconds=5)


async def accepted() -> None:
    run = workflow.execute_local_activity
    assert_type(await run(no_arg, start_to_close_timeout=CLOSE), int)
    assert_type(await run(sync_no_arg, start_to_close_timeout=CLOSE), int)
    assert_type(await run(one_arg, "a", start_to_close_timeout=CLOSE), list[str])
    assert_type(await run(sync_one_arg, "a", local_retry_threshold=CLOSE), list[str])
    assert_type(await run(two_args, args=["a", 1], start_to_close_timeout=CLOSE), dict[str, int])
    assert_type(await run("any", "a", start_to_close_timeout=CLOSE), Any)
    handle = workflow.start_local_activity(one_arg, "a", start_to_close_timeout=CLOSE)
    assert_type(handle, workflow.ActivityHandle[list[str]])
    assert_type(await handle, list[str])


async def rejected() -> None:
    run = workflow.execute_local_activity
    await run(one_arg, 1, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await run(one_arg, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await run(no_arg, 1, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # one too many
    await run(no_arg, heartbeat_timeout=CLOSE)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # they have no heartbeats
    await run(no_arg, start_to_close_timeout=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # a number is no time
    workflow.start_local_activity(sync_one_arg, 1, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument


async def rejected_results(client: Client, handle: WorkflowHandle[Till, list[int]]) -> None:
    local: str = await workflow.execute_local_activity(no_arg, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]  # a number
    child: int = await workflow.execute_child_workflow(Till.run, "a")  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]  # a list
    asked: int = await handle.query(Till.since, 8)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]  # a text
    told: int = await handle.execute_update(Till.take, 5)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]  # a text
    ended: str = await handle.result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # a list
    other: WorkflowHandle[Shop, None] = await client.start_workflow(  # pyright: ignore[reportAssignmentType]  # of another workflow
        Till.run,  # type: ignore[arg-type]  # the same mistake, to another checker
        "a",
        id="t",
        task_queue="q",
        start_signal="add",
        start_signal_args=[1],
    )
    print(local, child, asked, told, ended, other)
