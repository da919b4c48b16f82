"""What a checker must know of activities without a workflow, and what it must reject.

Not run: mypy and pyright read it (see `test_checkers`). A line with an `ignore` must be an error of
exactly this kind for both; without the error the ignore itself is one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from orchestrator import activity
from orchestrator.client import (
    ActivityExecution,
    ActivityExecutionStatus,
    ActivityHandle,
    ActivityStartOptions,
    Client,
)
from orchestrator.common import ActivityIDConflictPolicy, ActivityIDReusePolicy

CLOSE = timedelta(seconds=5)
HOW: ActivityStartOptions = {"id": "a", "task_queue": "q", "start_to_close_timeout": CLOSE}


@activity.defn
async def no_arg() -> int:
    return 1


@activity.defn
def sync_one_arg(name: str) -> list[str]:
    return [name]


@activity.defn
async def two_args(name: str, count: int) -> dict[str, int]:
    return {name: count}


@activity.defn
class Charge:
    async def __call__(self, cents: int) -> str:
        return str(cents)


class Kitchen:
    @activity.defn
    def cook(self, dish: str) -> timedelta:
        return timedelta()


async def accepted(client: Client) -> None:
    assert_type(await client.execute_activity(no_arg, **HOW), int)
    assert_type(await client.execute_activity(sync_one_arg, "a", **HOW), list[str])
    assert_type(await client.execute_activity(two_args, args=["a", 1], **HOW), dict[str, int])
    assert_type(await client.execute_activity("name", "a", result_type=int, **HOW), int)
    assert_type(await client.execute_activity("name", **HOW), Any)
    handle = await client.start_activity(sync_one_arg, "a", **HOW)
    assert_type(handle, ActivityHandle[list[str]])
    assert_type(await handle.result(), list[str])
    assert_type(await client.execute_activity_class(Charge, 5, **HOW), str)
    assert_type(await client.execute_activity_method(Kitchen.cook, "soup", **HOW), timedelta)
    method = await client.start_activity_method(Kitchen.cook, "soup", **HOW)
    assert_type(method, ActivityHandle[timedelta])
    async for one in client.list_activities(status=ActivityExecutionStatus.FAILED):
        assert_type(one, ActivityExecution)
    await client.start_activity(
        no_arg,
        id="a",
        task_queue="q",
        schedule_to_close_timeout=CLOSE,
        start_delay=CLOSE,
        id_reuse_policy=ActivityIDReusePolicy.REJECT_DUPLICATE,
        id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING,
    )


async def rejected(client: Client) -> None:
    await client.execute_activity(sync_one_arg, 1, **HOW)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await client.execute_activity(no_arg, 1, **HOW)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # one too many
    await client.start_activity(sync_one_arg, **HOW)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await client.start_activity(no_arg, start_to_close_timeout=CLOSE)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no id and no queue
    await client.start_activity(no_arg, id="a", task_queue="q", memo={})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no such option
    await client.execute_activity_class(Charge, "5", **HOW)  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
