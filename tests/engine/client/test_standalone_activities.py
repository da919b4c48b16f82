"""Activities without a workflow, on the embedded engine: worker and client as users have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import activity, workflow
from orchestrator.client import (
    ActivityExecutionDescription,
    ActivityExecutionStatus,
    ActivityFailureError,
    ActivityHandle,
    ActivityStartOptions,
    CancelActivityInput,
    Client,
    DescribeActivityInput,
    Interceptor,
    OutboundInterceptor,
    StartActivityInput,
    TerminateActivityInput,
)
from orchestrator.common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from orchestrator.exceptions import (
    ActivityAlreadyStartedError,
    ApplicationError,
    CancelledError,
    InvalidNameError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker

pytestmark = pytest.mark.not_replayed("no workflow code runs")
QUEUE = "press"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CITY = SearchAttributeKey.for_keyword("City")


class Press:
    """Activities that fail while they shall or wait for the test, and what they saw."""

    def __init__(self) -> None:
        self.fails = 0
        self.go_on = asyncio.Event()
        self.infos: list[activity.Info] = []
        self.told: list[activity.ActivityCancellationDetails | None] = []

    @activity.defn
    async def stamp(self, what: str) -> str:
        """Fail so often as it shall."""
        self.infos.append(activity.info())
        if len(self.infos) <= self.fails:
            raise ApplicationError(f"jammed {len(self.infos)}")
        return f"{what} stamped"

    @activity.defn
    async def hold(self) -> str:
        """Wait for the test."""
        self.infos.append(activity.info())
        try:
            while not self.go_on.is_set():
                activity.heartbeat("holding")
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.told.append(activity.cancellation_details())
            raise
        return "held"

    @activity.defn
    async def leave(self) -> str:
        """Leave it to be completed from outside."""
        self.infos.append(activity.info())
        activity.raise_complete_async()

    async def begun(self) -> None:
        for _ in range(5_000):
            if self.infos:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("nothing was begun")


class Shop:
    """A client with a worker that has activities and nothing else."""

    def __init__(self, env: WorkflowEnvironment, press: Press) -> None:
        self.env, self.press, self.client = env, press, env.client

    async def stamp(self, **options: Any) -> ActivityHandle[str]:
        given: dict[str, Any] = {
            "id": "a",
            "task_queue": QUEUE,
            "start_to_close_timeout": MINUTE,
            **options,
        }
        handle: ActivityHandle[str] = await self.client.start_activity(
            self.press.stamp, "letter", **given
        )
        return handle

    async def hold(self, **options: Any) -> ActivityHandle[str]:
        given: dict[str, Any] = {
            "id": "a",
            "task_queue": QUEUE,
            "start_to_close_timeout": HOUR,
            "heartbeat_timeout": HOUR,
            **options,
        }
        handle: ActivityHandle[str] = await self.client.start_activity(self.press.hold, **given)
        return handle

    async def until(self, handle: ActivityHandle[Any], state: str) -> ActivityExecutionDescription:
        for _ in range(5_000):
            found = await handle.describe()
            if found.run_state == state:
                return found
            await asyncio.sleep(0.001)
        raise AssertionError(f"it is {found.run_state}, not {state}")

    async def until_nothing_is_listed(self) -> None:
        """Let years pass: retention takes what has ended."""
        for _ in range(100):
            await self.env.sleep(timedelta(days=365))
            if not [one async for one in self.client.list_activities()]:
                return
        raise AssertionError("something is kept for ever")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    press = Press()
    async with await WorkflowEnvironment.start_time_skipping() as env:
        worker = Worker(
            env.client,
            task_queue=QUEUE,
            activities=[press.stamp, press.hold, press.leave],
            max_heartbeat_throttle_interval=timedelta(milliseconds=10),
        )
        async with worker:
            yield Shop(env, press)


async def failure_of(handle: ActivityHandle[Any]) -> BaseException | None:
    with pytest.raises(ActivityFailureError) as raised:
        await handle.result()
    return raised.value.cause


async def test_an_activity_runs_without_any_workflow(shop: Shop) -> None:
    found = await shop.client.execute_activity(
        shop.press.stamp, "letter", id="a", task_queue=QUEUE, start_to_close_timeout=MINUTE
    )
    assert found == "letter stamped"


async def test_an_activity_is_started_by_its_name(shop: Shop) -> None:
    found = await shop.client.execute_activity(
        "stamp", args=["card"], id="a", task_queue=QUEUE, schedule_to_close_timeout=MINUTE
    )
    assert found == "card stamped"


async def test_classes_and_methods_are_started_too(shop: Shop) -> None:
    @activity.defn
    class Fold:
        async def __call__(self, times: int) -> str:
            return f"folded {times}"

    options = ActivityStartOptions(id="a", task_queue="fold", start_to_close_timeout=MINUTE)
    async with Worker(shop.client, task_queue="fold", activities=[Fold()]):
        assert await shop.client.execute_activity_class(Fold, 2, **options) == "folded 2"
    by_method = await shop.client.start_activity_method(
        Press.stamp, "card", id="b", task_queue=QUEUE, start_to_close_timeout=MINUTE
    )
    assert await by_method.result() == "card stamped"


async def test_its_info_tells_of_no_workflow(shop: Shop) -> None:
    handle = await shop.stamp(priority=Priority(priority_key=2))
    await handle.result()
    (info,) = shop.press.infos
    assert (info.activity_id, info.activity_type, info.attempt) == ("a", "stamp", 1)
    assert (info.workflow_id, info.workflow_run_id, info.workflow_type) == (None, None, None)
    assert not info.in_workflow
    assert info.activity_run_id == handle.run_id
    assert info.priority.priority_key == 2


async def test_a_failed_attempt_is_tried_again_after_its_back_off(shop: Shop) -> None:
    shop.press.fails = 2
    handle = await shop.stamp(retry_policy=RetryPolicy(initial_interval=HOUR))
    assert await handle.result() == "letter stamped"
    first, second, third = (info.started_time for info in shop.press.infos)
    assert second - first >= HOUR
    assert third - second >= 2 * HOUR
    found = await handle.describe()
    assert (found.status, found.attempt) == (ActivityExecutionStatus.COMPLETED, 3)


async def test_exhausted_retries_end_it_with_the_last_error(shop: Shop) -> None:
    shop.press.fails = 9
    handle = await shop.stamp(retry_policy=RetryPolicy(maximum_attempts=2))
    cause = await failure_of(handle)
    assert isinstance(cause, ApplicationError)
    assert cause.message == "jammed 2"
    found = await handle.describe()
    assert (found.status, found.attempt) == (ActivityExecutionStatus.FAILED, 2)
    assert isinstance(found.last_failure, ApplicationError)


async def test_schedule_to_close_ends_the_waiting_for_a_next_attempt(shop: Shop) -> None:
    shop.press.fails = 9
    handle = await shop.stamp(
        schedule_to_close_timeout=HOUR,
        retry_policy=RetryPolicy(initial_interval=timedelta(minutes=40)),
    )
    cause = await failure_of(handle)
    assert isinstance(cause, ApplicationError)
    assert cause.message == "jammed 2"
    assert (await handle.describe()).attempt == 2


async def test_an_activity_without_a_worker_runs_out_of_its_time(shop: Shop) -> None:
    handle = await shop.stamp(task_queue="nobody", schedule_to_close_timeout=HOUR)
    cause = await failure_of(handle)
    assert isinstance(cause, TimeoutError)
    assert cause.type is TimeoutType.SCHEDULE_TO_CLOSE
    found = await handle.describe()
    assert (found.status, found.attempt) == (ActivityExecutionStatus.TIMED_OUT, 0)


async def test_schedule_to_start_bounds_the_waiting_for_a_worker(shop: Shop) -> None:
    handle = await shop.stamp(task_queue="nobody", schedule_to_start_timeout=MINUTE)
    cause = await failure_of(handle)
    assert isinstance(cause, TimeoutError)
    assert cause.type is TimeoutType.SCHEDULE_TO_START


async def test_a_start_delay_holds_the_first_attempt_back_and_no_other(shop: Shop) -> None:
    shop.press.fails = 1
    handle = await shop.stamp(
        start_delay=HOUR,
        schedule_to_close_timeout=timedelta(minutes=30),
        retry_policy=RetryPolicy(initial_interval=MINUTE),
    )
    found = await handle.describe()
    assert (found.run_state, found.attempt) == ("backing_off", 0)
    assert found.next_attempt_schedule_time is not None
    assert found.next_attempt_schedule_time - found.scheduled_time == HOUR
    assert found.expiration_time == found.next_attempt_schedule_time + timedelta(minutes=30)
    assert await handle.result() == "letter stamped"
    first, second = shop.press.infos
    assert first.scheduled_time - found.scheduled_time == HOUR
    assert second.started_time - first.started_time < HOUR


async def test_a_delayed_activity_is_cancelled_before_it_begins(shop: Shop) -> None:
    handle = await shop.stamp(start_delay=HOUR)
    await handle.cancel(reason="not today")
    assert isinstance(await failure_of(handle), CancelledError)
    found = await handle.describe()
    assert (found.status, found.attempt) == (ActivityExecutionStatus.CANCELED, 0)
    assert found.canceled_reason == "not today"
    assert not shop.press.infos


async def test_code_that_runs_is_told_of_the_cancel_and_ends_cancelled(shop: Shop) -> None:
    handle = await shop.hold()
    await shop.press.begun()
    await handle.cancel()
    await handle.cancel()
    assert isinstance(await failure_of(handle), CancelledError)
    (told,) = shop.press.told
    assert told is not None
    assert told.cancel_requested


async def test_an_activity_that_completes_although_it_was_cancelled_has_its_result(
    shop: Shop,
) -> None:
    handle: ActivityHandle[Any] = await shop.client.start_activity(
        shop.press.leave, id="a", task_queue=QUEUE, start_to_close_timeout=HOUR
    )
    await shop.press.begun()
    await shop.until(handle, "running")
    await handle.cancel(reason="why not")
    assert (await handle.describe()).cancel_requested
    outside = shop.client.get_async_activity_handle(task_token=shop.press.infos[0].task_token)
    await outside.complete("done all the same")
    assert await handle.result() == "done all the same"


async def test_a_terminated_activity_ends_at_once_and_its_code_by_its_heartbeat(
    shop: Shop,
) -> None:
    handle = await shop.hold()
    await shop.press.begun()
    await handle.terminate(reason="enough")
    cause = await failure_of(handle)
    assert isinstance(cause, TerminatedError)
    assert str(cause) == "enough"
    for _ in range(5_000):
        if shop.press.told:
            break
        await asyncio.sleep(0.001)
    (told,) = shop.press.told
    assert told is not None
    assert told.not_found


async def test_what_has_ended_can_be_neither_cancelled_nor_terminated(shop: Shop) -> None:
    handle = await shop.stamp()
    await handle.result()
    for act in (handle.cancel, handle.terminate):
        with pytest.raises(RPCError, match=r"activity 'a' is not open: .*completed") as raised:
            await act()
        assert raised.value.status is RPCStatusCode.NOT_FOUND


async def test_an_unknown_activity_is_named_by_the_error(shop: Shop) -> None:
    handle = shop.client.get_activity_handle("nothing")
    for act in (handle.result, handle.describe, handle.cancel, handle.terminate):
        with pytest.raises(RPCError, match="no activity 'nothing'") as raised:
            await act()
        assert raised.value.status is RPCStatusCode.NOT_FOUND


async def test_it_is_completed_from_outside_by_its_id(shop: Shop) -> None:
    handle: ActivityHandle[Any] = await shop.client.start_activity(
        shop.press.leave, id="a", task_queue=QUEUE, start_to_close_timeout=HOUR
    )
    await shop.press.begun()
    await shop.client.get_async_activity_handle(activity_id="a").complete("by hand")
    assert await handle.result() == "by hand"


async def test_it_is_paused_and_goes_on(shop: Shop) -> None:
    shop.press.fails = 1
    handle = await shop.stamp(retry_policy=RetryPolicy(initial_interval=HOUR))
    await shop.until(handle, "backing_off")
    operator = shop.client.get_async_activity_handle(activity_id="a")
    await operator.pause()
    await shop.env.sleep(timedelta(days=1))
    assert (await handle.describe()).paused
    assert len(shop.press.infos) == 1
    await operator.unpause()
    assert await handle.result() == "letter stamped"


async def test_rates_hold_it_back_and_are_shown(shop: Shop) -> None:
    options = ActivityStartOptions(
        id="a",
        task_queue="rated",
        start_to_close_timeout=MINUTE,
        priority=Priority(fairness_key="acme"),
    )
    async with Worker(
        shop.client,
        task_queue="rated",
        activities=[shop.press.stamp],
        max_activities_per_second_per_key=0.001,
    ):
        await shop.client.execute_activity(shop.press.stamp, "letter", **options)
        handle = await shop.client.start_activity(shop.press.stamp, "card", **options)
        found = await shop.until(handle, "backing_off")
        assert found.limited_by == "key acme"
        assert await handle.result() == "card stamped"
    first, second = (info.started_time for info in shop.press.infos)
    assert second - first >= timedelta(seconds=1_000)


@pytest.mark.parametrize("word", ["cancel", "terminate"])
async def test_who_ends_gives_its_place_to_who_waits(shop: Shop, word: str) -> None:
    async with Worker(
        shop.client,
        task_queue="narrow",
        activities=[shop.press.hold],
        max_concurrent_activities_per_key=1,
        max_heartbeat_throttle_interval=timedelta(milliseconds=10),
    ):
        acme = Priority(fairness_key="acme")
        first = await shop.hold(task_queue="narrow", priority=acme)
        await shop.until(first, "running")
        second = await shop.hold(id="b", task_queue="narrow", priority=acme)
        assert (await shop.until(second, "backing_off")).limited_by is not None
        await getattr(first, word)()
        assert await failure_of(first) is not None
        await shop.until(second, "running")
        shop.press.go_on.set()
        assert await second.result() == "held"


async def test_its_options_are_changed_while_it_waits(shop: Shop) -> None:
    handle = await shop.stamp(task_queue="nobody")
    operator = shop.client.get_async_activity_handle(activity_id="a")
    await operator.update_options(task_queue=QUEUE)
    assert await handle.result() == "letter stamped"
    assert shop.press.infos[0].task_queue == QUEUE


async def test_a_second_start_is_refused_while_one_is_open(shop: Shop) -> None:
    handle = await shop.hold()
    with pytest.raises(ActivityAlreadyStartedError) as raised:
        await shop.stamp()
    found = raised.value
    assert (found.activity_id, found.activity_type, found.run_id) == ("a", "hold", handle.run_id)


async def test_a_second_start_attaches_where_it_is_told_to(shop: Shop) -> None:
    handle = await shop.hold()
    again = await shop.hold(id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING)
    assert again.run_id == handle.run_id
    shop.press.go_on.set()
    assert await again.result() == "held"
    assert len(shop.press.infos) == 1


async def test_the_same_request_starts_once(shop: Shop) -> None:
    first = await shop.stamp(request_id="r1")
    second = await shop.stamp(request_id="r1")
    assert first.run_id == second.run_id == "r1"
    assert await second.result() == "letter stamped"
    assert (await shop.stamp(request_id="r1")).run_id == "r1"
    assert len(shop.press.infos) == 1


@pytest.mark.parametrize(
    ("policy", "fails", "starts"),
    [
        (ActivityIDReusePolicy.ALLOW_DUPLICATE, 0, True),
        (ActivityIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, 0, False),
        (ActivityIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, 1, True),
        (ActivityIDReusePolicy.REJECT_DUPLICATE, 1, False),
    ],
)
async def test_the_reuse_policy_decides_when_one_has_ended(
    shop: Shop, policy: ActivityIDReusePolicy, fails: int, starts: bool
) -> None:
    shop.press.fails = fails
    first = await shop.stamp(retry_policy=RetryPolicy(maximum_attempts=1))
    if fails:
        await failure_of(first)
    else:
        await first.result()
    if not starts:
        with pytest.raises(ActivityAlreadyStartedError):
            await shop.stamp(id_reuse_policy=policy)
        return
    second = await shop.stamp(id_reuse_policy=policy)
    assert second.run_id != first.run_id
    assert await second.result() == "letter stamped"
    newest = await shop.client.get_activity_handle("a").describe()
    assert newest.activity_run_id == second.run_id


@workflow.defn
class Waiting:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


async def test_ids_of_activities_and_of_workflows_do_not_meet(shop: Shop) -> None:
    run = await shop.client.start_workflow(Waiting.run, id="a", task_queue="nobody")
    handle = await shop.hold()
    assert run.result_run_id != handle.run_id
    workflows = [one.id async for one in shop.client.list_workflows()]
    activities = [one.activity_id async for one in shop.client.list_activities()]
    assert (workflows, activities) == (["a"], ["a"])
    assert sum((await shop.client.count_workflows()).values()) == 1
    await run.terminate()
    assert (await handle.describe()).status is ActivityExecutionStatus.RUNNING


async def test_no_workflow_call_reaches_an_activity(shop: Shop) -> None:
    await shop.hold()
    with pytest.raises(InvalidNameError, match="no braces"):
        shop.client.get_workflow_handle("{activity}a")


async def test_listings_and_counts_are_by_status_type_and_search_attribute(shop: Shop) -> None:
    rome = TypedSearchAttributes([SearchAttributePair(CITY, "Rome")])
    done = await shop.stamp(id="done", search_attributes=rome)
    await done.result()
    await shop.hold(id="open")

    async def ids(**wanted: Any) -> Sequence[str]:
        return [one.activity_id async for one in shop.client.list_activities(**wanted)]

    assert await ids() == ["open", "done"]
    assert await ids(limit=1) == ["open"]
    assert await ids(status=ActivityExecutionStatus.COMPLETED) == ["done"]
    assert await ids(activity_type="hold") == ["open"]
    assert await ids(search_attributes=rome) == ["done"]
    assert await ids(task_queue="other") == []
    counts = await shop.client.count_activities()
    assert {one for one, count in counts.items() if count} == {
        ActivityExecutionStatus.RUNNING,
        ActivityExecutionStatus.COMPLETED,
    }
    counts = await shop.client.count_activities(activity_type="stamp")
    assert counts[ActivityExecutionStatus.COMPLETED] == 1
    assert counts[ActivityExecutionStatus.RUNNING] == 0
    with pytest.raises(TypeError, match="no option workflow_type"):
        await ids(workflow_type="stamp")


async def test_a_description_tells_options_and_attempts(shop: Shop) -> None:
    handle = await shop.hold(
        summary="by hand",
        schedule_to_close_timeout=timedelta(hours=2),
        retry_policy=RetryPolicy(maximum_attempts=7),
        search_attributes=TypedSearchAttributes([SearchAttributePair(CITY, "Rome")]),
    )
    await shop.press.begun()
    found = await shop.until(handle, "running")
    assert (found.activity_id, found.activity_run_id) == ("a", handle.run_id)
    assert (found.activity_type, found.task_queue, found.attempt) == ("hold", QUEUE, 1)
    assert await found.static_summary() == "by hand"
    assert found.retry_policy.maximum_attempts == 7
    assert (found.start_to_close_timeout, found.heartbeat_timeout) == (HOUR, HOUR)
    assert found.expiration_time == found.scheduled_time + timedelta(hours=2)
    assert found.typed_search_attributes[CITY] == "Rome"
    assert found.last_started_time is not None
    for _ in range(5_000):
        if await found.heartbeat_details():
            break
        found = await handle.describe()
        await asyncio.sleep(0.001)
    assert await found.heartbeat_details() == ["holding"]
    shop.press.go_on.set()
    await handle.result()
    found = await handle.describe()
    assert found.run_state is None
    assert found.execution_duration is not None
    assert found.last_worker_identity


async def test_after_its_retention_the_result_is_gone_with_a_clear_error(shop: Shop) -> None:
    handle = await shop.stamp()
    await handle.result()
    await shop.until_nothing_is_listed()
    with pytest.raises(RPCError, match="its retention is over") as raised:
        await handle.result()
    assert raised.value.status is RPCStatusCode.NOT_FOUND
    assert (await shop.stamp(request_id="r2")).run_id == "r2"


async def test_a_terminated_one_is_gone_after_its_retention_too(shop: Shop) -> None:
    handle = await shop.hold()
    await shop.press.begun()
    await handle.terminate()
    await shop.until_nothing_is_listed()


async def test_what_cannot_be_asked_for_is_refused_before_anything_is_written(
    shop: Shop,
) -> None:
    client, press = shop.client, shop.press
    with pytest.raises(RPCError, match="start_to_close_timeout or schedule_to_close_timeout"):
        await client.start_activity(press.stamp, "x", id="a", task_queue=QUEUE)
    with pytest.raises(RPCError, match="start_to_close_timeout: expected 1 to"):
        await shop.stamp(start_to_close_timeout=timedelta(0))
    with pytest.raises(TypeError, match="needs task_queue"):
        await client.start_activity(press.stamp, "x", id="a")  # type: ignore[call-overload]  # so
    with pytest.raises(TypeError, match="no option cron_schedule"):
        await shop.stamp(cron_schedule="@daily")
    with pytest.raises(InvalidNameError, match="activity id"):
        await shop.stamp(id="{a}")
    with pytest.raises(InvalidNameError, match="task queue"):
        await shop.stamp(task_queue="a b")
    with pytest.raises(ValueError, match="not an activity"):
        await client.start_activity(len, "x", id="a", task_queue=QUEUE)
    assert [one async for one in client.list_activities()] == []


async def test_interceptors_stand_around_all_calls() -> None:
    seen: list[tuple[str, str]] = []

    class Link(OutboundInterceptor):
        async def start_activity(self, input: StartActivityInput) -> Any:
            seen.append(("start", input.id))
            input.args = ["changed"]
            return await super().start_activity(input)

        async def describe_activity(
            self, input: DescribeActivityInput
        ) -> ActivityExecutionDescription:
            seen.append(("describe", input.activity_id))
            return await super().describe_activity(input)

        async def cancel_activity(self, input: CancelActivityInput) -> None:
            seen.append(("cancel", input.activity_id))
            input.reason = "because"
            await super().cancel_activity(input)

        async def terminate_activity(self, input: TerminateActivityInput) -> None:
            seen.append(("terminate", input.activity_id))
            await super().terminate_activity(input)

    class Watch(Interceptor):
        def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
            return Link(next)

    press = Press()
    options = ActivityStartOptions(id="a", task_queue=QUEUE, start_to_close_timeout=MINUTE)
    async with await WorkflowEnvironment.start_time_skipping(interceptors=[Watch()]) as env:
        client: Client = env.client
        async with Worker(client, task_queue=QUEUE, activities=[press.stamp]):
            found = await client.execute_activity(press.stamp, "letter", **options)
        assert found == "changed stamped"
        for word in ("cancel", "terminate"):
            handle = await client.start_activity(press.stamp, "letter", **options)
            await getattr(handle, word)()
        canceled = client.get_activity_handle("a", run_id=None)
        assert (await canceled.describe()).status is ActivityExecutionStatus.TERMINATED
    assert [word for word, _ in seen] == [
        *("start", "start", "cancel", "start", "terminate", "describe"),
    ]
    assert {name for _, name in seen} == {"a"}
