"""Local activities that take long, under accidents, signals and cancellations: nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.core.transition import Append, ForcedClose
from orchestrator.exceptions import UnavailableError
from orchestrator.ports.broker import WorkflowQueue
from orchestrator.ports.store import Appended
from orchestrator.wire import events as e
from orchestrator.wire.inbox import CancelReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from tests.engine.worker.test_local_activities import Kind, Kitchen, Many, Simmer, Twice
from tests.unit.memory_engine import QUEUE, WORKFLOW, Engine
from tests.unit.worker.workers import Worker, append_signal, result, view

WORKFLOWS = [Simmer, Many, Twice]


async def open_worker(engine: Engine, kitchen: Kitchen, name: str = "w1", **options: Any) -> Worker:
    return await Worker(engine, name, workflows=WORKFLOWS, local=kitchen.all, **options).open()


async def simmer(engine: Engine, kind: Kind = Kind.TRY_CANCEL) -> None:
    """A run whose local activity is in flight."""
    await begin(engine, "Simmer", str(int(kind)).encode())


async def begin(engine: Engine, workflow_type: str, *args: bytes) -> None:
    await engine.start(
        workflow_type=workflow_type, input=tuple(Payload.of_json(text) for text in args)
    )
    await engine.pass_time(2_000)


async def seconds(engine: Engine, count: int) -> None:
    for _ in range(count):
        await engine.pass_time(1_000)


async def row_ms(engine: Engine) -> int:
    """When the run's wake-up is repeated."""
    row = engine.store._state.workflows[WORKFLOW].row
    assert row is not None
    return row.due_at_ms - engine.clock.ms


async def test_the_run_stays_in_its_workers_hands_while_it_takes_long(bare: Engine) -> None:
    kitchen = Kitchen()
    worker, rival = await open_worker(bare, kitchen), await open_worker(bare, kitchen, "w2")
    await simmer(bare)
    await seconds(bare, 120)
    assert kitchen.calls == ["soup"]
    assert await row_ms(bare) > 0
    kitchen.go_on.set()
    await bare.settle()
    await seconds(bare, 1)
    assert await result(bare) == '"simmered soup []"'
    assert kitchen.calls == ["soup"]
    assert (worker.in_hand(), rival.in_hand()) == (0, 0)
    assert await bare.broker.ready(WorkflowQueue(QUEUE)) == 0


async def test_signals_are_seen_while_it_runs(bare: Engine) -> None:
    kitchen = Kitchen()
    await open_worker(bare, kitchen)
    await simmer(bare)
    await append_signal(bare, "a pinch", name="add_salt")
    await seconds(bare, 12)
    assert (await bare.types()).count("WorkflowExecutionSignaled") == 1
    kitchen.go_on.set()
    await seconds(bare, 1)
    assert await result(bare) == "\"simmered soup ['a pinch']\""
    assert kitchen.calls == ["soup"]


@pytest.mark.parametrize(
    ("kind", "calls", "end"),
    [
        (Kind.TRY_CANCEL, ["soup", "stopped"], '"CancelledError CANCEL_REQUESTED"'),
        (
            Kind.WAIT_CANCELLATION_COMPLETED,
            ["soup", "stopped"],
            '"CancelledError CANCEL_REQUESTED"',
        ),
        (Kind.ABANDON, ["soup"], '"CancelledError CANCEL_REQUESTED"'),
    ],
)
async def test_its_cancellation_type_decides(
    bare: Engine, kind: Kind, calls: list[str], end: str
) -> None:
    kitchen = Kitchen()
    await open_worker(bare, kitchen)
    await simmer(bare, kind)
    await append_signal(bare, "x", name="take_off")
    await seconds(bare, 12)
    assert kitchen.calls == calls
    assert await result(bare) == end


