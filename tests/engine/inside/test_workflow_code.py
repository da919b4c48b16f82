"""What workflow code has, by workers that replay every task from its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.client import Client, WorkflowFailureError, WorkflowHandle
from orchestrator.common import Priority
from orchestrator.exceptions import ApplicationError, CancelledError, RPCError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import PatchActivationInput, Worker
from tests.engine.inside.workflows import (
    ACTIVITIES,
    QUEUE,
    WORKFLOWS,
    Basket,
    Before,
    Broken,
    Careless,
    Concurrent,
    Drawing,
    Failing,
    Leaving,
    Noting,
    Patched,
    Renewing,
    Settled,
    Urgent,
)


def worker(
    client: Client,
    *workflows: type,
    patch_activation_callback: Callable[[PatchActivationInput], bool] | None = None,
) -> Worker:
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=workflows,
        activities=ACTIVITIES,
        max_cached_workflows=0,
        patch_activation_callback=patch_activation_callback,
    )


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with worker(env.client, *WORKFLOWS):
        yield env.client


async def test_handlers_of_the_first_task_find_what_the_constructor_made(client: Client) -> None:
    run = client.execute_workflow(
        Basket.run,
        ["pizza"],
        id="b",
        task_queue=QUEUE,
        start_signal="add",
        start_signal_args=["cola"],
    )
    assert await run == ["pizza", "cola"]


async def test_signals_wait_for_a_handler_that_is_set_later(client: Client) -> None:
    handle = await client.start_workflow(Settled.run, id="s", task_queue=QUEUE)
    for text in "ab":
        await handle.signal("note", text)
    await handle.signal(Settled.go)
    assert await handle.query("notes") == ["a", "b"]
    assert await handle.execute_update("change", "c", result_type=int) == 3
    await handle.signal("note", "end")
    assert await handle.result() == ["a", "b", "c", "end"]


async def test_time_chance_and_ids_are_the_same_for_every_worker(client: Client) -> None:
    handle = await client.start_workflow(Drawing.run, id="d", task_queue=QUEUE)
    await handle.signal(Drawing.end)
    drawn = await handle.result()
    assert await handle.query(Drawing.draws) == drawn
    assert drawn[1::2] == [True] * 3
    assert len({str(one) for one in drawn[::2]}) == 3


async def test_what_asyncio_has_waits_for_timers_and_activities(client: Client) -> None:
    run = client.execute_workflow(Concurrent.run, id="c", task_queue=QUEUE)
    assert await run == ["a", "b", "c", "d", "late", "late", "kept", True]


async def test_a_successor_has_what_is_given_and_inherits_the_rest(client: Client) -> None:
    run = client.execute_workflow(
        Renewing.run, 2, id="r", task_queue=QUEUE, memo={"round": 0, "mine": "x"}
    )
    assert await run == [7, {"round": 1, "last": True}, True, True]


async def test_an_end_that_leaves_a_handler_warns_and_one_that_waits_does_not(
    client: Client, recwarn: pytest.WarningsRecorder
) -> None:
    for waits in (True, False):
        run = client.execute_workflow(
            Leaving.run, waits, id=f"l-{waits}", task_queue=QUEUE, start_signal="doze"
        )
        assert await run is waits
    unfinished = [
        one for one in recwarn if issubclass(one.category, workflow.UnfinishedSignalHandlersWarning)
    ]
    assert len(unfinished) == 1


async def deployed(env: WorkflowEnvironment, id: str = "d") -> WorkflowHandle[Any, str]:
    """A run that waits in the old code; its worker is gone."""
    async with worker(env.client, Before):
        handle = await env.client.start_workflow(Before.run, id=id, task_queue=QUEUE)
        assert await handle.query(Before.there)
        await until_timer_fired(env, handle)
    return handle


async def until_timer_fired(env: WorkflowEnvironment, handle: WorkflowHandle[Any, str]) -> None:
    for _ in range(100_000):
        if (await handle.describe()).history_length > 7:
            return
        await env.sleep(0.01)
    raise AssertionError("the timer does not fire")


async def until_problem(handle: WorkflowHandle[Any, str]) -> str:
    """Why the run is stuck, once it is."""
    for _ in range(100_000):
        problem = (await handle.describe()).problem
        if problem is not None:
            return problem
        await asyncio.sleep(0.001)
    raise AssertionError("it is not stuck")


async def test_a_patch_lets_old_runs_go_the_old_way_and_new_ones_the_new(
    env: WorkflowEnvironment,
) -> None:
    old = await deployed(env)
    async with worker(env.client, Patched):
        new = await env.client.start_workflow(Before.run, id="new", task_queue=QUEUE)
        for handle in (old, new):
            await handle.signal(Before.end)
        assert [await old.result(), await new.result()] == ["the old way", "the new way"]


async def test_a_worker_may_hold_a_patch_back_until_all_workers_know_it(
    env: WorkflowEnvironment,
) -> None:
    asked: list[tuple[str, str]] = []

    def not_yet(input: PatchActivationInput) -> bool:
        asked.append((input.workflow_info.workflow_id, input.patch_id))
        return False

    old = await deployed(env)
    async with worker(env.client, Patched, patch_activation_callback=not_yet):
        held = await env.client.start_workflow(Before.run, id="held", task_queue=QUEUE)
        assert await held.query(Before.there)
    async with worker(env.client, Before):  # Code that does not know the patch goes on with it.
        assert await held.query(Before.there)
    async with worker(env.client, Patched):
        new = await env.client.start_workflow(Before.run, id="new", task_queue=QUEUE)
        for handle in (old, held, new):
            await handle.signal(Before.end)
        ways = [await handle.result() for handle in (old, held, new)]
    assert ways == ["the old way", "the old way", "the new way"]
    assert set(asked) == {("held", "no timer")}
    events = (await held.fetch_history()).events
    assert not [event for event in events if type(event.attributes).__name__ == "MarkerRecorded"]


async def test_a_patch_that_history_has_is_taken_whatever_the_worker_says_now(
    env: WorkflowEnvironment,
) -> None:
    async with worker(env.client, Patched, patch_activation_callback=lambda input: True):
        handle = await env.client.start_workflow(Before.run, id="p", task_queue=QUEUE)
        assert await handle.query(Before.there)
    async with worker(env.client, Patched, patch_activation_callback=lambda input: False):
        await handle.signal(Before.end)
        assert await handle.result() == "the new way"


async def test_a_patch_callback_that_fails_stalls_the_run_and_decides_nothing(
    env: WorkflowEnvironment,
) -> None:
    def fails(input: PatchActivationInput) -> bool:
        raise LookupError("no flags today")

    async with worker(env.client, Patched, patch_activation_callback=fails):
        handle = await env.client.start_workflow(Before.run, id="p", task_queue=QUEUE)
        assert "no flags today" in await until_problem(handle)
    async with worker(env.client, Patched):
        await handle.resume()
        await handle.signal(Before.end)
        assert await handle.result() == "the new way"


async def test_code_that_does_not_fit_stalls_its_runs_until_the_right_one_is_back(
    env: WorkflowEnvironment,
) -> None:
    handle = await deployed(env)
    async with worker(env.client, Careless):
        await handle.signal(Before.end)
        problem = await until_problem(handle)
    assert "TimerStarted" in problem
    assert "ScheduleActivityTask 'echo'" in problem
    async with worker(env.client, Before):
        await handle.resume()
        assert await handle.result() == "the old way"


async def test_a_bug_stalls_a_run_until_it_is_mended(env: WorkflowEnvironment) -> None:
    handle = await deployed(env)
    async with worker(env.client, Broken):
        await handle.signal(Before.end)
        assert "a bug" in await until_problem(handle)
    async with worker(env.client, Before):
        await handle.resume()
        assert await handle.result() == "the old way"


async def test_failures_fail_a_run_and_so_does_what_its_definition_names(client: Client) -> None:
    causes: list[Any] = []  # Any: failures
    for kind in ("own", "lookup"):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(Failing.run, kind, id=kind, task_queue=QUEUE)
        causes.append(caught.value.cause)
    own, lookup = causes
    assert (own.type, own.message, list(own.details)) == ("Own", "it failed", ["detail"])
    assert isinstance(own.cause, ApplicationError)
    assert (own.cause.type, own.cause.message) == ("ValueError", "the reason")
    assert lookup.type == "KeyError"


async def test_notes_are_changed_removed_and_shown(client: Client) -> None:
    handle = await client.start_workflow(
        Noting.run, id="n", task_queue=QUEUE, memo={"old": 1, "kept": 2}
    )
    await handle.signal(Noting.end)
    assert await handle.result() == [{"kept": 2, "new": [1, 2]}, "gone"]
    assert await (await handle.describe()).memo() == {"kept": 2, "new": [1, 2]}


async def test_activities_inherit_the_priority_of_their_run_part_by_part(client: Client) -> None:
    run = client.execute_workflow(
        Urgent.run, id="u", task_queue=QUEUE, priority=Priority(priority_key=1, fairness_key="shop")
    )
    assert await run == [[1, "shop"], [5, "shop"]]


async def test_the_stack_tells_where_a_run_waits(client: Client) -> None:
    handle = await client.start_workflow(Settled.run, id="s", task_queue=QUEUE)
    assert "wait_condition" in await handle.query("__stack_trace")
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    with pytest.raises(RPCError):
        await handle.cancel()
