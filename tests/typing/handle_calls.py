"""What a checker must know of handles, of updates and of children, and what it must reject.

Not run: mypy and pyright read it (see `test_checkers`). A line with an `ignore` must be an error of
exactly this kind for both; without the error the ignore itself is one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from orchestrator import workflow
from orchestrator.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from orchestrator.common import WorkflowIDConflictPolicy

ACCEPTED = WorkflowUpdateStage.ACCEPTED


@workflow.defn
class Till:
    @workflow.run
    async def run(self, name: str) -> list[int]:
        return []

    @workflow.signal
    def add(self, cents: int) -> None: ...

    @workflow.signal
    async def close(self) -> None: ...

    @workflow.query
    def total(self) -> int:
        return 0

    @workflow.query
    def since(self, hour: int) -> str:
        return ""

    @workflow.update
    def take(self, cents: int) -> str:
        return ""

    @take.validator
    def check(self, cents: int) -> None: ...

    @workflow.update
    async def count(self) -> float:
        return 0.0


@workflow.defn
class Shop:
    @workflow.run
    async def run(self) -> None: ...

    @workflow.signal
    def open(self, hour: int) -> None: ...


async def accepted(client: Client) -> None:
    handle = await client.start_workflow(Till.run, "a", id="t", task_queue="q")
    assert_type(handle, WorkflowHandle[Till, list[int]])
    assert_type(await handle.result(), list[int])
    assert_type(await client.execute_workflow(Till.run, "a", id="t", task_queue="q"), list[int])
    assert_type(client.get_workflow_handle_for(Till.run, "t"), WorkflowHandle[Till, list[int]])
    await handle.signal(Till.add, 5)
    await handle.signal(Till.close)
    await handle.signal("any", "thing")
    assert_type(await handle.query(Till.total), int)
    assert_type(await handle.query(Till.since, 8), str)
    assert_type(await handle.query("any"), Any)
    assert_type(await handle.execute_update(Till.take, 5), str)
    assert_type(await handle.execute_update(Till.count), float)
    sent = await handle.start_update(Till.take, 5, wait_for_stage=ACCEPTED)
    assert_type(sent, WorkflowUpdateHandle[str])
    assert_type(await sent.result(), str)
    operation = WithStartWorkflowOperation(
        Till.run,
        "a",
        id="t",
        task_queue="q",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    answer = await client.execute_update_with_start_workflow(
        Till.take, 5, start_workflow_operation=operation
    )
    assert_type(answer, str)


async def accepted_in_workflows() -> None:
    child = await workflow.start_child_workflow(Till.run, "a", id="c")
    assert_type(child, workflow.ChildWorkflowHandle[Till, list[int]])
    assert_type(await child, list[int])
    await child.signal(Till.add, 5)
    assert_type(await workflow.execute_child_workflow(Till.run, "a"), list[int])
    assert_type(await workflow.execute_child_workflow(Shop.run), None)
    other = workflow.get_external_workflow_handle_for(Shop.run, "s")
    await other.signal(Shop.open, 8)


async def rejected(client: Client, handle: WorkflowHandle[Till, list[int]]) -> None:
    await client.start_workflow(Till.run, 1, id="t", task_queue="q")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await client.start_workflow(Till.run, id="t", task_queue="q")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await client.start_workflow(Till.run, "a", id="t")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no task queue
    await client.execute_workflow(Till.run, "a", id="t", task_queue="q", timeout=timedelta(1))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no such option
    await handle.signal(Till.add, "5")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await handle.signal(Till.add)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await handle.signal(Till.close, 1)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # one too many
    await handle.signal(Shop.open, 8)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # of another workflow
    await handle.query(Till.since, "8")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await handle.query(Till.total, 1)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # one too many
    await handle.execute_update(Till.take, "5")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await handle.execute_update(Till.take)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await handle.start_update(Till.take, 5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no stage to wait for
    await handle.execute_update(Till.total)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # a query is no update


async def rejected_in_workflows(child: workflow.ChildWorkflowHandle[Till, list[int]]) -> None:
    await workflow.start_child_workflow(Till.run, 1)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await workflow.execute_child_workflow(Till.run)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # none at all
    await workflow.execute_child_workflow(Shop.run, parent_close_policy="abandon")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # a word is no policy
    await child.signal(Till.add, "5")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # another argument
    await child.signal(Shop.open, 8)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # of another workflow
    await workflow.get_external_workflow_handle_for(Shop.run, "s").signal(Till.add, 5)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # of another workflow
