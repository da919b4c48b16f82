"""Workflows for the tests of workflow tasks."""

from __future__ import annotations

from datetime import timedelta

from orchestrator import workflow


@workflow.defn
class Order:
    """Pays, waits for a signal or an hour, and says what happened."""

    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self, item: str) -> str:
        paid = await workflow.execute_activity(
            "pay", item, start_to_close_timeout=timedelta(seconds=10)
        )
        try:
            await workflow.wait_condition(lambda: bool(self.items), timeout=timedelta(hours=1))
        except TimeoutError:
            return f"{paid}, nothing added"
        return f"{paid}, added {self.items}"

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)


@workflow.defn
class Broken:
    """Has a bug."""

    @workflow.run
    async def run(self) -> None:
        raise KeyError("a bug")
