"""What a client can do with updates, on the embedded engine; each history is replayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orchestrator import activity, workflow
from orchestrator.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowContinuedAsNewError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from orchestrator.common import WorkflowIDConflictPolicy
from orchestrator.converter import DataConverter
from orchestrator.core.transition import Transition
from orchestrator.exceptions import ApplicationError, RPCError, RPCStatusCode
from orchestrator.ids import WorkflowId
from orchestrator.testing import WorkflowEnvironment
from orchestrator.wire.inbox import UpdateReceived
from orchestrator.worker import Worker
from tests.engine.conftest import OpenEnv
from tests.unit.converter.coded import ReversingCodec

QUEUE = "updates"
ACCEPTED, COMPLETED = WorkflowUpdateStage.ACCEPTED, WorkflowUpdateStage.COMPLETED


@workflow.defn
class Cart:
    """Takes items until it is told how to end."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.end = ""

    @workflow.run
    async def run(self, generation: int) -> list[str]:
        await workflow.wait_condition(lambda: bool(self.end))
        if self.end == "again":
            workflow.continue_as_new(generation + 1)
        if self.end == "wait":
            await workflow.wait_condition(workflow.all_handlers_finished)
        return self.items

    @workflow.update
    async def add(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)

    @add.validator
    def has_room(self, item: str) -> None:
        if len(self.items) >= 2:
            raise ApplicationError(f"no room for {item}", type="Full")

    @workflow.update
    async def fetch(self, item: str) -> str:
        return await workflow.execute_activity(
            fetch, item, start_to_close_timeout=timedelta(seconds=10)
        )

    @workflow.update
    async def stay(self) -> None:
        await asyncio.Event().wait()

    @workflow.update
    async def nap(self) -> str:
        await workflow.sleep(timedelta(days=1))
        return "rested"

    @workflow.update
    async def both(self, first: str, second: int) -> str:
        return first * second

    @workflow.update
    def close(self, how: str) -> str:
        self.end = how
        return f"closing: {how}"

    @workflow.signal
    def finish(self, how: str) -> None:
        self.end = how


@activity.defn
async def fetch(item: str) -> str:
    if item == "nothing":
        raise ApplicationError("sold out", non_retryable=True)
    return f"{item} fetched"


def worker_of(env: WorkflowEnvironment) -> Worker:
    return Worker(env.client, task_queue=QUEUE, workflows=[Cart], activities=[fetch])


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A client whose workflows have a worker."""
    async with worker_of(env):
        yield env.client


async def started(client: Client) -> WorkflowHandle[Cart, list[str]]:
    return await client.start_workflow(Cart.run, 1, id="cart", task_queue=QUEUE)


async def types(handle: WorkflowHandle[Cart, list[str]]) -> list[str]:
    """The updates' events of the history."""
    return [event.type async for event in handle.fetch_history_events() if "Update" in event.type]


async def test_an_update_returns_a_typed_result(client: Client) -> None:
    handle = await started(client)
    count: int = await handle.execute_update(Cart.add, "cola")
    assert count == 1
    assert await handle.execute_update(Cart.fetch, "pizza") == "pizza fetched"
    assert await handle.execute_update(Cart.both, args=["ab", 2]) == "abab"
    assert await handle.execute_update("add", "tea", result_type=int) == 2
    await handle.signal(Cart.finish, "end")
    assert await handle.result() == ["cola", "tea"]


async def test_a_rejected_update_fails_and_leaves_no_trace_in_the_history(client: Client) -> None:
    handle = await started(client)
    for item in ("cola", "tea"):
        await handle.execute_update(Cart.add, item)
    length = (await handle.describe()).history_length
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(Cart.add, "juice")
    assert isinstance(caught.value.cause, ApplicationError)
    assert (caught.value.cause.type, caught.value.cause.message) == ("Full", "no room for juice")
    assert (await handle.describe()).history_length == length


async def test_a_rejected_id_may_be_used_again(client: Client) -> None:
    handle = await started(client)
    for item in ("cola", "tea"):
        await handle.execute_update(Cart.add, item)
    for _ in range(2):
        rejected = await handle.start_update(Cart.add, "juice", id="u1", wait_for_stage=ACCEPTED)
        with pytest.raises(WorkflowUpdateFailedError, match="no room"):
            await rejected.result()
    assert await handle.execute_update(Cart.fetch, "juice", id="u1") == "juice fetched"


async def test_a_handler_s_failure_is_the_update_s(client: Client) -> None:
    handle = await started(client)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(Cart.fetch, "nothing")
    assert "sold out" in str(caught.value.cause.__cause__)  # type: ignore[union-attr]  # has one
    assert await handle.execute_update(Cart.add, "cola") == 1


async def test_an_unknown_update_is_rejected_with_the_names_there_are(client: Client) -> None:
    handle = await started(client)
    with pytest.raises(WorkflowUpdateFailedError, match="known: add, both, close"):
        await handle.execute_update("unknown")


