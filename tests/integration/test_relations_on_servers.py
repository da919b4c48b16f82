"""Relations between workflows on a real Redis and a real RabbitMQ, whose shards are many.

The tests of the memory adapters again, each with its replays; then families whose worker is killed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.client import Client, WorkflowExecutionStatus
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Replayer, Worker
from tests.engine.relations.conftest import replay_all
from tests.engine.relations.test_children import (
    test_a_cancelled_parent_cancels_its_child_and_waits_for_it,
    test_a_child_of_a_child_that_fails_is_two_links_away,
    test_a_child_returns_to_its_parent,
    test_a_child_that_fails_shows_the_whole_chain_of_causes,
    test_a_child_that_is_cancelled_before_its_start_was_sent_is_never_started,
    test_a_child_that_is_terminated,
    test_a_child_that_somebody_cancels,
    test_a_closed_run_has_the_id_as_its_reuse_policy_says,
    test_a_description_shows_pending_children_and_who_the_parent_is,
    test_a_run_that_has_the_id_may_be_replaced,
    test_an_id_that_an_open_run_has_is_refused_in_the_workflow,
    test_parent_and_root_are_known_at_every_depth,
    test_the_result_is_that_of_the_last_run_of_a_child,
    test_what_a_cancelled_wait_for_a_child_sees,
)
from tests.engine.relations.test_external import (
    test_a_child_is_signalled_through_its_handle,
    test_a_handle_with_a_run_id_means_that_run_only,
    test_a_signal_to_nobody_is_an_error_where_it_is_waited_for,
    test_another_workflow_is_cancelled_with_the_reason,
    test_nobody_can_be_cancelled_who_is_not_there,
    test_signals_sent_in_the_last_task_arrive_all_the_same,
    test_signals_that_nobody_waits_for_in_turn_arrive_in_the_order_of_the_code,
)
from tests.engine.relations.test_parent_close import (
    test_a_child_asked_for_in_the_last_task_is_never_started,
    test_an_abandoned_child_asked_for_in_the_last_task_is_started,
    test_an_abandoned_child_goes_on,
    test_children_of_children_end_with_the_top,
    test_the_policy_is_carried_out_after_every_kind_of_close,
)
from tests.engine.relations.workflows import ALL, QUEUE
from tests.integration.programs import Program

__all__ = [
    "test_a_cancelled_parent_cancels_its_child_and_waits_for_it",
    "test_a_child_asked_for_in_the_last_task_is_never_started",
    "test_a_child_is_signalled_through_its_handle",
    "test_a_child_of_a_child_that_fails_is_two_links_away",
    "test_a_child_returns_to_its_parent",
    "test_a_child_that_fails_shows_the_whole_chain_of_causes",
    "test_a_child_that_is_cancelled_before_its_start_was_sent_is_never_started",
    "test_a_child_that_is_terminated",
    "test_a_child_that_somebody_cancels",
    "test_a_closed_run_has_the_id_as_its_reuse_policy_says",
    "test_a_description_shows_pending_children_and_who_the_parent_is",
    "test_a_handle_with_a_run_id_means_that_run_only",
    "test_a_run_that_has_the_id_may_be_replaced",
    "test_a_signal_to_nobody_is_an_error_where_it_is_waited_for",
    "test_an_abandoned_child_asked_for_in_the_last_task_is_started",
    "test_an_abandoned_child_goes_on",
    "test_an_id_that_an_open_run_has_is_refused_in_the_workflow",
    "test_another_workflow_is_cancelled_with_the_reason",
    "test_children_of_children_end_with_the_top",
    "test_nobody_can_be_cancelled_who_is_not_there",
    "test_parent_and_root_are_known_at_every_depth",
    "test_signals_sent_in_the_last_task_arrive_all_the_same",
    "test_signals_that_nobody_waits_for_in_turn_arrive_in_the_order_of_the_code",
    "test_the_policy_is_carried_out_after_every_kind_of_close",
    "test_the_result_is_that_of_the_last_run_of_a_child",
    "test_what_a_cancelled_wait_for_a_child_sees",
]
pytestmark = pytest.mark.servers

_LONGEST_SECONDS = 1.0


class ShortEnvironment(WorkflowEnvironment):
    """Real servers, on which a test that lets hours pass lets a second pass."""

    async def sleep(self, duration: timedelta | float) -> None:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        await asyncio.sleep(min(seconds, _LONGEST_SECONDS))


@pytest.fixture
async def env(
    redis_url: str, amqp_url: str, random_namespace: str
) -> AsyncIterator[WorkflowEnvironment]:
    async with await Client.connect(
        broker=amqp_url, store=redis_url, namespace=random_namespace
    ) as connected:
        yield ShortEnvironment.from_client(connected)


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with Worker(env.client, task_queue=QUEUE, workflows=ALL):
        yield env.client
        await asyncio.sleep(0.1)
    assert await replay_all(env.client)


# A worker is killed -------------------------------------------------------------------------------

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
