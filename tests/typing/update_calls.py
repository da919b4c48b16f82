"""What a type checker makes of updates: their definitions, their calls, and with a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from orchestrator import workflow
from orchestrator.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from orchestrator.common import RawValue, WorkflowIDConflictPolicy

ACCEPTED = WorkflowUpdateStage.ACCEPTED


@workflow.defn
class Cart:
    @workflow.run
    async def run(self, room: int) -> list[str]:
        return []

    @workflow.update
    async def add(self, item: str) -> int:
        return 1

    @add.validator
    def check(self, item: str) -> None: ...

    @workflow.update(name="clear", unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    def empty(self) -> bool:
        return True

    @workflow.update
    def swap(self, first: str, second: int) -> bytes:
        return b""

    @workflow.update(dynamic=True)
    def rest(self, name: str, args: Sequence[RawValue]) -> Any: ...

    @rest.validator
    def check_rest(self, name: str, args: Sequence[RawValue]) -> None: ...

    @add.validator  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # other parameters
    def wrong(self, item: int) -> None: ...


async def accepted(client: Client, handle: WorkflowHandle[Cart, list[str]]) -> None:
    assert_type(await handle.execute_update(Cart.add, "a"), int)
    assert_type(await handle.execute_update(Cart.empty, id="u"), bool)
    assert_type(await handle.execute_update(Cart.swap, args=["a", 1]), bytes)
    assert_type(await handle.execute_update("add", "a", result_type=int), Any)
    sent = await handle.start_update(Cart.add, "a", wait_for_stage=ACCEPTED)
    assert_type(sent, WorkflowUpdateHandle[int])
    assert_type(await sent.result(), int)
    assert_type(handle.get_update_handle_for(Cart.empty, "u"), WorkflowUpdateHandle[bool])
    assert_type(workflow.current_update_info(), workflow.UpdateInfo | None)
    operation = WithStartWorkflowOperation(
        Cart.run,
        1,
        id="cart",
        task_queue="carts",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    assert_type(operation, WithStartWorkflowOperation[Cart, list[str]])
    count = await client.execute_update_with_start_workflow(
        Cart.add, "a", start_workflow_operation=operation
    )
    assert_type(count, int)
    assert_type(await operation.workflow_handle(), WorkflowHandle[Cart, list[str]])
    await client.start_workflow(
        Cart.run, 1, id="c", task_queue="q", start_signal="go", start_signal_args=["a"]
    )


async def rejected(client: Client, handle: WorkflowHandle[Cart, list[str]]) -> None:
    await handle.execute_update(Cart.add, 5)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # no text
    await handle.execute_update(Cart.add)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # it takes one
    await handle.start_update(Cart.add, "a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # no stage
    await handle.execute_update(Cart.run, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # no update
