"""Workflows with relations, for the tests of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from orchestrator import workflow
from orchestrator.common import WorkflowIDReusePolicy
from orchestrator.exceptions import ApplicationError, ChildWorkflowError, FailureError
from orchestrator.workflow import ChildWorkflowCancellationType, ParentClosePolicy

QUEUE = "relations"


@dataclass
class Plan:
    """What a parent does with its child."""

    child: str = "Echo"
    args: list[Any] = field(default_factory=list)  # Any: arguments
    id: str | None = "child"
    cancellation_type: int = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
    parent_close_policy: int = ParentClosePolicy.TERMINATE
    id_reuse_policy: int = WorkflowIDReusePolicy.ALLOW_DUPLICATE
    run_timeout_s: int | None = None

    @property
    def options(self) -> Any:  # Any: the options of a child's start
        return {
            "id": self.id,
            "cancellation_type": ChildWorkflowCancellationType(self.cancellation_type),
            "parent_close_policy": ParentClosePolicy(self.parent_close_policy),
            "id_reuse_policy": WorkflowIDReusePolicy(self.id_reuse_policy),
            "run_timeout": self.run_timeout_s and timedelta(seconds=self.run_timeout_s),
        }


@workflow.defn
class Echo:
    @workflow.run
    async def run(self, text: str = "") -> str:
        return text


@workflow.defn
class Failing:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("no more pizza", "detail", type="SoldOut", non_retryable=True)


@workflow.defn
class Waiting:
    """Waits to be told; says what it was told, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.done = False

    @workflow.run
    async def run(self, how: str = "") -> list[str]:
        try:
            await workflow.wait_condition(lambda: self.done)
        except asyncio.CancelledError:
            if how == "ignores":
                return ["ignored"]
            if how == "slow":
                await workflow.sleep(3)
            raise
        return self.heard

    @workflow.signal
    def hear(self, text: str) -> None:
        self.heard.append(text)

    @workflow.signal
    def end(self) -> None:
        self.done = True


@workflow.defn
class Counting:
    """Continues as new until it has counted down, then says who it is."""

    @workflow.run
    async def run(self, text: str) -> list[str | None]:
        if text != "0":
            workflow.continue_as_new(str(int(text) - 1))
        info = workflow.info()
        return [
            info.parent and info.parent.workflow_id,
            info.root and info.root.workflow_id,
            info.continued_run_id and "continued",
        ]


@workflow.defn
class Restless:
    """Continues as new some times, then waits to hear something, if it has not yet."""

    @workflow.init
    def __init__(self, times: int, heard: list[str] | None = None) -> None:
        self.heard = heard or []

    @workflow.run
    async def run(self, times: int, heard: list[str] | None = None) -> list[str]:
        if times > 0:
            workflow.continue_as_new(args=[times - 1, self.heard])
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard

    @workflow.signal
    def hear(self, text: str) -> None:
        self.heard.append(text)


@workflow.defn
class SignalsItself:
    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        me = workflow.get_external_workflow_handle(workflow.info().workflow_id)
        await me.signal(SignalsItself.hear, "hi")
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard

    @workflow.signal
    def hear(self, text: str) -> None:
        self.heard.append(text)


@workflow.defn
class Parent:
    """Executes one child and says how that went."""

    @workflow.run
    async def run(self, plan: Plan) -> Any:
        return await workflow.execute_child_workflow(plan.child, args=plan.args, **plan.options)


@workflow.defn
class Watching:
    """As `Parent`, and tells what it saw instead of failing."""

    def __init__(self) -> None:
        self.go_on = False

    @workflow.run
    async def run(self, plan: Plan) -> Any:
        seen: list[str] = []
        waiting = asyncio.create_task(self.child(plan, seen))
        await workflow.wait_condition(lambda: self.go_on)
        waiting.cancel("enough")
        seen.append("cancelled")
        await asyncio.wait([waiting])
        return seen

    async def child(self, plan: Plan, seen: list[str]) -> None:
        try:
            result = await workflow.execute_child_workflow(
                plan.child, args=plan.args, **plan.options
            )
            seen.append(f"result {result}")
        except FailureError as error:
            seen.append(f"{type(error).__name__}: {type(error.cause).__name__}")

    @workflow.signal
    def cancel_it(self) -> None:
        self.go_on = True


