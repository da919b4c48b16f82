"""Cancellation: one `Task.cancel` on the main coroutine, a state, and never lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator import workflow
from orchestrator.exceptions import ActivityError, ApplicationError, CancelledError
from orchestrator.replay.facts import TaskFailure
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.workflow import ActivityCancellationType
from tests.replay.driver import Driven, kinds, workflow_of

CLOSE = timedelta(seconds=5)


@workflow_of
async def one_activity(self, kind: int) -> str:
    return await workflow.execute_activity(
        "pay",
        start_to_close_timeout=CLOSE,
        cancellation_type=ActivityCancellationType(kind),
    )


@pytest.mark.parametrize(
    ("kind", "commands"),
    [
        (
            ActivityCancellationType.TRY_CANCEL,
            ["RequestCancelActivityTask 1", "CancelWorkflowExecution"],
        ),
        (ActivityCancellationType.ABANDON, ["CancelWorkflowExecution"]),
        (
            ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            ["RequestCancelActivityTask 1"],
        ),
    ],
)
def test_the_cancellation_type_decides_what_is_asked_and_whether_to_wait(
    kind: int, commands: list[str]
) -> None:
    driven = Driven(one_activity, kind)
    driven.step()
    assert kinds(driven.step(driven.cancel_asked())) == commands
    driven.check_replays()


@workflow_of
async def cancelled_activity(self, kind: int) -> str:
    handle = workflow.start_activity(
        "pay",
        start_to_close_timeout=CLOSE,
        cancellation_type=ActivityCancellationType(kind),
    )
    await asyncio.sleep(1)
    handle.cancel()
    try:
        return str(await handle)
    except ActivityError as error:
        return error.retry_state.name if error.retry_state else "no state"


@pytest.mark.parametrize("kind", list(ActivityCancellationType))
def test_whoever_cancelled_an_activity_is_told_that_this_ended_it(kind: int) -> None:
    driven = Driven(cancelled_activity, kind)
    driven.step()
    driven.step(driven.fired(1))
    if kind == ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
        driven.step(driven.canceled("pay"))
    assert driven.result() == "CANCEL_REQUESTED"
    driven.check_replays()


def test_a_wait_for_the_outcome_ends_with_it_whatever_it_is() -> None:
    for news, end in (("completed", "Complete"), ("canceled", "Cancel"), ("failed", "Fail")):
        driven = Driven(one_activity, ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)
        driven.step()
        driven.step(driven.cancel_asked())
        assert kinds(driven.step(getattr(driven, news)("pay"))) == [f"{end}WorkflowExecution"]
        driven.check_replays()


@workflow_of
async def cancels_at_once(self, begin: bool) -> list[str]:
    handle = workflow.start_activity("pay", start_to_close_timeout=CLOSE)
    timer = asyncio.create_task(asyncio.sleep(60))
    if begin:
        await asyncio.sleep(0)
    handle.cancel()
    timer.cancel()
    seen: list[str] = []
    for task in (handle, timer):
        try:
            await task
        except (ActivityError, asyncio.CancelledError) as error:
            seen.append(type(error).__name__)
    return seen


@pytest.mark.parametrize("begin", [False, True])
def test_what_is_cancelled_before_it_was_sent_is_not_in_history(begin: bool) -> None:
    driven = Driven(cancels_at_once, begin)
    assert kinds(driven.step()) == ["CompleteWorkflowExecution"]
    assert driven.result() == ["ActivityError" if begin else "CancelledError", "CancelledError"]
    driven.check_replays()


@workflow_of
async def cancels_a_handle(self) -> str:
    handle = workflow.start_activity("pay", start_to_close_timeout=CLOSE)
    await asyncio.sleep(1)
    handle.cancel()
    handle.cancel()
    try:
        await handle
    except ActivityError as error:
        await asyncio.sleep(1)
        return f"{error.activity_type} {error.scheduled_event_id} {type(error.cause).__name__}"
    return ""


def test_the_end_of_a_cancelled_activity_is_recorded_and_changes_nothing() -> None:
    driven = Driven(cancels_a_handle)
    driven.step()
    assert kinds(driven.step(driven.fired(1))) == ["RequestCancelActivityTask 1", "StartTimer 2"]
    assert driven.step(driven.completed("pay", "too late")) == ()
    driven.step(driven.fired(2))
    assert driven.result() == "pay 5 CancelledError"
    driven.check_replays()


@workflow_of
async def plain_wait(self) -> str:
    return await workflow.execute_activity("pay", start_to_close_timeout=CLOSE)


@workflow_of
async def bounded_wait(self) -> str:
    result = await asyncio.wait_for(
        workflow.execute_activity("pay", start_to_close_timeout=CLOSE), 60
    )
    await asyncio.sleep(1)
    return result


@workflow_of
async def timeout_wait(self) -> str:
    async with asyncio.timeout(60):
        return await workflow.execute_activity("pay", start_to_close_timeout=CLOSE)


@workflow_of
async def grouped_wait(self) -> str:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(workflow.execute_activity("pay", start_to_close_timeout=CLOSE))
        group.create_task(workflow.execute_activity("other", start_to_close_timeout=CLOSE))
    return task.result()


@workflow_of
async def gathered_wait(self) -> list[str]:
    return await asyncio.gather(
        workflow.execute_activity("pay", start_to_close_timeout=CLOSE), asyncio.sleep(5, "slept")
    )


WAITS = [plain_wait, bounded_wait, timeout_wait, grouped_wait, gathered_wait]


@pytest.mark.parametrize("cls", WAITS)
@pytest.mark.parametrize("first", ["result", "cancel"])
def test_a_cancel_that_comes_with_the_result_is_not_lost(cls: type, first: str) -> None:
    driven = Driven(cls)
    driven.step()
    news = [driven.completed("pay", "paid"), driven.cancel_asked()]
    commands = driven.step(*(news if first == "result" else reversed(news)))
    assert kinds(commands)[-1] == "CancelWorkflowExecution"
    driven.check_replays()


@pytest.mark.parametrize("cls", WAITS)
def test_a_cancel_reaches_what_the_run_waits_for(cls: type) -> None:
    driven = Driven(cls)
    driven.step()
    commands = driven.step(driven.cancel_asked())
    assert "RequestCancelActivityTask 1" in kinds(commands)
    assert kinds(commands)[-1] == "CancelWorkflowExecution"
    driven.check_replays()


@workflow_of
async def waits_for_a_future(self) -> str:
    """`wait_for` of Python 3.11 prefers the result, and the next await must say so."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    workflow.set_signal_handler("give", ready.set_result)
    got = await asyncio.wait_for(ready, 60)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return f"{got}, then cancelled"
    return got