async def test_an_accepted_update_is_waited_for_apart(client: Client) -> None:
    handle = await started(client)
    update = await handle.start_update(Cart.fetch, "pizza", wait_for_stage=ACCEPTED)
    assert (update.workflow_id, update.workflow_run_id) == ("cart", handle.result_run_id)
    assert await update.result() == "pizza fetched"
    again = handle.get_update_handle_for(Cart.fetch, update.id)
    assert await again.result() == "pizza fetched"
    assert await handle.get_update_handle(update.id, result_type=str).result() == "pizza fetched"
    done = await handle.start_update(Cart.add, "cola", wait_for_stage=COMPLETED)
    assert await done.result() == 1


async def test_nobody_can_wait_for_an_update_to_be_admitted(client: Client) -> None:
    handle = await started(client)
    with pytest.raises(ValueError, match="ADMITTED"):
        await handle.start_update(Cart.add, "cola", wait_for_stage=WorkflowUpdateStage.ADMITTED)


async def test_the_same_id_twice_gives_one_effect_and_one_outcome(client: Client) -> None:
    handle = await started(client)
    both = await asyncio.gather(
        *(handle.execute_update(Cart.add, item, id="u1") for item in ("cola", "tea"))
    )
    assert both == [1, 1]
    assert await handle.execute_update(Cart.add, "juice", id="u1") == 1
    assert len(await types(handle)) == 2


async def test_an_update_of_a_closed_run_is_not_found_unless_it_is_completed(
    client: Client,
) -> None:
    handle = await started(client)
    await handle.execute_update(Cart.add, "cola", id="u1")
    await handle.signal(Cart.finish, "end")
    await handle.result()
    assert await handle.execute_update(Cart.add, "cola", id="u1") == 1
    for call in (
        handle.execute_update(Cart.add, "tea", id="u2"),
        handle.execute_update(Cart.add, "tea"),
        handle.get_update_handle("u2").result(),
        client.get_workflow_handle("nobody").execute_update("add"),
        client.get_workflow_handle("nobody").get_update_handle("u1").result(),
    ):
        with pytest.raises(RPCError) as caught:
            await call
        assert caught.value.status is RPCStatusCode.NOT_FOUND


