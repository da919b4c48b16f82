"""Search attributes, memo and summaries from a client's side: given, changed, described, found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.client import Client, WorkflowExecutionStatus
from orchestrator.common import (
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from orchestrator.exceptions import ApplicationError, InvalidSearchAttributeError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Worker

CITY = SearchAttributeKey.for_keyword("City")
STEP = SearchAttributeKey.for_int("Step")
NOTE = SearchAttributeKey.for_text("Note")


def where(*pairs: SearchAttributePair[Any]) -> TypedSearchAttributes:
    return TypedSearchAttributes(list(pairs))


ROME, OSLO = SearchAttributePair(CITY, "Rome"), SearchAttributePair(CITY, "Oslo")


@workflow.defn
class Travelling:
    def __init__(self) -> None:
        self.arrived = False

    @workflow.signal
    def arrive(self) -> None:
        self.arrived = True

    @workflow.run
    async def run(self, to: str) -> str:
        workflow.set_current_details(f"going to **{to}**")
        await workflow.wait_condition(lambda: self.arrived)
        await workflow.sleep(timedelta(milliseconds=1), summary="the way home")
        workflow.upsert_search_attributes([CITY.value_set(to), STEP.value_set(2)])
        workflow.upsert_memo({"from": None, "to": to})
        if workflow.patched("tell"):
            await asyncio.sleep(0.001)
        return to


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    worker = Worker(env.client, task_queue="q", workflows=[Travelling], build_id="7")
    async with worker:
        yield env.client


async def travel(client: Client, id: str = "t", **options: Any) -> Any:
    return await client.start_workflow(
        Travelling.run,
        "Oslo",
        id=id,
        task_queue="q",
        search_attributes=where(ROME),
        memo={"from": "Rome"},
        **options,
    )


async def ids(client: Client, **wanted: Any) -> set[str]:
    return {run.id async for run in client.list_workflows(**wanted)}


async def test_a_run_is_found_where_it_is_now(client: Client, env: WorkflowEnvironment) -> None:
    handle = await travel(client)
    assert await ids(client, search_attributes=where(ROME)) == {"t"}
    await handle.signal(Travelling.arrive)
    assert await handle.result() == "Oslo"
    assert await ids(client, search_attributes=where(ROME)) == set()
    done = WorkflowExecutionStatus.COMPLETED
    both = where(OSLO, SearchAttributePair(STEP, 2))
    assert await ids(client, search_attributes=both, status=done) == {"t"}
    change = SearchAttributeKey.for_keyword_list("TemporalChangeVersion")
    (run,) = [run async for run in client.list_workflows()]
    assert run.typed_search_attributes[change] == ["tell"]
    history = await handle.fetch_history()
    builds = {getattr(event.attributes, "build_id", None) for event in history.events}
    assert builds == {None, "7"}


async def test_a_description_shows_what_was_given_and_what_has_changed(
    client: Client, env: WorkflowEnvironment
) -> None:
    handle = await travel(
        client,
        static_summary="a trip",
        static_details="by *train*",
        priority=Priority(priority_key=1, fairness_key="shop"),
    )
    before = await handle.describe()
    assert await before.memo() == {"from": "Rome"}
    assert (await before.static_summary(), await before.static_details()) == (
        "a trip",
        "by *train*",
    )
    assert before.priority == Priority(priority_key=1, fairness_key="shop")
    assert before.typed_search_attributes[CITY] == "Rome"
    metadata = await handle.query("__temporal_workflow_metadata")
    assert metadata["currentDetails"] == "going to **Oslo**"
    await handle.signal(Travelling.arrive)
    await handle.result()
    after = await handle.describe()
    assert await after.memo() == {"to": "Oslo"}
    assert after.typed_search_attributes[CITY] == "Oslo"


@workflow.defn
class Moving:
    """Goes to Oslo with other notes, and is then another run: by itself, or for it fails."""

    @workflow.run
    async def run(self, how: str) -> None:
        if how == "wait":
            await workflow.wait_condition(lambda: False)
        workflow.upsert_search_attributes([CITY.value_set("Oslo"), STEP.value_set(2)])
        workflow.upsert_memo({"from": None, "to": "Oslo"})
        if how == "continue":
            workflow.continue_as_new("wait")
        if workflow.info().attempt == 1:
            raise ApplicationError("again")
        await workflow.wait_condition(lambda: False)


@pytest.mark.parametrize(("how", "retries"), [("continue", None), ("fail", 2)])
async def test_a_successor_shows_what_its_run_has_now(
    env: WorkflowEnvironment, how: str, retries: int | None
) -> None:
    policy = retries and RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=2)
    async with Worker(env.client, task_queue="q", workflows=[Moving]):
        first = await env.client.start_workflow(
            Moving.run,
            how,
            id="t",
            task_queue="q",
            search_attributes=where(ROME),
            memo={"from": "Rome"},
            retry_policy=policy or None,
        )
        began = first.first_execution_run_id
        newest = env.client.get_workflow_handle("t")
        for _ in range(10_000):
            shown = await newest.describe()
            if shown.run_id != began and STEP in shown.typed_search_attributes:
                break
            await env.sleep(0.1)
        shown = await newest.describe()
        assert shown.run_id != began
        assert await shown.memo() == {"to": "Oslo"}
        assert shown.typed_search_attributes[CITY] == "Oslo"
        running = WorkflowExecutionStatus.RUNNING
        (listed,) = [run async for run in env.client.list_workflows(status=running)]
        assert listed.typed_search_attributes[CITY] == "Oslo"
        before = await env.client.get_workflow_handle("t", run_id=began).describe()
        assert await before.memo() == {"to": "Oslo"}
        assert before.typed_search_attributes[CITY] == "Oslo"
        await newest.terminate()


async def test_counts_and_listings_take_the_same_filters(client: Client) -> None:
    for number in range(3):
        await travel(client, id=f"t{number}")
    await client.get_workflow_handle("t1").terminate()
    running, ended = WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.TERMINATED
    counts = await client.count_workflows(search_attributes=where(ROME))
    assert (counts[running], counts[ended]) == (2, 1)
    counts = await client.count_workflows(status=running, workflow_type="Travelling")
    assert (counts[running], counts[ended]) == (2, 0)
    far = datetime(2000, 1, 1, tzinfo=UTC)
    assert await ids(client, started_before=far) == set()
    assert await ids(client, started_from=far, search_attributes=where(ROME)) == {"t0", "t1", "t2"}
    assert len([run async for run in client.list_workflows(limit=2)]) == 2


async def test_what_cannot_be_looked_up_is_refused(client: Client) -> None:
    with pytest.raises(InvalidSearchAttributeError, match="text cannot be looked up"):
        await ids(client, search_attributes=where(SearchAttributePair(NOTE, "x")))
    with pytest.raises(InvalidSearchAttributeError, match="whole number"):
        await client.count_workflows(search_attributes=where(SearchAttributePair(STEP, 1.5)))
    with pytest.raises(TypeError, match="no option statuz"):
        await ids(client, statuz=1)
    reserved = where(SearchAttributePair(SearchAttributeKey.for_keyword("WorkflowId"), "x"))
    with pytest.raises(InvalidSearchAttributeError, match="reserved"):
        await client.start_workflow("T", id="x", task_queue="q", search_attributes=reserved)
