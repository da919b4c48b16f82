"""What a checker must know of decorated workflows, and what it must reject. Not run: see
`activity_calls`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, assert_type
from uuid import UUID

from orchestrator import workflow
from orchestrator.common import RawValue


@workflow.defn(name="order", failure_exception_types=[OSError])
class Order:
    @workflow.init
    def __init__(self, item: str) -> None:
        self.item = item

    @workflow.run
    async def run(self, item: str) -> int:
        done, pending = await workflow.wait([asyncio.create_task(asyncio.sleep(1, "a"))])
        assert_type(done, list[asyncio.Future[str]])
        assert_type(pending, list[asyncio.Future[str]])
        for one in workflow.as_completed([asyncio.sleep(1, "a")]):
            assert_type(await one, str)
        await workflow.wait_condition(lambda: self.item == item, timeout=timedelta(seconds=1))
        await workflow.sleep(1.5, summary="a nap")
        return 1

    @workflow.signal
    async def add(self, item: str, count: int = 1) -> None: ...

    @workflow.signal(dynamic=True, unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    def rest(self, name: str, args: Sequence[RawValue]) -> None: ...

    @workflow.query(name="where", description="where it is")
    def place(self) -> str:
        return self.item


def accepted(order: Order) -> None:
    assert_type(order.place(), str)
    assert_type(workflow.now(), datetime)
    assert_type(workflow.random(), Random)
    assert_type(workflow.uuid7(), UUID)
    assert_type(workflow.info().run_timeout, timedelta | None)
    assert_type(workflow.memo_value("a"), Any)
    assert_type(workflow.memo_value("a", type_hint=int), int)
    assert_type(workflow.memo_value("a", None, type_hint=int), int | None)
    assert_type(workflow.cancellation_reason(), str | None)
    workflow.logger.info("paid", extra={"cents": 5})


def never() -> int:
    workflow.continue_as_new("next")


def rejected(order: Order) -> None:
    order.place(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # it takes nothing
    workflow.defn(failure_exception_types=[int])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]  # no exception
    workflow.signal(unfinished_policy="abandon")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # a word is no policy
    workflow.set_signal_handler("a", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # not callable
    workflow.sleep("5")  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]  # text is no duration
