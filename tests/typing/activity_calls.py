"""What a checker must know of activity calls, and what it must reject.

Not run: mypy and pyright read it (see `test_checkers`). A line with an `ignore` must be an error of
exactly this kind for both; without the error the ignore itself is one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from orchestrator import activity, workflow

CLOSE = timedelta(seconds=5)


@activity.defn
async def no_arg() -> int:
    return 1


@activity.defn
def sync_no_arg() -> int:
    return 1


@activity.defn
async def one_arg(name: str) -> list[str]:
    return [name]


@activity.defn
def sync_one_arg(name: str) -> list[str]:
    return [name]


@activity.defn
async def two_args(name: str, count: int) -> dict[str, int]:
    return {name: count}


@activity.defn
async def defaulted(name: str, count: int = 1) -> bool:
    return count > 1


@activity.defn
class Charge:
    async def __call__(self, cents: int) -> str:
        return str(cents)


@activity.defn
class Ping:
    def __call__(self) -> float:
        return 1.0


class Kitchen:
    @activity.defn
    async def open(self) -> bool:
        return True

    @activity.defn
    def cook(self, dish: str) -> timedelta:
        return timedelta()

    @activity.defn
    async def serve(self, dish: str, table: int) -> None: ...


async def accepted() -> None:
    assert_type(await workflow.execute_activity(no_arg, start_to_close_timeout=CLOSE), int)
    assert_type(await workflow.execute_activity(sync_no_arg, start_to_close_timeout=CLOSE), int)
    assert_type(
        await workflow.execute_activity(one_arg, "a", start_to_close_timeout=CLOSE), list[str]
    )
    assert_type(
        await workflow.execute_activity(sync_one_arg, "a", start_to_close_timeout=CLOSE), list[str]
    )
    assert_type(
        await workflow.execute_activity(two_args, args=["a", 1], start_to_close_timeout=CLOSE),
        dict[str, int],
    )
    assert_type(await workflow.execute_activity(defaulted, "a", start_to_close_timeout=CLOSE), bool)
    assert_type(
        await workflow.execute_activity("name", "a", start_to_close_timeout=CLOSE, result_type=int),
        int,
    )
    assert_type(await workflow.execute_activity("name", start_to_close_timeout=CLOSE), Any)
    handle = workflow.start_activity(one_arg, "a", start_to_close_timeout=CLOSE)
    assert_type(handle, workflow.ActivityHandle[list[str]])
    assert_type(await handle, list[str])
    handle.cancel()


async def accepted_classes_and_methods() -> None:
    assert_type(await workflow.execute_activity_class(Charge, 5, start_to_close_timeout=CLOSE), str)
    assert_type(await workflow.execute_activity_class(Ping, start_to_close_timeout=CLOSE), float)
    assert_type(
        await workflow.execute_activity_method(Kitchen.open, start_to_close_timeout=CLOSE), bool
    )
    assert_type(
        await workflow.execute_activity_method(Kitchen.cook, "soup", start_to_close_timeout=CLOSE),
        timedelta,
    )
    assert_type(
        workflow.start_activity_method(
            Kitchen.serve, args=["soup", 1], start_to_close_timeout=CLOSE
        ),
        workflow.ActivityHandle[None],
    )
    assert_type(
        workflow.start_activity_class(Charge, 5, start_to_close_timeout=CLOSE),
        workflow.ActivityHandle[str],
    )


async def accepted_options() -> None:
    config = workflow.ActivityConfig(start_to_close_timeout=CLOSE)
    config["cancellation_type"] = workflow.ActivityCancellationType.ABANDON
    assert_type(await workflow.execute_activity(one_arg, "a", **config), list[str])
    await workflow.execute_activity(
        no_arg,
        task_queue="q",
        schedule_to_close_timeout=CLOSE,
        schedule_to_start_timeout=CLOSE,
        start_to_close_timeout=CLOSE,
        heartbeat_timeout=CLOSE,
        retry_policy=None,
        cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
        activity_id="a",
    )


async def rejected() -> None:
    await workflow.execute_activity(one_arg, 1, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await workflow.execute_activity(no_arg, 1, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # one too many
    await workflow.execute_activity(one_arg, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await workflow.execute_activity(no_arg, start_to_close_timeout=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # seconds are no timedelta
    await workflow.execute_activity(no_arg, timeout=CLOSE)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no such option
    await workflow.execute_activity_class(Charge, "5", start_to_close_timeout=CLOSE)  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await workflow.execute_activity_method(Kitchen.cook, 5, start_to_close_timeout=CLOSE)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    workflow.ActivityConfig(timeout=CLOSE)  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportCallIssue]  # no such option
