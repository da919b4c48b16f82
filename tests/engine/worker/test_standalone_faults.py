"""Standalone activities whose messages and answers are doubled or lost, whose holders die: one
outcome, and never a wake-up of a workflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from orchestrator.activity import ActivityCancellationDetails
from orchestrator.client.activity_start import start_standalone
from orchestrator.core.standalone import StandaloneOptions, cancel_of, standalone_start_of
from orchestrator.core.transition import ForcedClose, StartRun
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import ActivityKey, EventId, RunId, standalone_workflow_id
from orchestrator.ports.broker import ActivityQueue, WorkflowQueue
from orchestrator.ports.store import AttemptRecord, CancelAsked, Closed
from orchestrator.wire.events import WorkflowExecutionTerminated
from orchestrator.wire.failure import CanceledFailure, Failure
from orchestrator.wire.options import RetryOptions, RunStatus
from tests.unit.memory_engine import NAMESPACE, QUEUE, Engine
from tests.unit.worker.processes import BOOM, PAID, Process, deliver, task_body

pytestmark = pytest.mark.not_replayed("no workflow code runs")
A, RUN = standalone_workflow_id("charge"), RunId("r1")


class Till:
    """An engine, its first process, and one standalone activity."""

    def __init__(self, engine: Engine, first: Process) -> None:
        self.engine, self.first = engine, first
        self.namespace, self.store = NAMESPACE, engine.store
        self.clock, self.dispatcher = engine.clock, engine.dispatcher

    def wish(self, **fields: Any) -> StartRun:
        given = {
            "activity_id": "charge",
            "activity_type": "charge",
            "task_queue": QUEUE,
            "request_id": RUN,
            "start_to_close_timeout_ms": 60_000,
            **fields,
        }
        return standalone_start_of(
            StandaloneOptions(**given), key=ActivityKey("k"), now_ms=self.clock.ms
        )

    async def start(self, **fields: Any) -> None:
        services: Any = self  # Any: as much of them as a start needs
        await start_standalone(services, self.wish(**fields))
        await self.engine.settle()

    async def types(self) -> list[str]:
        return [e.type async for page in self.store.history(A, RUN) for e in page]

    async def record(self) -> AttemptRecord | None:
        return await self.store.record(A, RUN, EventId(2))

    async def status(self) -> RunStatus:
        view = await self.store.run(A)
        assert view is not None
        return view.status

    async def another(self, name: str = "p2") -> Process:
        made = Process(self.engine, name)
        await made.open()
        return made

    async def ended_once(self, status: RunStatus = RunStatus.COMPLETED) -> None:
        """It has ended so, its history says it once, and nothing is left in anybody's hands."""
        assert await self.status() is status
        types = await self.types()
        assert types[:2] == ["WorkflowExecutionStarted", "ActivityTaskScheduled"]
        closing = [one for one in types[2:] if one.startswith("WorkflowExecution")]
        assert len([one for one in closing if not one.endswith("CancelRequested")]) == 1
        for queue in (WorkflowQueue(QUEUE), ActivityQueue(QUEUE)):
            assert await self.engine.broker.ready(queue) == 0
        assert self.engine.wakeups == []


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    engine = Engine()
    engine.takes_activities = False
    await engine.open()
    first = Process(engine, "p1")
    await first.open()
    yield Till(engine, first)
    first.tasks.abort()
    await first.broker.close()
    await engine.broker.close()
    assert engine.errors == []


def lose_answers(monkeypatch: pytest.MonkeyPatch, store: Any, name: str, count: int) -> None:
    """The store does what it is asked to, and the first answers do not arrive."""
    act: Callable[[Any], Awaitable[Any]] = getattr(store, name)
    left = [count]

    async def unheard(asked: Any) -> Any:
        answer = await act(asked)
        if left[0]:
            left[0] -= 1
            raise UnavailableError("the answer was lost")
        return answer

    monkeypatch.setattr(store, name, unheard)


async def test_a_doubled_message_runs_it_once(till: Till) -> None:
    await till.start()
    deliver(till.engine, task_body(till.first))
    till.first.outcomes.put_nowait(PAID)
    await till.engine.settle()
    assert len(till.first.attempts) == 1
    await till.ended_once()
    deliver(till.engine, task_body(till.first))
    await till.engine.settle()
    assert len(till.first.attempts) == 1
    await till.ended_once()


