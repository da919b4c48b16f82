"""Updates on real servers: one effect each, whatever is killed; every history is replayed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import redis.asyncio

from orchestrator import workflow
from orchestrator.adapters.redis import acl
from orchestrator.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from orchestrator.common import WorkflowIDConflictPolicy
from orchestrator.exceptions import ApplicationError, RPCError, RPCStatusCode
from orchestrator.ids import Namespace
from orchestrator.worker import Replayer, Worker
from tests.integration.programs import Program, run

pytestmark = pytest.mark.servers

_APP = '''
"""An app whose updates can be waited for."""
import asyncio, os
from datetime import timedelta
from pathlib import Path
from orchestrator import activity, workflow
from orchestrator.exceptions import ApplicationError

@activity.defn
async def fetch(item: str) -> str:
    with Path("fetched").open("a") as book:
        book.write(f"{os.getpid()}\\n")
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    return f"{item} fetched"

@workflow.defn
class Cart:
    def __init__(self) -> None:
        self.items: list = []
        self.closed = False

    @workflow.run
    async def run(self) -> list:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.items

    @workflow.update
    async def fetch(self, item: str) -> str:
        got = await workflow.execute_activity(
            fetch, item, start_to_close_timeout=timedelta(seconds=60))
        self.items.append(got)
        return got

    @workflow.update
    def add(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)

    @add.validator
    def known(self, item: str) -> None:
        if item == "salad":
            raise ApplicationError("out of salad", type="SoldOut")

    @workflow.signal
    def close(self, item: str = "") -> None:
        if item:
            self.items.append(item)
        self.closed = True

task_queue = "carts"
workflows = [Cart]
activities = [fetch]
'''


@workflow.defn(name="Cart")
class Till:
    """A cart that is served by the test's own process."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.end = ""

    @workflow.run
    async def run(self, generation: int) -> list[str]:
        await workflow.wait_condition(lambda: bool(self.end))
        if self.end == "again":
            workflow.continue_as_new(generation + 1)
        return self.items

    @workflow.update
    def add(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)

    @add.validator
    def known(self, item: str) -> None:
        if item == "salad":
            raise ApplicationError("out of salad", type="SoldOut")

    @workflow.update
    async def stay(self) -> None:
        await asyncio.Event().wait()

    @workflow.signal
    def finish(self, how: str) -> None:
        self.end = how


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current folder of the programs, with an app in it."""
    (tmp_path / "carts.py").write_text(_APP)
    return tmp_path


async def replays(client: Client) -> None:
    """Every history of the namespace gives the recorded commands again."""
    replayer = Replayer(workflows=[Till])
    async for one in client.list_workflows():
        handle = client.get_workflow_handle(one.id, run_id=one.run_id)
        replayed = await replayer.replay_workflow(await handle.fetch_history())
        assert replayed.replay_failure is None


def till_of(client: Client) -> Worker:
    return Worker(client, task_queue="carts", workflows=[Till])


async def test_an_accepted_update_survives_kill_9_of_every_worker_before_it_is_completed(
    folder: Path, environment: Mapping[str, str], client: Client
) -> None:
    program = Program("worker", "carts", folder=folder, environment=environment)
    async with program as first:
        await first.logged("worker_started")
        handle = await client.start_workflow("Cart", id="cart", task_queue="carts")
        sent = await handle.start_update(
            "fetch", "pizza", id="u1", wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        waiting = asyncio.create_task(sent.result())
        while not (folder / "fetched").exists():  # noqa: ASYNC110  # a file tells nobody
            await asyncio.sleep(0.02)
        os.kill(first.process.pid, signal.SIGKILL)
    (folder / "go").touch()
    async with Program("worker", "carts", folder=folder, environment=environment) as second:
        await second.logged("worker_started")
        assert await waiting == "pizza fetched"
        again = await handle.execute_update("fetch", "pizza", id="u1")
        assert again == "pizza fetched"
        await handle.signal("close")
        assert await handle.result() == ["pizza fetched"]
    types = [event.type async for event in handle.fetch_history_events()]
    assert types.count("WorkflowExecutionUpdateAccepted") == 1
    assert types.count("WorkflowExecutionUpdateCompleted") == 1


async def test_updates_from_the_command_line(folder: Path, environment: Mapping[str, str]) -> None:
    async def shell(*arguments: str, code: int = 0) -> str:
        found = await run(*arguments, folder=folder, environment=environment)
        assert found.process.returncode == code, found.err
        assert "Traceback" not in found.err
        return found.out if code == 0 else found.err

    async with Program("worker", "carts", folder=folder, environment=environment) as worker:
        await worker.logged("worker_started")
        await shell("start", "Cart", "--task-queue", "carts", "--id", "c")
        assert await shell("update", "execute", "c", "add", "--input", '"cola"') == "1\n"
        rejected = await shell("update", "execute", "c", "add", "--input", '"salad"', code=1)
        assert "SoldOut: out of salad" in rejected
        assert "out of salad" in await shell(
            "update", "start", "c", "add", "--input", '"salad"', code=1
        )
        sent = await shell("update", "start", "c", "fetch", "--input", '"tea"', "-o", "json")
        update_id = json.loads(sent)["update_id"]
        late = await shell("update", "result", "c", update_id, "--timeout", "0.2", code=5)
        assert "it goes on" in late
        (folder / "go").touch()
        assert await shell("update", "result", "c", update_id) == '"tea fetched"\n'
        assert "accepted no update" in await shell("update", "result", "c", "nope", code=3)
        signalled = ("--start-signal", "close", "--start-signal-input", '"bag"')
        started = ("start", "Cart", "--task-queue", "carts", "--id", "c", *signalled, "--wait")
        assert json.loads(await shell(*started)) == ["cola", "tea fetched", "bag"]
        shown = await shell("show", "c")
        assert "WorkflowExecutionUpdateAccepted" in shown
        assert f"update_id={update_id}" in shown
        assert "is not open" in await shell("update", "execute", "c", "add", code=3)


async def test_the_same_id_from_many_clients_at_once_has_one_effect(client: Client) -> None:
    async with till_of(client):
        handle = await client.start_workflow(Till.run, 1, id="cart", task_queue="carts")
        calls = [handle.execute_update(Till.add, "cola", id="u1") for _ in range(20)]
        assert await asyncio.gather(*calls) == [1] * 20
        assert await handle.execute_update(Till.add, "tea") == 2
        await handle.signal(Till.finish, "end")
        assert await handle.result() == ["cola", "tea"]
    await replays(client)


async def test_a_rejected_update_leaves_no_trace_in_the_history(client: Client) -> None:
    async with till_of(client):
        handle = await client.start_workflow(Till.run, 1, id="cart", task_queue="carts")
        await handle.execute_update(Till.add, "cola")
        before = (await handle.describe()).history_length
        for _ in range(3):
            with pytest.raises(WorkflowUpdateFailedError, match="out of salad"):
                await handle.execute_update(Till.add, "salad", id="u1")
        assert (await handle.describe()).history_length == before
        assert await handle.execute_update(Till.add, "tea", id="u1") == 2
    await replays(client)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("how", ["end", "again", "terminate"])
async def test_a_run_that_ends_before_its_update_says_so(client: Client, how: str) -> None:
    async with till_of(client):
        handle = await client.start_workflow(Till.run, 1, id="cart", task_queue="carts")
        sent = await handle.start_update(Till.stay, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await sent.result(rpc_timeout=timedelta(milliseconds=50))
        waiting = asyncio.create_task(sent.result())
        if how == "terminate":
            await handle.terminate()
        else:
            await handle.signal(Till.finish, how)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await waiting
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "AcceptedUpdateCompletedWorkflow"
        if how != "again":
            with pytest.raises(RPCError) as refused:
                await handle.execute_update(Till.add, "cola")
            assert refused.value.status is RPCStatusCode.NOT_FOUND
        else:
            assert await handle.execute_update(Till.add, "cola") == 1
    await replays(client)


async def test_many_updates_with_start_make_one_run(client: Client) -> None:
    def starting() -> WithStartWorkflowOperation[Till, list[str]]:
        return WithStartWorkflowOperation(
            Till.run,
            1,
            id="cart",
            task_queue="carts",
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    calls = [
        asyncio.create_task(
            client.execute_update_with_start_workflow(
                Till.add, "cola", id=f"u{n // 2}", start_workflow_operation=starting()
            )
        )
        for n in range(20)
    ]
    await asyncio.sleep(0.2)
    async with till_of(client):
        counts = await asyncio.gather(*calls)
        assert sorted(counts) == [n // 2 + 1 for n in range(20)]
        assert len([one async for one in client.list_workflows()]) == 1
        handle = client.get_workflow_handle_for(Till.run, "cart")
        types = [event.type async for event in handle.fetch_history_events()]
        assert types[4] == "WorkflowExecutionUpdateAccepted"
        await client.start_workflow(
            Till.run,
            1,
            id="cart",
            task_queue="carts",
            start_signal="finish",
            start_signal_args=["end"],
        )
        assert await handle.result() == ["cola"] * 10
    await replays(client)


async def test_the_rights_of_a_client_suffice_for_updates(
    client: Client, redis_url: str, amqp_url: str, random_namespace: str
) -> None:
    name = f"client-of-{random_namespace}"
    async with redis.asyncio.Redis.from_url(redis_url) as admin:
        await admin.acl_setuser(name, enabled=True, passwords=["+secret"])
        rules = acl.rules("client", Namespace(random_namespace))
        await admin.execute_command("ACL", "SETUSER", name, *rules)
        try:
            url = redis_url.replace("://", f"://{name}:secret@")
            async with (
                till_of(client),
                await Client.connect(
                    broker=amqp_url, store=url, namespace=random_namespace
                ) as limited,
            ):
                operation = WithStartWorkflowOperation(
                    Till.run,
                    1,
                    id="cart",
                    task_queue="carts",
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                )
                count = await limited.execute_update_with_start_workflow(
                    Till.add, "cola", start_workflow_operation=operation
                )
                handle = await operation.workflow_handle()
                assert (count, await handle.execute_update(Till.add, "tea", id="u1")) == (1, 2)
                assert await handle.get_update_handle("u1").result() == 2
                with pytest.raises(WorkflowUpdateFailedError, match="out of salad"):
                    await handle.execute_update(Till.add, "salad")
        finally:
            await admin.acl_deluser(name)
