"""Families on a real Redis and a real RabbitMQ, whose worker is killed in the middle.

What relations are without accidents is shown by tests/engine/relations, on the same servers.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from orchestrator.client import Client, WorkflowExecutionStatus
from orchestrator.worker import Replayer
from tests.integration.programs import Program

pytestmark = pytest.mark.servers

_FAMILIES = 25
_APP = '''
"""Parents that start, signal and leave children."""
import asyncio
from orchestrator import workflow

@workflow.defn
class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done)
        return self.heard

    @workflow.signal
    def hear(self, text: str) -> None:
        self.heard.append(text)

    @workflow.signal
    def end(self) -> None:
        self.done = True

@workflow.defn
class Family:
    @workflow.run
    async def run(self, name: str) -> list[str]:
        child = await workflow.start_child_workflow(Listener.run, id=f"{name}-child")
        await asyncio.gather(*(child.signal(Listener.hear, text) for text in "abcde"))
        await workflow.sleep(0.5)
        await workflow.get_external_workflow_handle(f"{name}-child").signal("end")
        heard = await child
        await workflow.start_child_workflow(Listener.run, id=f"{name}-left")
        return heard

task_queue = "families"
workflows = [Listener, Family]
activities = []
'''


async def test_families_end_well_whose_worker_is_killed_in_the_middle(
    tmp_path: Path, redis_url: str, amqp_url: str, random_namespace: str
) -> None:
    (tmp_path / "families.py").write_text(_APP)
    environment = {
        "ORCHESTRATOR_BROKER": amqp_url,
        "ORCHESTRATOR_STORE": redis_url,
        "ORCHESTRATOR_NAMESPACE": random_namespace,
    }
    async with AsyncExitStack() as stack:
        victims = [
            await stack.enter_async_context(
                Program("worker", "families", folder=tmp_path, environment=environment)
            )
            for _ in range(3)
        ]
        await asyncio.gather(*(program.logged("worker_started") for program in victims))
        client = await stack.enter_async_context(
            await Client.connect(broker=amqp_url, store=redis_url, namespace=random_namespace)
        )
        handles = [
            await client.start_workflow(
                "Family", f"f{n}", id=f"f{n}", task_queue="families", result_type=list
            )
            for n in range(_FAMILIES)
        ]
        for victim in victims[:2]:
            await asyncio.sleep(0.3)
            victim.signal(signal.SIGKILL)
        async with asyncio.timeout(60):
            results = await asyncio.gather(*(handle.result() for handle in handles))
        assert results == [list("abcde")] * _FAMILIES
        await each_happened_once(client)


async def each_happened_once(client: Client) -> None:
    """Two children a family, each told once what it was told, the second one terminated."""
    async with asyncio.timeout(30):
        while (await client.count_workflows())[WorkflowExecutionStatus.RUNNING]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # the close of another run tells nobody here
    runs = [run async for run in client.list_workflows(workflow_type="Listener")]
    assert len(runs) == 2 * _FAMILIES
    for run in runs:
        history = await client.get_workflow_handle(run.id).fetch_history()
        signals = [event for event in history.events if event.type == "WorkflowExecutionSignaled"]
        is_left = run.id.endswith("-left")
        wanted = (
            WorkflowExecutionStatus.TERMINATED if is_left else WorkflowExecutionStatus.COMPLETED
        )
        assert (run.status, len(signals)) == (wanted, 0 if is_left else 6)
    module: dict[str, object] = {"__name__": "families"}
    exec(_APP, module)  # the text of the app above
    replayer = Replayer(workflows=[module["Listener"], module["Family"]])  # type: ignore[list-item]  # classes
    async for run in client.list_workflows():
        await replayer.replay_workflow(await client.get_workflow_handle(run.id).fetch_history())
