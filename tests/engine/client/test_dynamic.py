"""Dynamic workflows, activities and handlers, on the embedded engine; each history is replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from orchestrator import activity, workflow
from orchestrator.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from orchestrator.client.options import target_of
from orchestrator.common import RawValue
from orchestrator.definition.activity import activity_name
from orchestrator.exceptions import ApplicationError
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Replayer, Worker

QUEUE = "dynamic"
CLOSE = timedelta(seconds=5)


@workflow.defn(dynamic=True)
class Anything:
    """Takes the runs of every type that has no class of its own."""

    @workflow.init
    def __init__(self, args: Sequence[RawValue]) -> None:
        self.first = workflow.payload_converter().from_payload(args[0].payload, str)
        self.seen: list[str] = []

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> list[str]:
        name = workflow.info().workflow_type
        if name.startswith("Failing"):
            raise KeyError(name)
        if name.startswith("Waiting"):
            await workflow.wait_condition(lambda: "stop" in self.seen)
        made = await workflow.execute_activity(
            f"make_{name}", args=[self.first, len(args)], start_to_close_timeout=CLOSE
        )
        plain = await workflow.execute_activity("plain", start_to_close_timeout=CLOSE)
        return [made, plain, *self.seen]

    @workflow.dynamic_config
    def config(self) -> workflow.DynamicWorkflowConfig:
        failing = workflow.info().workflow_type == "FailingRun"
        return workflow.DynamicWorkflowConfig(failure_exception_types=[KeyError] if failing else [])

    @workflow.signal(dynamic=True)
    def any_signal(self, name: str, args: Sequence[RawValue]) -> None:
        self.seen.append(name)

    @workflow.query(dynamic=True)
    def any_query(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name} of {self.first} with {len(args)}"

    @workflow.update(dynamic=True)
    async def any_update(self, name: str, args: Sequence[RawValue]) -> str:
        self.seen.append(name)
        return f"{name} with {len(args)}"

    @any_update.validator
    def check_update(self, name: str, args: Sequence[RawValue]) -> None:
        if name == "forbidden":
            raise ApplicationError("not that one")


@workflow.defn
class Own:
    """Has a class of its own."""

    @workflow.run
    async def run(self, word: str) -> str:
        return f"own {word}"


@activity.defn(dynamic=True)
async def any_activity(args: Sequence[RawValue]) -> str:
    word = activity.payload_converter().from_payload(args[0].payload, str)
    count = activity.payload_converter().from_payload(args[1].payload, int)
    return f"{activity.info().activity_type}: {word} {count}"


@activity.defn
async def plain() -> str:
    return "plain"


@pytest.fixture
async def client(env: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A client whose workflows have a worker."""
    workflows, activities = [Anything, Own], [any_activity, plain]
    async with Worker(env.client, task_queue=QUEUE, workflows=workflows, activities=activities):
        yield env.client


async def test_a_dynamic_workflow_takes_what_has_no_class_and_nothing_else(client: Client) -> None:
    assert await client.execute_workflow("Own", "word", id="o", task_queue=QUEUE) == "own word"
    for name in ("Order", "Refund"):
        found = await client.execute_workflow(name, args=["x", 2], id=name, task_queue=QUEUE)
        assert found == [f"make_{name}: x 2", "plain"]


async def test_dynamic_handlers_take_what_has_none_of_its_own(client: Client) -> None:
    handle = await client.start_workflow("Waiting", "x", id="w", task_queue=QUEUE)
    assert await handle.query("where", "here") == "where of x with 1"
    assert await handle.execute_update("change", args=[1, 2]) == "change with 2"
    with pytest.raises(WorkflowUpdateFailedError, match="not that one"):
        await handle.execute_update("forbidden")
    await handle.signal("note", 5)
    await handle.signal("stop")
    assert (await handle.result())[2:] == ["change", "note", "stop"]


async def test_a_dynamic_config_decides_for_its_run_what_fails_it(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow("FailingRun", "x", id="f", task_queue=QUEUE)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "KeyError"
    handle = await client.start_workflow("FailingTask", "x", id="g", task_queue=QUEUE)
    with pytest.raises(Exception, match="KeyError"):
        await handle.query("stalled")
    await handle.terminate()


def test_a_worker_has_at_most_one_dynamic_workflow_and_activity() -> None:
    @workflow.defn(dynamic=True)
    class Another(Anything):
        run = Anything.run

    with pytest.raises(ValueError, match="two workflows are dynamic"):
        Replayer(workflows=[Anything, Another])


class _Slips:
    """Definitions that break a rule; each is made in a test."""

    async def takes_two(self, first: int, second: int) -> None: ...


def test_what_is_dynamic_has_one_parameter_and_no_name() -> None:
    with pytest.raises(ValueError, match="dynamic=True, not both"):
        workflow.defn(name="x", dynamic=True)(type("A", (), {}))
    with pytest.raises(ValueError, match=r"must take \(args: Sequence\[RawValue\]\)"):
        workflow.defn(dynamic=True)(type("B", (), {"run": workflow.run(_Slips.takes_two)}))
    with pytest.raises(ValueError, match="dynamic=True, not both"):
        activity.defn(name="x", dynamic=True)(any_activity.__call__)

    async def takes_none() -> None: ...

    with pytest.raises(ValueError, match="is dynamic, so it must take"):
        activity.defn(dynamic=True)(takes_none)


def test_what_is_dynamic_is_called_by_a_text() -> None:
    with pytest.raises(ValueError, match="give the workflow's type as text"):
        target_of(Anything.run, None)
    with pytest.raises(ValueError, match="give the activity's type as text"):
        activity_name(any_activity)


def test_a_config_is_for_dynamic_workflows_only_and_plain() -> None:
    def config(self: object) -> workflow.DynamicWorkflowConfig:
        return workflow.DynamicWorkflowConfig()

    async def waits(self: object) -> None: ...

    with pytest.raises(ValueError, match="is not dynamic"):
        workflow.defn(type("C", (), {"run": Own.run, "config": workflow.dynamic_config(config)}))
    with pytest.raises(ValueError, match="plain def"):
        workflow.dynamic_config(waits)
