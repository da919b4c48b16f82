"""Interceptors stand around every call, in the order given, and change what passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from orchestrator.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from orchestrator.common import WorkflowIDConflictPolicy
from orchestrator.exceptions import ActivityError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Interceptor, Worker
from tests.engine.conftest import OpenEnv
from tests.engine.interceptors.watched import (
    ACTIVITIES,
    QUEUE,
    WORKFLOWS,
    Hop,
    Parent,
    Talk,
    WaitingInQueries,
    Watching,
)


@pytest.fixture
def environment(open_env: OpenEnv) -> OpenEnv:
    """Opens environments with links around the client, and a worker that has `more` beside."""

    @asynccontextmanager
    async def opening(
        *links: Watching, more: Sequence[Interceptor] = ()
    ) -> AsyncIterator[WorkflowEnvironment]:
        with ThreadPoolExecutor(100) as threads:
            async with (
                open_env(interceptors=links) as env,
                Worker(
                    env.client,
                    task_queue=QUEUE,
                    workflows=WORKFLOWS,
                    activities=ACTIVITIES,
                    activity_executor=threads,
                    interceptors=more,
                ),
            ):
                yield env

    return opening


async def test_every_call_passes_each_link_outermost_first(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen), Watching("b", seen)) as env:
        handle = await env.client.start_workflow(Talk.run, "Ada", id="t", task_queue=QUEUE)
        await handle.signal("any", 1)
        assert await handle.result() == ["greet Ada!!", "any"]
        assert await handle.query(Talk.count, 5) == 5
    assert seen[:2] == ["a start Talk t on watched", "b start Talk t on watched"]
    assert seen[2:4] == ["a signal any [1]", "b signal any [1]"]
    inside = [line for line in seen if line.split(" ", 2)[1] in ("run", "handle", "ask")]
    inwards = ["handle signal any [b'1']", "run Talk ['Ada'] a,b", "handle query count [5]"]
    outwards = ["ask for greet ['Ada']"]  # what is asked for passes the innermost link first
    assert sorted(inside) == sorted(f"{link} {x}" for x in (*inwards, *outwards) for link in "ab")
    assert all(inside.index(f"a {line}") < inside.index(f"b {line}") for line in inwards)
    assert all(inside.index(f"b {line}") < inside.index(f"a {line}") for line in outwards)
    assert [line for line in seen if line.split(" ", 2)[1] in ("activity", "heartbeat")] == [
        "a activity ['Ada'] a,b",
        "b activity ['Ada'] a,b",
        "b heartbeat ['alive']",
        "a heartbeat ['alive', 'b']",
        "b activity info",
        "a activity info",
    ]
    assert seen[-2:] == ["b query count 5", "a query count 5"]


async def test_updates_pass_with_their_validators(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen)) as env:
        handle = await env.client.start_workflow(Talk.run, "Ada", id="u", task_queue=QUEUE)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(Talk.ask, "")
        assert await handle.execute_update(Talk.ask, "why") == "why?"
        await handle.result()
    updates = [line for line in seen if "update" in line or "validate" in line]
    assert updates == [
        "a update ask ['']",
        "a validate ask ['']",
        "a update ask ['why']",
        "a validate ask ['why']",
        "a handle update ask ['why']",
    ]


async def test_an_update_that_goes_with_a_start_is_one_call(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen)) as env:
        operation = WithStartWorkflowOperation(
            Talk.run,
            args=["Ada", "greet"],
            id="w",
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        answer = await env.client.execute_update_with_start_workflow(
            Talk.ask, "now", start_workflow_operation=operation
        )
        assert answer == "now?"
        await (await operation.workflow_handle()).result()
    assert seen[0] == "a update ask with start w"


async def test_the_other_calls_of_a_handle_pass_too(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen)) as env:
        handle = env.client.get_workflow_handle("x")
        await env.client.start_workflow(Talk.run, "Ada", id="x", task_queue=QUEUE)
        await handle.describe()
        await handle.cancel()
        await handle.terminate("why")
    assert [line for line in seen if line.endswith(("x", "['why']"))] == [
        "a describe x",
        "a cancel x",
        "a terminate x ['why']",
    ]


async def test_headers_of_a_successor_are_those_that_the_code_gives(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen)) as env:
        run = env.client.execute_workflow(Hop.run, 1, id="h", task_queue=QUEUE)
        assert await run == ["continued"]
    assert "a continue with [0]" in seen
    assert seen[-1] == "a info"


async def test_children_and_other_workflows_pass_with_headers(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen)) as env:
        other = await env.client.start_workflow(Talk.run, "other", id="other", task_queue=QUEUE)
        run = env.client.execute_workflow(Parent.run, "other", id="parent", task_queue=QUEUE)
        assert await run == ["greet local!", "greet child!", "hello child"]
        assert await other.result() == ["greet other!", "hello"]
    asked = [line for line in seen if line.startswith(("a child", "a local", "a signal"))]
    assert asked == [
        "a local greet ['local']",
        "a child Talk child ['child', 'greet']",
        "a signal child child say ['hello child']",
        "a signal other other say ['hello']",
    ]
    assert "a run Talk ['child', 'greet'] a" in seen
    assert "a activity ['local'] a" in seen


async def test_what_a_sync_activity_raises_is_seen_as_it_is(environment: OpenEnv) -> None:
    seen: list[str] = []
    async with environment(Watching("a", seen)) as env:
        handle = await env.client.start_workflow(
            Talk.run, args=["nobody", "greet_in_a_thread"], id="s", task_queue=QUEUE
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, ActivityError)
        assert "nobody" in str(failed.value.cause.cause)
    assert "a activity raised LookupError" in seen


async def test_what_a_sync_activity_returns_may_be_changed(environment: OpenEnv) -> None:
    async with environment(Watching("a", [])) as env:
        handle = await env.client.start_workflow(
            Talk.run, args=["Ada", "greet_in_a_thread"], id="s", task_queue=QUEUE
        )
        await handle.signal(Talk.say, "hm")
        assert await handle.result() == ["thread Ada!", "hm"]


async def test_an_activity_may_still_be_completed_from_outside(environment: OpenEnv) -> None:
    async with environment(Watching("a", [])) as env:
        handle = await env.client.start_workflow(
            Talk.run, args=["Ada", "leave"], id="o", task_queue=QUEUE
        )
        await handle.signal(Talk.say, "hm")
        await env.sleep(1)
        outside = env.client.get_async_activity_handle(workflow_id="o", activity_id="1")
        await outside.complete("from outside")
        assert await handle.result() == ["from outside", "hm"]


async def test_an_interceptor_of_a_query_must_not_wait(environment: OpenEnv) -> None:
    async with environment(more=[WaitingInQueries()]) as env:
        handle = await env.client.start_workflow(Talk.run, "Ada", id="q", task_queue=QUEUE)
        await handle.signal(Talk.say, "hm")
        await handle.result()
        with pytest.raises(WorkflowQueryFailedError, match="must not wait"):
            await handle.query(Talk.count, 1)


async def test_without_interceptors_there_is_no_chain(environment: OpenEnv) -> None:
    async with environment() as env:
        assert env.client.outbound is None
        assert Client(env.client.services).outbound is None