async def test_a_request_to_cancel_the_run_reaches_it(bare: Engine) -> None:
    kitchen = Kitchen()
    await open_worker(bare, kitchen)
    await simmer(bare)
    answer = await bare.store.append(Append(workflow_id=WORKFLOW, body=CancelReceived()))
    assert isinstance(answer, Appended)
    await seconds(bare, 12)
    assert kitchen.calls == ["soup", "stopped"]


@pytest.mark.parametrize("after_s", [0, 30])
async def test_a_worker_that_dies_while_it_runs_lets_another_run_it_again(
    bare: Engine, after_s: int
) -> None:
    first, second = Kitchen(), Kitchen()
    worker = await open_worker(bare, first)
    await simmer(bare)
    await append_signal(bare, "a pinch", name="add_salt")
    await seconds(bare, after_s)
    rival = await open_worker(bare, second, "w2")
    await worker.die()
    await seconds(bare, 12)
    assert first.calls == ["soup", "stopped"]
    assert second.calls == ["soup"]
    second.go_on.set()
    await seconds(bare, 1)
    assert await result(bare) == "\"simmered soup ['a pinch']\""
    assert rival.in_hand() == 0


async def test_what_has_ended_before_the_worker_dies_is_not_run_again(bare: Engine) -> None:
    first, second = Kitchen(), Kitchen()
    worker = await open_worker(bare, first)
    await begin(bare, "Twice")
    await seconds(bare, 12)
    assert first.calls == ["onion", "soup"]
    assert (await bare.types()).count("MarkerRecorded") == 1
    await open_worker(bare, second, "w2")
    await worker.die()
    await seconds(bare, 12)
    assert second.calls == ["soup"]
    second.go_on.set()
    await seconds(bare, 1)
    assert await result(bare) == '"chopped onion, simmered soup"'


async def test_a_run_that_is_terminated_meanwhile_stops_it(bare: Engine) -> None:
    kitchen = Kitchen()
    worker = await open_worker(bare, kitchen)
    await simmer(bare)
    close = ForcedClose(
        workflow_id=WORKFLOW,
        event=e.WorkflowExecutionTerminated(reason="enough"),
        status=RunStatus.TERMINATED,
    )
    await bare.store.force_close(close)
    await seconds(bare, 12)
    assert kitchen.calls == ["soup", "stopped"]
    assert (await view(bare)).status is RunStatus.TERMINATED
    assert worker.in_hand() == 0


@pytest.mark.parametrize("name", ["sync", "commit"])
async def test_answers_of_the_store_that_are_lost_change_nothing(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    call, calls = getattr(bare.store, name), 0

    async def forgetful(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        answer = await call(*args, **options)
        if calls % 2:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    monkeypatch.setattr(bare.store, name, forgetful)
    kitchen = Kitchen()
    await open_worker(bare, kitchen)
    await simmer(bare)
    await append_signal(bare, "a pinch", name="add_salt")
    await seconds(bare, 20)
    kitchen.go_on.set()
    await seconds(bare, 5)
    assert await result(bare) == "\"simmered soup ['a pinch']\""
    assert kitchen.calls == ["soup"]
    assert calls > 1


async def test_more_commands_than_fit_into_one_commit_stand_beside_local_activities(
    bare: Engine,
) -> None:
    kitchen = Kitchen()
    worker = await open_worker(bare, kitchen)
    await begin(bare, "Many")
    await seconds(bare, 3)
    assert await result(bare) == "450"
    assert len(worker.paid) == 450
    assert kitchen.calls == ["0", "1"]


async def test_a_worker_that_keeps_no_runs_replays_from_markers(bare: Engine) -> None:
    kitchen = Kitchen()
    await open_worker(bare, kitchen, cached=0)
    await begin(bare, "Twice")
    await append_signal(bare, "x", name="nothing")
    await seconds(bare, 20)
    kitchen.go_on.set()
    await asyncio.sleep(0)
    await seconds(bare, 2)
    assert kitchen.calls == ["onion", "soup"]
    assert await result(bare) == '"chopped onion, simmered soup"'