@pytest.mark.parametrize("how", ["end", "again", "terminate"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_a_run_that_ends_before_an_accepted_update_fails_it(client: Client, how: str) -> None:
    handle = await started(client)
    update = await handle.start_update(Cart.stay, wait_for_stage=ACCEPTED)
    waiting = asyncio.create_task(update.result())
    await asyncio.sleep(0)
    if how == "terminate":
        await handle.terminate()
    else:
        await handle.signal(Cart.finish, how)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await waiting
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "AcceptedUpdateCompletedWorkflow"


async def test_an_update_that_ends_its_run_has_an_outcome(client: Client) -> None:
    handle = await started(client)
    assert await handle.execute_update(Cart.close, "end") == "closing: end"
    assert await handle.result() == []


async def test_a_time_out_leaves_the_update_alone(env: WorkflowEnvironment) -> None:
    async with worker_of(env):
        handle = await started(env.client)
        await handle.start_update(Cart.stay, id="u1", wait_for_stage=ACCEPTED)
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await handle.execute_update(Cart.stay, id="u1", rpc_timeout=timedelta(milliseconds=30))
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await handle.get_update_handle("u1").result(rpc_timeout=timedelta(milliseconds=30))
    assert await types(handle) == ["WorkflowExecutionUpdateAccepted"]


async def test_a_caller_that_is_cancelled_hears_so_in_temporal_s_words(client: Client) -> None:
    handle = await started(client)
    call = asyncio.create_task(handle.execute_update(Cart.stay))
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await call


async def test_an_update_waits_until_there_is_a_worker(env: WorkflowEnvironment) -> None:
    handle = await started(env.client)
    call = asyncio.create_task(handle.execute_update(Cart.add, "cola"))
    await asyncio.sleep(0.02)
    assert not call.done()
    async with worker_of(env):
        assert await call == 1


async def test_an_update_that_nobody_looked_at_is_not_found_when_its_run_is_terminated(
    env: WorkflowEnvironment,
) -> None:
    handle = await started(env.client)
    call = asyncio.create_task(handle.execute_update(Cart.add, "cola"))
    await until_unread(env.client, 1)
    await handle.terminate()
    with pytest.raises(RPCError, match="ended \\(terminated\\) before it accepted") as caught:
        await call
    assert caught.value.status is RPCStatusCode.NOT_FOUND


async def until_unread(client: Client, entries: int) -> None:
    """Wait until so many updates stand in the inbox of the cart."""
    for _ in range(100_000):
        synced = await client.services.store.sync(
            WorkflowId("cart"), task_timeout_ms=10_000, count_attempt=False
        )
        unread = [] if synced is None else synced.unread
        if sum(isinstance(entry.body, UpdateReceived) for entry in unread) >= entries:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the updates do not come")


def call_before_the_end(
    client: Client, monkeypatch: pytest.MonkeyPatch, *handles: WorkflowHandle[Cart, list[str]]
) -> list[asyncio.Task[int]]:
    """Send updates when the code has decided to end its run, before that is written."""
    store, calls = client.services.store, list[asyncio.Task[int]]()
    commit = store.commit

    async def late(transition: Transition) -> object:
        if transition.close is not None and not calls:
            calls.extend(
                asyncio.create_task(handle.execute_update(Cart.add, "cola")) for handle in handles
            )
            await until_unread(client, len(handles))
        return await commit(transition)

    monkeypatch.setattr(store, "commit", late)
    return calls


async def test_an_update_that_a_run_has_not_seen_goes_on_to_its_successor_unless_it_was_for_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await started(client)
    first = await handle.execute_update(Cart.add, "tea")
    pinned = client.get_workflow_handle_for(Cart.run, "cart", run_id=handle.result_run_id)
    calls = call_before_the_end(client, monkeypatch, handle, pinned)
    await handle.signal(Cart.finish, "again")
    with pytest.raises(WorkflowContinuedAsNewError):
        await handle.result(follow_runs=False)
    assert (first, await calls[0]) == (1, 1)
    with pytest.raises(RPCError, match="continued_as_new") as caught:
        await calls[1]
    assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_a_run_does_not_end_before_it_has_seen_its_updates(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await started(client)
    calls = call_before_the_end(client, monkeypatch, handle)
    await handle.signal(Cart.finish, "end")
    assert await handle.result() == ["cola"]
    assert await calls[0] == 1


@pytest.mark.memory_only("it is about skipped time")
async def test_a_handler_that_sleeps_lets_time_be_skipped(client: Client) -> None:
    handle = await started(client)
    assert await handle.execute_update(Cart.nap) == "rested"
    await handle.signal(Cart.finish, "wait")
    assert await handle.result() == []


async def test_another_chain_is_refused(client: Client) -> None:
    first = await started(client)
    await first.signal(Cart.finish, "end")
    await first.result()
    second = await started(client)
    with pytest.raises(RPCError) as caught:
        await first.execute_update(Cart.add, "cola")
    assert caught.value.status is RPCStatusCode.NOT_FOUND
    assert await second.execute_update(Cart.add, "cola") == 1


async def test_a_run_that_has_fallen_behind_refuses_updates(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory.store_runs", "redis.runs", "redis.answers"):
        monkeypatch.setattr(f"orchestrator.adapters.{module}.INBOX_ENTRIES_MAX", 2)
    handle = await started(env.client)
    await handle.signal("unknown")
    with pytest.raises(RPCError, match="2 unread entries") as caught:
        await handle.execute_update(Cart.add, "cola")
    assert caught.value.status is RPCStatusCode.RESOURCE_EXHAUSTED


async def test_a_run_with_too_many_open_updates_refuses_another(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.updates.UPDATES_OPEN_MAX", 2)
    handle = await started(client)
    for _ in range(2):
        await handle.start_update(Cart.stay, wait_for_stage=ACCEPTED)
    with pytest.raises(RPCError, match="updates are open") as caught:
        await handle.execute_update(Cart.add, "cola")
    assert caught.value.status is RPCStatusCode.RESOURCE_EXHAUSTED


async def test_an_update_wakes_a_run_whose_start_was_delayed(client: Client) -> None:
    handle = await client.start_workflow(
        Cart.run, 1, id="late", task_queue=QUEUE, start_delay=timedelta(days=1)
    )
    assert await handle.execute_update(Cart.add, "cola") == 1


async def test_what_an_update_carries_is_stored_as_the_codec_made_it(open_env: OpenEnv) -> None:
    values = DataConverter(payload_codec=ReversingCodec())
    async with open_env(data_converter=values) as env:
        async with worker_of(env):
            handle = await started(env.client)
            assert await handle.execute_update(Cart.fetch, "pizza") == "pizza fetched"
            for item in ("cola", "tea"):
                await handle.execute_update(Cart.add, item)
            with pytest.raises(WorkflowUpdateFailedError, match="no room for juice"):
                await handle.execute_update(Cart.add, "juice")
            operation = WithStartWorkflowOperation(
                Cart.run,
                1,
                id="cart",
                task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
            assert (
                await env.client.execute_update_with_start_workflow(
                    Cart.both, args=["ab", 2], start_workflow_operation=operation
                )
                == "abab"
            )
        stored = (await handle.fetch_history()).to_json()
        assert not [word for word in ("pizza", "cola", "abab") if word in stored]