async def test_a_start_whose_answer_was_lost_runs_by_its_row(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(monkeypatch, till.store, "start", 1)
    services: Any = till  # Any: as above
    starting = asyncio.create_task(start_standalone(services, till.wish()))
    await till.engine.settle()
    await till.engine.pass_time(1_000)
    assert await starting == RUN
    assert till.first.attempts == []
    await till.engine.pass_time(2_000)
    till.first.outcomes.put_nowait(PAID)
    await till.engine.settle()
    await till.ended_once()


async def test_an_end_whose_answer_was_lost_is_told_again_and_is_not_late(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.start()
    lose_answers(monkeypatch, till.store, "finish", 1)
    till.first.outcomes.put_nowait(PAID)
    await till.engine.settle()
    await till.engine.pass_time(2_000)
    assert till.first.counters.value("activities_completed") == 1
    assert till.first.counters.value("activities_late") == 0
    await till.first.tasks.repeat_finishes()
    await till.ended_once()


async def test_the_activity_of_a_killed_holder_is_taken_over(till: Till) -> None:
    await till.start()
    second = await till.another()
    await till.first.die()
    (attempt,) = second.attempts
    assert attempt.begun.attempt == 2
    second.outcomes.put_nowait(PAID)
    await till.engine.settle()
    await till.ended_once()
    await second.broker.close()


async def test_at_most_once_ends_with_its_holder(till: Till) -> None:
    await till.start(retry_policy=RetryOptions(maximum_attempts=1))
    second = await till.another()
    await till.first.die()
    for _ in range(30):
        await till.engine.pass_time(1_000)
    assert second.attempts == []
    await till.ended_once(RunStatus.TIMED_OUT)
    await second.broker.close()


async def test_a_lost_holder_that_was_to_be_cancelled_ends_it_cancelled(till: Till) -> None:
    await till.start()
    asked = await till.store.cancel_standalone(cancel_of(A, RUN, reason="", identity="me"))
    assert isinstance(asked, CancelAsked)
    assert till.first.attempts[0].stopping == ActivityCancellationDetails(cancel_requested=True)
    await till.first.die()
    second = await till.another()
    for _ in range(30):
        await till.engine.pass_time(1_000)
    assert second.attempts == []
    await till.ended_once(RunStatus.CANCELED)
    await second.broker.close()


async def test_a_cancel_whose_answer_was_lost_is_asked_again_without_a_trace(till: Till) -> None:
    await till.start()
    cancel = cancel_of(A, RUN, reason="", identity="me")
    await till.store.cancel_standalone(cancel)
    await till.store.cancel_standalone(cancel)
    till.first.outcomes.put_nowait(Failure(message="", detail=CanceledFailure()))
    await till.engine.settle()
    assert (await till.types()).count("WorkflowExecutionCancelRequested") == 1
    await till.ended_once(RunStatus.CANCELED)


async def test_the_outcome_of_a_terminated_one_is_late_and_changes_nothing(till: Till) -> None:
    await till.start()
    close = ForcedClose(
        workflow_id=A, event=WorkflowExecutionTerminated(), status=RunStatus.TERMINATED
    )
    assert isinstance(await till.store.force_close(close), Closed)
    till.first.outcomes.put_nowait(PAID)
    await till.engine.settle()
    assert till.first.counters.value("activities_late") == 1
    await till.ended_once(RunStatus.TERMINATED)
    await till.engine.pass_time(1_000)
    assert await till.record() is None
    await till.engine.pass_time(60_000)
    assert await till.store.run(A) is None


async def test_a_retry_waits_in_its_row_across_the_death_of_everybody(till: Till) -> None:
    await till.start(retry_policy=RetryOptions(initial_interval_ms=30_000))
    till.first.outcomes.put_nowait(BOOM)
    await till.engine.settle()
    await till.first.die()
    second = await till.another()
    await till.engine.pass_time(30_000)
    (attempt,) = second.attempts
    assert attempt.begun.attempt == 2
    assert attempt.begun.last_failure == BOOM
    second.outcomes.put_nowait(PAID)
    await till.engine.settle()
    await till.ended_once()
    await second.broker.close()