def test_no_version_of_wait_for_swallows_a_cancel() -> None:
    driven = Driven(waits_for_a_future)
    driven.step()
    commands = driven.step(driven.signaled("give", "it"), driven.cancel_asked())
    last = kinds(commands)[-1]
    assert last in ("CancelWorkflowExecution", "CompleteWorkflowExecution")
    if last == "CompleteWorkflowExecution":
        assert driven.result() == "it, then cancelled"
    driven.check_replays()


@workflow_of
async def cleans_up(self) -> str:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        reason = workflow.cancellation_reason()
        await workflow.execute_activity("refund", reason, start_to_close_timeout=CLOSE)
        raise
    return "done"


def test_after_a_cancel_the_code_may_clean_up_with_activities_and_knows_the_reason() -> None:
    driven = Driven(cleans_up)
    driven.step()
    timer, refund = driven.step(driven.cancel_asked("changed my mind"))
    assert isinstance(timer, c.CancelTimer)
    assert isinstance(refund, c.ScheduleActivityTask)
    assert refund.input[0].content() == b'"changed my mind"'
    assert driven.step(driven.cancel_asked("again")) == ()  # a second request changes nothing
    assert kinds(driven.step(driven.completed("refund"))) == ["CancelWorkflowExecution"]
    driven.check_replays()


def test_a_cancel_in_the_first_task_is_seen_by_code_that_has_begun() -> None:
    driven = Driven(cleans_up)
    assert kinds(driven.step(driven.cancel_asked())) == ["ScheduleActivityTask refund"]
    driven.check_replays()


@workflow_of
async def has_no_reason(self) -> str | None:
    return workflow.cancellation_reason()


def test_without_a_request_there_is_no_reason() -> None:
    driven = Driven(has_no_reason)
    driven.step()
    assert driven.result() is None


@workflow_of
async def swallows(self, how: str) -> str:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        pass
    if how == "later":
        await asyncio.sleep(1)
        raise CancelledError("because of something else")
    if how == "fails":
        raise ApplicationError("no")
    return "went on"


@pytest.mark.parametrize(
    ("how", "end"), [("returns", "Complete"), ("later", "Cancel"), ("fails", "Fail")]
)
def test_cancellation_is_a_state_and_not_an_event(how: str, end: str) -> None:
    driven = Driven(swallows, how)
    driven.step()
    driven.step(driven.cancel_asked())
    if how == "later":
        driven.step(driven.fired(2))
    assert driven.history[-1].type == f"WorkflowExecution{end}" + (
        "ed" if end != "Complete" else "d"
    )
    driven.check_replays()


@workflow_of
async def cancels_itself(self) -> None:
    raise asyncio.CancelledError


def test_a_cancellation_without_a_request_is_a_failure() -> None:
    driven = Driven(cancels_itself)
    (failed,) = driven.step()
    assert isinstance(failed, c.FailWorkflowExecution)
    assert failed.failure.message == "Cancelled without a request"


@workflow.defn
class HandlerGoesOn:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            self.seen.append("run cancelled")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.seen

    @workflow.signal
    async def work(self) -> None:
        await asyncio.sleep(1)
        self.seen.append("handler done")


def test_handlers_are_not_cancelled() -> None:
    driven = Driven(HandlerGoesOn)
    driven.step(driven.signaled("work"))
    driven.step(driven.cancel_asked())
    (timer,) = driven.state.timers.values()
    driven.step(driven.fired(timer.started.timer_id))
    assert driven.result() == ["run cancelled", "handler done"]
    driven.check_replays()


@workflow_of
async def group_with_a_bug(self) -> None:
    async def bug() -> None:
        raise KeyError("bug")

    async with asyncio.TaskGroup() as group:
        group.create_task(workflow.execute_activity("pay", start_to_close_timeout=CLOSE))
        group.create_task(bug())


def test_a_group_fails_the_run_if_all_its_members_would_and_the_task_if_one_is_a_bug() -> None:
    driven = Driven(grouped_wait)
    driven.step()
    commands = driven.step(driven.failed("pay", "no money"))
    assert kinds(commands) == ["RequestCancelActivityTask 2", "FailWorkflowExecution"]
    assert isinstance(commands[-1], c.FailWorkflowExecution)
    assert commands[-1].failure.detail.error_type == "ExceptionGroup"
    assert isinstance(driven.history[-1].attributes, e.WorkflowExecutionFailed)
    assert isinstance(Driven(group_with_a_bug).attempt(), TaskFailure)
