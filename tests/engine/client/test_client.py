"""What a client can do with runs, on the embedded engine."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHistory,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from orchestrator.common import (
    QueryRejectCondition,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from orchestrator.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    InvalidNameError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)
from orchestrator.ports.broker import RequestsQueue
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Replayer, Worker
from tests.engine.client.workflows import (
    ACTIVITIES,
    QUEUE,
    WORKFLOWS,
    Counter,
    Order,
    Ordering,
    Renewed,
    Sleeper,
)


async def test_a_workflow_returns_a_typed_result(client: Client) -> None:
    result = await client.execute_workflow(
        Ordering.run, Order("pizza"), id="order-1", task_queue=QUEUE, start_signal="finish"
    )
    assert result == Order("pizza")


@pytest.mark.memory_only("an hour passes")
async def test_a_wait_that_takes_too_long_goes_on(client: Client) -> None:
    run = client.execute_workflow(Ordering.run, Order("pizza"), id="order-1", task_queue=QUEUE)
    assert await run == Order("pizza", ["late"])


async def test_a_signal_reaches_the_code_before_the_time_is_over(client: Client) -> None:
    handle = await client.start_workflow(
        Ordering.run, Order("pizza"), id="order-1", task_queue=QUEUE
    )
    await handle.signal(Ordering.add, "cola")
    await handle.signal("finish")
    assert (await handle.result()).extras == ["cola"]


async def test_an_activity_s_failure_fails_the_workflow_with_its_causes(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(Ordering.run, Order("nothing"), id="o", task_queue=QUEUE)
    activity_error = caught.value.cause
    assert isinstance(activity_error, ActivityError)
    assert isinstance(activity_error.cause, ApplicationError)
    assert activity_error.cause.type == "Empty"
    assert activity_error.cause.details == ({"item": "nothing", "extras": []},)


async def test_cancelling_ends_the_run_as_cancelled(client: Client) -> None:
    handle = await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    await handle.cancel(reason="no more")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert await handle.status() is WorkflowExecutionStatus.CANCELED


async def test_terminating_ends_the_run_with_details(client: Client) -> None:
    handle = await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    await handle.terminate("detail", reason="enough")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, TerminatedError)
    assert caught.value.cause.details == ("detail",)
    with pytest.raises(RPCError) as refused:
        await handle.terminate()
    assert refused.value.status is RPCStatusCode.NOT_FOUND


async def test_a_run_that_is_too_slow_times_out(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(
            Sleeper.run, 2, id="s", task_queue=QUEUE, run_timeout=timedelta(seconds=1)
        )
    assert isinstance(caught.value.cause, TimeoutError)


async def test_a_result_follows_continue_as_new_unless_told_otherwise(client: Client) -> None:
    handle = await client.start_workflow(Counter.run, 3, id="c", task_queue=QUEUE)
    assert await handle.result() == "done"
    with pytest.raises(WorkflowContinuedAsNewError):
        await handle.result(follow_runs=False)
    assert handle.result_run_id != (await client.get_workflow_handle("c").describe()).run_id


async def test_an_open_run_refuses_another_start_or_is_used(client: Client) -> None:
    first = await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    with pytest.raises(WorkflowAlreadyStartedError) as refused:
        await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    assert refused.value.run_id == first.result_run_id
    attached = await client.start_workflow(
        Sleeper.run,
        1,
        id="s",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    assert attached.result_run_id == first.result_run_id


async def test_a_run_that_was_attached_to_can_be_cancelled_though_its_chain_began_earlier(
    client: Client,
) -> None:
    first = await client.start_workflow(Renewed.run, True, id="r", task_queue=QUEUE)
    with pytest.raises(WorkflowContinuedAsNewError):
        await first.result(follow_runs=False)
    attached = await client.start_workflow(
        Renewed.run,
        True,
        id="r",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    assert attached.result_run_id != first.result_run_id
    await attached.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await attached.result()
    assert isinstance(caught.value.cause, CancelledError)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"id": "s", "task_queue": QUEUE, "run_timout": timedelta(1)}, "no option run_timout"),
        ({"task_queue": QUEUE}, "needs id"),
        ({}, "needs id and task_queue"),
    ],
)
async def test_a_misspelt_or_missing_option_of_a_start_is_refused(
    client: Client, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        await client.start_workflow(Sleeper.run, 1, **options)
    assert [run async for run in client.list_workflows()] == []


async def test_an_open_run_is_terminated_for_its_successor(client: Client) -> None:
    first = await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    second = await client.start_workflow(
        Sleeper.run,
        0,
        id="s",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )
    assert await second.result() == "awake"
    with pytest.raises(WorkflowFailureError) as caught:
        await first.result()
    assert isinstance(caught.value.cause, TerminatedError)


async def test_a_closed_id_is_refused_when_asked_to(client: Client) -> None:
    await client.execute_workflow(Counter.run, 0, id="c", task_queue=QUEUE)
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(
            Counter.run,
            0,
            id="c",
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )


async def test_a_repeated_request_finds_its_run(client: Client) -> None:
    runs = [
        await client.start_workflow(Counter.run, 0, id="c", task_queue=QUEUE, request_id="r1")
        for _ in range(2)
    ]
    assert [run.result_run_id for run in runs] == ["r1", "r1"]


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    handle = client.get_workflow_handle("nobody")
    for call in (handle.result(), handle.signal("x"), handle.cancel(), handle.describe()):
        with pytest.raises(RPCError) as caught:
            await call
        assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_a_bad_name_is_refused_before_anything_is_written(client: Client) -> None:
    for bad in ("", "a{b}", "a\nb", "x" * 2000):
        with pytest.raises(InvalidNameError):
            await client.start_workflow(Counter.run, 0, id=bad, task_queue=QUEUE)
    assert [run async for run in client.list_workflows()] == []


@pytest.mark.parametrize("bad", [None, 5, "\ud800", "x" * 20_001])
async def test_a_reason_that_no_history_can_hold_is_refused(client: Client, bad: Any) -> None:
    handle = await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    for act in (handle.cancel, handle.terminate):
        with pytest.raises(InvalidNameError, match="reason"):
            await act(reason=bad)
    assert await handle.status() is WorkflowExecutionStatus.RUNNING


def test_a_bad_run_id_is_refused_where_it_is_given(client: Client) -> None:
    for bad in ("", "a{b}", "\ud800"):
        for name in ("run_id", "first_execution_run_id"):
            with pytest.raises(InvalidNameError, match="run id"):
                client.get_workflow_handle("order-1", **{name: bad})


async def test_runs_are_listed_by_status(client: Client) -> None:
    await client.execute_workflow(Counter.run, 0, id="c", task_queue=QUEUE)
    await client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    running = [
        run.id async for run in client.list_workflows(status=WorkflowExecutionStatus.RUNNING)
    ]
    assert running == ["s"]
    assert {run.id async for run in client.list_workflows()} == {"c", "s"}


async def test_a_description_shows_status_notes_and_length(env: WorkflowEnvironment) -> None:
    handle = await env.client.start_workflow(
        Ordering.run, Order("x"), id="o", task_queue=QUEUE, memo={"who": "me"}
    )
    shown = await handle.describe()
    assert shown.status is WorkflowExecutionStatus.RUNNING
    assert await shown.memo() == {"who": "me"}
    assert (shown.history_length, list(shown.pending_activities)) == (1, [])


async def test_a_description_shows_the_activities_that_are_pending(
    env: WorkflowEnvironment,
) -> None:
    async with Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS):
        handle = await env.client.start_workflow(
            Ordering.run, Order("pizza"), id="o", task_queue=QUEUE
        )
        assert await handle.query(Ordering.extras) == []
        (pending,) = (await handle.describe()).pending_activities
    assert (pending.activity_type, pending.state, pending.attempt) == ("pay", "scheduled", 1)
    assert (pending.summary, pending.last_failure) == ("for pizza", None)


async def test_the_history_is_readable_in_order(client: Client) -> None:
    handle = await client.start_workflow(Counter.run, 0, id="c", task_queue=QUEUE)
    await handle.result()
    types = [event.type async for event in handle.fetch_history_events()]
    assert types == [
        "WorkflowExecutionStarted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "WorkflowExecutionCompleted",
    ]


async def test_a_wait_for_a_result_has_a_time_out(env: WorkflowEnvironment) -> None:
    handle = await env.client.start_workflow(Sleeper.run, 1, id="s", task_queue="nobody")
    with pytest.raises(RPCError) as caught:
        await handle.result(rpc_timeout=timedelta(milliseconds=20))
    assert caught.value.status is RPCStatusCode.DEADLINE_EXCEEDED


async def test_a_start_message_is_done_by_any_worker(client: Client) -> None:
    start = {"workflow_id": "m", "workflow_type": "Counter", "task_queue": QUEUE, "input": [2]}
    message = json.dumps({"type": "start", **start}).encode()
    answer = await client.services.broker.request(RequestsQueue(), message, timeout_ms=5_000)
    assert json.loads(answer)["type"] == "started"
    assert await client.get_workflow_handle("m").result() == "done"


async def test_a_query_sees_the_signals_before_it_and_answers_after_the_end(
    client: Client,
) -> None:
    handle = await client.start_workflow(
        Ordering.run, Order("pizza"), id="order-1", task_queue=QUEUE
    )
    await handle.signal(Ordering.add, "cola")
    assert await handle.query(Ordering.extras) == ["cola"]
    await handle.signal(Ordering.finish)
    await handle.result()
    assert await handle.query("extras") == ["cola"]
    with pytest.raises(WorkflowQueryRejectedError, match="COMPLETED"):
        await handle.query("extras", reject_condition=QueryRejectCondition.NOT_OPEN)
    with pytest.raises(WorkflowQueryFailedError, match="extras"):
        await handle.query("unknown")


async def test_a_query_of_a_worker_that_is_gone_is_answered_by_another(
    env: WorkflowEnvironment,
) -> None:
    def worker() -> Worker:
        return Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES)

    async with worker():
        handle = await env.client.start_workflow(
            Ordering.run, Order("pizza"), id="order-1", task_queue=QUEUE
        )
        assert await handle.query(Ordering.extras) == []
    async with worker():
        assert await handle.query(Ordering.extras) == []


async def test_a_query_without_a_worker_says_so(env: WorkflowEnvironment) -> None:
    handle = await env.client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    with pytest.raises(RPCError, match="is one running") as caught:
        await handle.query("x", rpc_timeout=timedelta(milliseconds=30))
    assert caught.value.status is RPCStatusCode.DEADLINE_EXCEEDED


async def test_a_query_before_the_first_worker_is_answered_once_that_is_there(
    env: WorkflowEnvironment,
) -> None:
    handle = await env.client.start_workflow(Sleeper.run, 1, id="s", task_queue=QUEUE)
    asking = asyncio.create_task(handle.query("__stack_trace", rpc_timeout=timedelta(minutes=2)))
    await asyncio.sleep(0)
    async with Worker(env.client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES):
        await env.sleep(1)
        assert "sleep" in await asking


async def test_a_fetched_history_survives_json_and_replays(client: Client) -> None:
    handle = await client.start_workflow(
        Ordering.run, Order("pizza"), id="order-1", task_queue=QUEUE, start_signal="finish"
    )
    await handle.result()
    history = await handle.fetch_history()
    copy = WorkflowHistory.from_json("order-1", history.to_json())
    assert list(copy.events) == list(history.events)
    result = await Replayer(workflows=WORKFLOWS).replay_workflow(copy)
    assert result.replay_failure is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"id": "a", "task_queue": QUEUE, "run_timeout": 5}, "expected a timedelta"),
        ({"id": "a", "task_queue": QUEUE, "args": "abc"}, "expected a list of arguments"),
    ],
)
async def test_a_value_that_can_hardly_be_meant_is_refused(
    client: Client, options: dict[str, object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        await client.start_workflow("Sleeper", **options)  # type: ignore[call-overload]  # a user's slip


async def test_an_empty_id_is_not_replaced_by_one_that_is_made_up(client: Client) -> None:
    for empty in ({"id": ""}, {"id": "a", "request_id": ""}):
        with pytest.raises(InvalidNameError):
            await client.start_workflow(Sleeper.run, 1, task_queue=QUEUE, **empty)
