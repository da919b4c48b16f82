"""Activities that are completed from outside: one outcome, whoever tells it first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orchestrator import activity, workflow
from orchestrator.client import (
    AsyncActivityCancelledError,
    AsyncActivityHandle,
    Client,
    WorkflowFailureError,
    WorkflowHandle,
)
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RPCError,
    RPCStatusCode,
    TimeoutError,
    TimeoutType,
)
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker

QUEUE = "approvals"


class Desk:
    """Hands every request to somebody outside, whom the test plays."""

    def __init__(self) -> None:
        self.infos: asyncio.Queue[activity.Info] = asyncio.Queue()

    @activity.defn
    async def approve(self, what: str) -> str:
        activity.heartbeat("asked", what)
        self.infos.put_nowait(activity.info())
        activity.raise_complete_async()


@workflow.defn
class Approval:
    @workflow.run
    async def run(self, options: dict[str, float]) -> str:
        kind = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        try:
            return await workflow.execute_activity_method(
                Desk.approve,
                "leave",
                activity_id="approve",
                start_to_close_timeout=timedelta(seconds=options.get("close", 3_600)),
                heartbeat_timeout=timedelta(seconds=options["beat"]) if "beat" in options else None,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=1),
                    maximum_attempts=int(options.get("attempts", 2)),
                ),
                cancellation_type=kind,
            )
        except ActivityError as error:
            if isinstance(error.cause, CancelledError):
                return f"cancelled {list(error.cause.details)}"
            raise


class Office:
    """A desk, its worker, and the one run whose request is on it."""

    def __init__(self, env: WorkflowEnvironment, desk: Desk) -> None:
        self.env = env
        self.client = env.client
        self.desk = desk

    async def begin(self, **options: float) -> WorkflowHandle[Approval, str]:
        return await self.client.start_workflow(
            Approval.run, options, id="approval-1", task_queue=QUEUE
        )

    async def asked(self) -> activity.Info:
        """The request, once the attempt is left to those outside."""
        info = await asyncio.wait_for(self.desk.infos.get(), 60)
        for _ in range(100_000):
            (pending,) = (
                await self.client.get_workflow_handle("approval-1").describe()
            ).pending_activities
            if pending.completed_outside:
                break
            await asyncio.sleep(0)
        return info


@pytest.fixture
async def office(env: WorkflowEnvironment) -> AsyncIterator[Office]:
    desk = Desk()
    async with Worker(
        env.client, task_queue=QUEUE, workflows=[Approval], activities=[desk.approve]
    ):
        yield Office(env, desk)


def is_not_found(error: pytest.ExceptionInfo[RPCError]) -> bool:
    return error.value.status is RPCStatusCode.NOT_FOUND


async def test_it_is_completed_by_its_task_token(office: Office) -> None:
    handle = await office.begin()
    token = (await office.asked()).task_token
    await office.client.get_async_activity_handle(task_token=token).complete("yes")
    assert await handle.result() == "yes"


async def test_it_is_completed_by_its_ids(office: Office) -> None:
    handle = await office.begin()
    await office.asked()
    by_ids = office.client.get_async_activity_handle(
        workflow_id="approval-1", activity_id="approve"
    )
    await by_ids.complete("yes")
    assert await handle.result() == "yes"


async def test_the_first_of_two_completions_counts_and_the_second_is_told(office: Office) -> None:
    handle = await office.begin()
    token = (await office.asked()).task_token
    by_token = office.client.get_async_activity_handle(task_token=token)
    by_ids = office.client.get_async_activity_handle(
        workflow_id="approval-1", activity_id="approve"
    )
    await by_token.complete("yes")
    for late in (by_token, by_ids):
        with pytest.raises(RPCError) as error:
            await late.complete("no")
        assert is_not_found(error)
    assert await handle.result() == "yes"


async def test_a_failure_from_outside_is_retried_and_the_old_token_names_nothing(
    office: Office,
) -> None:
    handle = await office.begin()
    first = (await office.asked()).task_token
    old = office.client.get_async_activity_handle(task_token=first)
    await old.fail(ApplicationError("ask again"), last_heartbeat_details=["so far"])
    again = await office.asked()
    assert again.attempt == 2
    assert list(again.heartbeat_details) == ["so far"]
    with pytest.raises(RPCError) as error:
        await old.complete("too late")
    assert is_not_found(error)
    await office.client.get_async_activity_handle(task_token=again.task_token).complete("yes")
    assert await handle.result() == "yes"


async def test_the_last_failure_from_outside_fails_the_activity(office: Office) -> None:
    handle = await office.begin(attempts=1)
    token = (await office.asked()).task_token
    await office.client.get_async_activity_handle(task_token=token).fail(ApplicationError("no"))
    with pytest.raises(WorkflowFailureError) as error:
        await handle.result()
    assert isinstance(error.value.cause, ActivityError)
    assert str(error.value.cause.cause) == "no"


@pytest.mark.memory_only("half a minute passes")
async def test_heartbeats_from_outside_keep_it_alive_and_their_end_times_it_out(
    office: Office,
) -> None:
    handle = await office.begin(beat=10, attempts=1)
    token = (await office.asked()).task_token
    outside = office.client.get_async_activity_handle(task_token=token)
    for _ in range(4):
        await office.env.sleep(8)
        await outside.heartbeat("half")
    with pytest.raises(WorkflowFailureError) as error:
        await handle.result()
    cause = error.value.cause.cause if isinstance(error.value.cause, ActivityError) else None
    assert isinstance(cause, TimeoutError)
    assert cause.type is TimeoutType.HEARTBEAT
    assert list(cause.last_heartbeat_details) == ["half"]
    with pytest.raises(RPCError) as late:
        await outside.heartbeat()
    assert is_not_found(late)


async def test_the_heartbeats_of_its_code_count(office: Office) -> None:
    await office.begin(attempts=1)
    await office.asked()
    (record,) = await office.client.services.store.records("approval-1", await run_id(office))
    assert office.client.data_converter.from_payloads(record.details) == ["asked", "leave"]


async def run_id(office: Office) -> str:
    return (await office.client.get_workflow_handle("approval-1").describe()).run_id


async def test_it_times_out_when_nobody_completes_it(office: Office) -> None:
    handle = await office.begin(close=1, attempts=1)
    with pytest.raises(WorkflowFailureError) as error:
        await handle.result()
    cause = error.value.cause.cause if isinstance(error.value.cause, ActivityError) else None
    assert isinstance(cause, TimeoutError)
    assert cause.type is TimeoutType.START_TO_CLOSE


async def test_a_heartbeat_tells_of_a_cancellation_which_is_then_reported(office: Office) -> None:
    handle = await office.begin()
    token = (await office.asked()).task_token
    outside = office.client.get_async_activity_handle(task_token=token)
    with pytest.raises(RPCError) as unasked:
        await outside.report_cancellation()
    assert unasked.value.status is RPCStatusCode.FAILED_PRECONDITION
    await handle.cancel()
    with pytest.raises(AsyncActivityCancelledError):
        await beat_for_ever(outside)
    await outside.report_cancellation("cleaned up")
    assert await handle.result() == "cancelled ['cleaned up']"


async def beat_for_ever(outside: AsyncActivityHandle) -> None:
    for _ in range(100_000):
        await outside.heartbeat()
        await asyncio.sleep(0)


async def test_it_may_be_completed_by_ids_before_anybody_has_begun_it(
    env: WorkflowEnvironment,
) -> None:
    async with Worker(env.client, task_queue=QUEUE, workflows=[Approval]):
        handle = await env.client.start_workflow(
            Approval.run, {}, id="approval-1", task_queue=QUEUE
        )
        by_ids = env.client.get_async_activity_handle(
            workflow_id="approval-1", activity_id="approve"
        )
        for _ in range(100_000):
            try:
                await by_ids.complete("by hand")
                break
            except RPCError:
                await asyncio.sleep(0.001)
        with pytest.raises(RPCError) as error:
            await by_ids.complete("twice")
        assert is_not_found(error)
        assert await handle.result() == "by hand"


async def test_a_handle_needs_a_token_or_ids(office: Office) -> None:
    client: Client = office.client
    with pytest.raises(ValueError, match="either task_token"):
        client.get_async_activity_handle(workflow_id="approval-1")
    with pytest.raises(ValueError, match="task token"):
        client.get_async_activity_handle(task_token=b"nonsense")