@workflow.defn
class CancelsAtOnce:
    """Cancels the wait for a child's start in the task that asked for it."""

    @workflow.run
    async def run(self, plan: Plan) -> str:
        waiting = asyncio.create_task(
            workflow.execute_child_workflow(plan.child, args=plan.args, **plan.options)
        )
        await asyncio.sleep(0)
        waiting.cancel()
        try:
            await waiting
        except ChildWorkflowError as error:
            return type(error.cause).__name__
        return "no error"


@workflow.defn
class Starting:
    """Starts a child, then ends in one of many ways."""

    def __init__(self) -> None:
        self.how = ""

    @workflow.run
    async def run(self, plan: Plan, how: str) -> str:
        if how == "at once":
            start = workflow.start_child_workflow(plan.child, args=plan.args, **plan.options)
            self.starting = asyncio.create_task(start)
            await asyncio.sleep(0)
            return how
        await workflow.start_child_workflow(plan.child, args=plan.args, **plan.options)
        if how == "waits":
            await workflow.wait_condition(lambda: bool(self.how))
        if "fails" in (how, self.how):
            raise ApplicationError("failed")
        if how == "again":
            workflow.continue_as_new(args=[Plan("Echo", id="other"), "second run"])
        return how

    @workflow.signal
    def end(self, how: str) -> None:
        self.how = how


@workflow.defn
class Knowing:
    """Says what it knows of its handle and itself."""

    @workflow.run
    async def run(self, depth: int) -> list[Any]:
        info = workflow.info()
        mine = [info.parent and info.parent.run_id, info.root and info.root.run_id, info.run_id]
        if depth == 0:
            return [mine]
        child = await workflow.start_child_workflow(
            Knowing.run, depth - 1, id=f"depth-{depth}", memo={"note": depth}
        )
        assert child.id == f"depth-{depth}"
        below = await child
        assert below[-1][2] == child.first_execution_run_id
        return [*below, mine]


@workflow.defn
class Sender:
    """Sends signals to another workflow, waited for or not, and tells what it saw."""

    @workflow.run
    async def run(self, target: str, texts: list[str]) -> list[str]:
        other = workflow.get_external_workflow_handle_for(Waiting.run, target)
        seen = await asyncio.gather(
            *(other.signal(Waiting.hear, text) for text in texts), return_exceptions=True
        )
        try:
            await other.signal(Waiting.end)
        except ApplicationError as error:
            return [str(error), *(type(one).__name__ for one in seen)]
        return [str(one) for one in seen]


@workflow.defn
class SendsAndEnds:
    """Ends in the task in which it sends."""

    @workflow.run
    async def run(self, target: str, texts: list[str]) -> None:
        other = workflow.get_external_workflow_handle(target)
        self.sending = [asyncio.create_task(other.signal("hear", text)) for text in texts]
        await asyncio.sleep(0)


@workflow.defn
class Canceller:
    @workflow.run
    async def run(self, target: str, run_id: str | None = None) -> str:
        other = workflow.get_external_workflow_handle(target, run_id=run_id)
        try:
            await other.cancel(reason="enough")
        except ApplicationError as error:
            return f"{error.type}: {error.message}"
        return "asked"


@workflow.defn
class TakesBack:
    """Cancels a signal in the task that sent it."""

    @workflow.run
    async def run(self, target: str) -> str:
        other = workflow.get_external_workflow_handle(target)
        first = asyncio.create_task(other.signal("hear", "never"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await other.signal("end")
        return "taken back" if first.cancelled() else "sent"


@workflow.defn
class SignalsItsChild:
    @workflow.run
    async def run(self, texts: list[str]) -> list[str]:
        child = await workflow.start_child_workflow(Waiting.run, id="child")
        for text in texts:
            await child.signal(Waiting.hear, text)
        await child.signal(Waiting.end)
        return await child


ALL = (
    Echo,
    Failing,
    Waiting,
    Counting,
    Restless,
    SignalsItself,
    Parent,
    Watching,
    CancelsAtOnce,
    Starting,
    Knowing,
    Sender,
    SendsAndEnds,
    Canceller,
    TakesBack,
    SignalsItsChild,
)
