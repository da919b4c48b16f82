"""Standalone activities, whatever goes wrong: each that was started ends once, and as it should."""

from __future__ import annotations

from itertools import count

import pytest

from orchestrator.core.standalone import (
    StandaloneOptions,
    cancel_of,
    first_task_of,
    standalone_start_of,
)
from orchestrator.core.transition import ForcedClose
from orchestrator.ids import ActivityKey, RunId, RunKind, WorkflowId, standalone_workflow_id
from orchestrator.ports.store import Started
from orchestrator.ports.visibility import RunFilter
from orchestrator.relay.dispatch import Dispatcher
from orchestrator.wire.events import HistoryEvent, WorkflowExecutionTerminated
from orchestrator.wire.options import RetryOptions, RunStatus
from tests.simulation.world import FaultyBroker, World
from tests.unit.memory_engine import NAMESPACE, QUEUE

pytestmark = pytest.mark.not_replayed("no workflow code runs")
_ENDINGS = {
    "": {RunStatus.COMPLETED},
    # A cancel may come too late, or meet an attempt that fails or takes too long: then there is no
    # other one.
    "cancel": {RunStatus.CANCELED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.TIMED_OUT},
    "terminate": {RunStatus.TERMINATED, RunStatus.COMPLETED},
}


class Market(World):
    """Clients that start activities, repeat themselves, and end some from outside."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, "none")
        self.asked: dict[WorkflowId, str] = {}
        self._ids = count(1)

    async def begin(self) -> None:
        await self.client.open()
        for _ in range(2):
            await self.hire()

    async def send(self, item: str) -> None:
        """Start one as a client does that may die before its message, or repeat itself."""
        wish = StandaloneOptions(
            activity_id=f"a{next(self._ids)}",
            activity_type="pay",
            task_queue=QUEUE,
            request_id=f"r {item}",
            start_to_close_timeout_ms=self.random.choice([2_000, 60_000]),
            start_delay_ms=self.random.choice([0, 0, 5_000]),
            retry_policy=RetryOptions(initial_interval_ms=500, maximum_interval_ms=2_000),
        )
        for _ in range(self.random.choice([1, 1, 2])):
            key = ActivityKey(f"k{self.random.random()}")
            start = standalone_start_of(wish, key=key, now_ms=self.clock.ms)
            answer = await self.store.start(start)
            assert isinstance(answer, Started)
            task = first_task_of(NAMESPACE, start, now_ms=answer.now_ms) if answer.new else None
            if task is not None:
                publishing = FaultyBroker(self.exchange, self.faults)
                await publishing.open()
                Dispatcher(publishing, NAMESPACE).activity(task)
        self.asked[standalone_workflow_id(wish.activity_id)] = ""
        if self.random.random() < 0.5:
            await self.end_one()

    async def end_one(self) -> None:
        """Cancel or terminate one of them, once or twice."""
        workflow_id = self.random.choice([*self.asked])
        if self.asked[workflow_id]:
            return
        view = await self.store.run(workflow_id)
        assert view is not None
        self.asked[workflow_id] = how = self.random.choice(["cancel", "terminate"])
        for _ in range(self.random.choice([1, 2])):
            if how == "cancel":
                cancel = cancel_of(workflow_id, view.run_id, reason="", identity="client")
                await self.store.cancel_standalone(cancel)
            else:
                close = ForcedClose(
                    workflow_id=workflow_id,
                    event=WorkflowExecutionTerminated(reason="enough"),
                    status=RunStatus.TERMINATED,
                )
                await self.store.force_close(close)

    async def finish(self, moments_max: int = 400) -> None:
        """Nothing goes wrong any more, and everything ends."""
        self.faults.active = False
        for _ in range(moments_max):
            counts = await self.store.count_runs(RunFilter(kind=RunKind.ACTIVITY))
            if not counts[RunStatus.RUNNING]:
                return
            await self.pass_time(2_000)
        raise AssertionError("some activities do not end")

    async def history_of(self, workflow_id: WorkflowId, run_id: RunId) -> list[HistoryEvent]:
        pages = self.store.history(workflow_id, run_id)
        return [event async for page in pages for event in page]


@pytest.mark.parametrize("seed", range(8))
async def test_each_ends_once_whatever_goes_wrong(seed: int) -> None:
    market = Market(seed)
    await market.begin()
    await market.send("first")
    await market.live(60)
    await market.finish()
    for workflow_id, how in market.asked.items():
        view = await market.store.run(workflow_id)
        assert view is not None
        assert view.status in _ENDINGS[how], (workflow_id, how)
        history = await market.history_of(workflow_id, view.run_id)
        assert [event.event_id for event in history] == list(range(1, view.history_length + 1))
        types = [event.type for event in history]
        assert types[:2] == ["WorkflowExecutionStarted", "ActivityTaskScheduled"]
        assert len(types) == len(set(types)), types
        assert view.closing == history[-1]
        assert (view.status is RunStatus.COMPLETED) == (types[-1] == "WorkflowExecutionCompleted")
        assert await market.store.records(workflow_id, view.run_id) == ()
    assert len(market.asked) > 5
    assert market.problems == []
    assert sum(market.faults.counts.values()) > 3, "too little went wrong to show anything"
    assert sum((await market.store.count_runs()).values()) == 0
    for workflow in market.store._state.workflows.values():
        assert (workflow.inbox, workflow.row) == ({}, None)
