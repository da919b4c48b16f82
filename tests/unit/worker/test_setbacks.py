"""Tasks that cannot be done: failed, parked, handed back, stumbled over. Nothing leaks or loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from orchestrator.core.decide import LOOP_VERSION
from orchestrator.exceptions import MalformedMessageError
from orchestrator.ids import WorkflowId
from orchestrator.limits import (
    CRASHES_BEFORE_ISOLATION,
    CRASHES_BEFORE_PARKING,
    TASK_BACKOFF_MAX_MS,
)
from orchestrator.ports.broker import WorkflowQueue
from orchestrator.ports.store import Head
from orchestrator.wire.events import WorkflowTaskFailed, WorkflowTaskFailureCause
from orchestrator.wire.options import RunStatus
from tests.unit.memory_engine import QUEUE, RUN, WORKFLOW, Engine
from tests.unit.worker import shop
from tests.unit.worker.workers import Worker, order, result, signal, start, view

_T = TypeVar("_T")


def head(engine: Engine) -> Head:
    return engine.store._state.workflows[WORKFLOW].head


def fields_of(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:  # Any: fields
    """The fields of each record of an event."""
    records = [record for record in caplog.records if record.msg == event]
    return [{**record.fields, "level": record.levelname} for record in records]  # type: ignore[attr-defined]  # ours


async def failures(engine: Engine) -> list[WorkflowTaskFailed]:
    events = [e async for page in engine.store.history(WORKFLOW, RUN) for e in page]
    return [e.attributes for e in events if isinstance(e.attributes, WorkflowTaskFailed)]


# Failed tasks -------------------------------------------------------------------------------------


async def test_a_failing_task_rests_twice_as_long_each_time_and_says_so(
    bare: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Broken")
    for rest_ms in (1_000, 2_000, 4_000):
        await bare.pass_time(rest_ms - 1)
        counted = worker.counters.value("task_failures")
        await bare.pass_time(1)
        assert worker.counters.value("task_failures") == counted + 1
    logged = fields_of(caplog, "workflow_task_failed")
    assert [(one["attempt"], one["backoff_ms"]) for one in logged] == [
        (1, 1_000),
        (2, 2_000),
        (3, 4_000),
        (4, 8_000),
    ]
    assert logged[0]["level"] == "WARNING"
    assert logged[0]["cause"] == "workflow_code"
    assert "a bug" in logged[0]["failure"]
    assert "in Broken.run" in logged[0]["exception"]
    assert (logged[0]["namespace"], logged[0]["workflow_id"], logged[0]["run_id"]) == (
        "default",
        WORKFLOW,
        RUN,
    )
    assert len(await failures(bare)) == 1
    assert worker.in_hand() == 0


async def test_code_that_does_not_fit_is_logged_with_both_sides_and_goes_on_when_put_back(
    bare: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await (await Worker(bare).open()).die()
    first = await Worker(bare, "w1").open()
    await order(bare)
    await first.die()
    second = await Worker(bare, "w2", workflows=[shop.ChangedOrder]).open()
    await signal(bare, "cola")
    (logged,) = fields_of(caplog, "workflow_task_failed")
    assert logged["cause"] == "nondeterminism"
    assert "ActivityTaskScheduled 'pay'" in logged["failure"]
    assert "StartTimer" in logged["failure"]
    assert "shop.py" in logged["failure"]
    assert (await view(bare)).problem == f"nondeterminism: {logged['failure']}"
    await second.die()
    await Worker(bare, "w3").open()
    await bare.pass_time(1_000)
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_a_blocked_activation_is_a_failed_task_and_its_run_is_thrown_away(
    bare: Engine,
) -> None:
    blocked: list[object] = []

    class BlockedError(Exception):
        pass

    def guard(act: Callable[[], _T]) -> _T:
        answer = act()
        if not blocked:
            blocked.append(answer)
            raise BlockedError('ran over 2 s at File "shop.py", line 1')
        return answer

    worker = await Worker(bare, guard=guard).open()
    await start(bare, "Order", "pizza")
    (failed,) = await failures(bare)
    assert failed.cause is WorkflowTaskFailureCause.BLOCKED
    assert "ran over 2 s" in failed.failure.message
    assert len(worker.cache) == 0
    assert worker.in_hand() == 0
    await bare.pass_time(1_000)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_a_replay_is_guarded_too(bare: Engine) -> None:
    first = await Worker(bare).open()
    await order(bare)
    await first.die()

    def guard(act: Callable[[], _T]) -> _T:
        raise TimeoutError("ran over 2 s")

    second = await Worker(bare, "w2", guard=guard).open()
    await signal(bare, "cola")
    (failed,) = await failures(bare)
    assert failed.cause is WorkflowTaskFailureCause.BLOCKED
    assert second.in_hand() == 0


async def test_code_that_ends_its_process_fails_its_task_only(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Exits")
    (failed,) = await failures(bare)
    assert failed.cause is WorkflowTaskFailureCause.WORKFLOW_CODE
    assert worker.in_hand() == 0


# Handed back --------------------------------------------------------------------------------------


async def test_a_run_of_an_unknown_type_is_handed_back_uncounted_and_warned_of_once_a_minute(
    bare: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await Worker(bare, workflows=[]).open()
    await start(bare, "Order", "pizza")
    for _ in range(13):
        await bare.pass_time(5_000)
    assert head(bare).attempt == 0
    assert head(bare).failures == 0
    logged = fields_of(caplog, "run_handed_back")
    assert len(logged) == 2
    assert logged[0]["level"] == "WARNING"
    assert logged[0]["lacks"] == "workflow type 'Order'; known: none"
    assert await bare.types() == ["WorkflowExecutionStarted"]
    assert worker.in_hand() == 0


async def test_a_history_of_a_later_release_is_handed_back(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = await Worker(bare).open()
    await order(bare)
    await first.die()
    monkeypatch.setattr("orchestrator.worker.run_loader.LOOP_VERSION", LOOP_VERSION - 1)
    await Worker(bare, "w2").open()
    await signal(bare, "cola")
    (logged,) = fields_of(caplog, "run_handed_back")
    assert "loop version 1" in logged["lacks"]
    assert await failures(bare) == []


@pytest.mark.parametrize("name", ["sync", "history"])
async def test_what_this_release_cannot_read_is_handed_back(
    bare: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    worker = await Worker(bare).open()

    def unreadable(*args: object, **options: object) -> object:
        raise MalformedMessageError("a known event type", "found 'Later'; update this worker")

    await bare.start()
    with monkeypatch.context() as patched:
        patched.setattr(bare.store, name, unreadable)
        await bare.pass_time(2_000)
    (logged,) = fields_of(caplog, "run_handed_back")
    assert "'Later'" in logged["lacks"]
    assert worker.in_hand() == 0
    assert await failures(bare) == []
    await bare.pass_time(5_000)
    assert len(await bare.types()) > 1


# Errors of our own --------------------------------------------------------------------------------


async def test_an_unexpected_error_hands_the_run_back_and_does_not_loop(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await Worker(bare).open()
    commit, tried = bare.store.commit, 0

    async def defect(transition: object) -> object:
        nonlocal tried
        tried += 1
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(bare.store, "commit", defect)
    await order(bare)
    await bare.pass_time(4_999)
    assert tried == 1
    assert worker.in_hand() == 0
    assert len(worker.cache) == 0
    assert head(bare).attempt == 0
    (logged,) = fields_of(caplog, "workflow_task_stumbled")
    assert logged["level"] == "ERROR"
    assert logged["workflow_id"] == WORKFLOW
    assert "a bug of ours" in caplog.text
    monkeypatch.setattr(bare.store, "commit", commit)
    await bare.pass_time(1)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_an_error_while_handing_back_still_leaves_no_delivery_in_hand(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()

    async def defect(*args: object, **options: object) -> object:
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as patched:
        patched.setattr(bare.store, "commit", defect)
        patched.setattr(bare.store, "hand_back", defect)
        await order(bare)
        assert worker.in_hand() == 0
    await bare.pass_time(10_000)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_an_unexpected_error_of_one_run_leaves_the_others_alone(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare).open()
    commit = bare.store.commit

    async def defect(transition: Any) -> object:  # Any: passed through
        if transition.workflow_id == "other":
            raise RuntimeError("a bug of ours")
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", defect)
    await bare.start(workflow_id=WorkflowId("other"), request_id="run-0", workflow_type="Diary")
    await order(bare)
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_a_cancelled_worker_leaves_its_deliveries_to_others(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    never = asyncio.Event()

    async def hang(transition: object) -> object:
        await never.wait()
        return None

    await order(bare)
    with monkeypatch.context() as patched:
        patched.setattr(bare.store, "commit", hang)
        await signal(bare, "cola")
        assert worker.in_hand() == 1
        worker.workflows.abort()
        await worker.workflows.drain()
    assert worker.in_hand() == 1
    assert len(worker.cache) == 0
    await worker.broker.close()
    assert await bare.broker.ready(WorkflowQueue(QUEUE)) == 1
    await Worker(bare, "w2").open()
    await bare.settle()
    assert await result(bare) == "\"paid, added ['cola']\""


# Runs that take their workers down ----------------------------------------------------------------


class Killer:
    """User code that ends its worker's process, as long as a victim is named."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.isolated: list[WorkflowId] = []
        self.verdict: str | None = None
        self.victim: Worker | None = None
        self.deaths = 0

    def guard(self, act: Callable[[], _T]) -> _T:
        if self.victim is None:
            return act()
        self.deaths += 1
        victim, self.victim = self.victim, None
        victim.workflows.abort()
        self.dying = asyncio.create_task(victim.broker.close())
        raise asyncio.CancelledError

    async def isolate(self, workflow_id: WorkflowId) -> str | None:
        self.isolated.append(workflow_id)
        return self.verdict

    async def next_worker(self) -> Worker:
        worker = Worker(self.engine, f"w{self.deaths}", guard=self.guard, isolate=self.isolate)
        self.victim = worker
        await worker.open()
        await self.engine.settle()
        return worker


async def crash(killer: Killer, times: int) -> None:
    for _ in range(times):
        deaths = killer.deaths
        await killer.next_worker()
        assert killer.deaths == deaths + 1


async def started_with_killer(engine: Engine) -> Killer:
    killer = Killer(engine)
    await engine.broker.declare(WorkflowQueue(QUEUE))
    await start(engine, "Diary")
    return killer


async def test_a_run_begun_three_times_without_a_trace_is_tried_alone_and_goes_on_if_it_survives(
    bare: Engine,
) -> None:
    killer = await started_with_killer(bare)
    await crash(killer, CRASHES_BEFORE_ISOLATION - 1)
    assert killer.isolated == []
    assert head(bare).attempt == CRASHES_BEFORE_ISOLATION - 1
    worker = Worker(bare, "w9", isolate=killer.isolate)
    await worker.open()
    await bare.settle()
    assert killer.isolated == [WORKFLOW]
    assert head(bare).attempt == 0
    assert (await view(bare)).problem is None
    assert worker.in_hand() == 0


async def test_a_run_that_does_not_survive_alone_is_parked_and_can_go_on_later(
    bare: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    killer = await started_with_killer(bare)
    await crash(killer, CRASHES_BEFORE_ISOLATION - 1)
    killer.verdict = "killed by signal 9 while it replayed"
    worker = Worker(bare, "w9", isolate=killer.isolate)
    await worker.open()
    await bare.settle()
    assert (await view(bare)).problem == f"STALLED: {killer.verdict}"
    assert (await view(bare)).status is RunStatus.RUNNING
    (failed,) = await failures(bare)
    assert failed.cause is WorkflowTaskFailureCause.CRASHED
    (logged,) = fields_of(caplog, "run_parked")
    assert logged["backoff_ms"] == TASK_BACKOFF_MAX_MS
    await signal(bare, "a")
    await bare.pass_time(TASK_BACKOFF_MAX_MS - 1)
    assert len(killer.isolated) == 1
    await bare.pass_time(1)
    assert len(killer.isolated) == 2
    killer.verdict = None
    await bare.pass_time(TASK_BACKOFF_MAX_MS)
    assert len(killer.isolated) == 3
    assert (await view(bare)).problem is None
    assert "WorkflowExecutionSignaled" in await bare.types()
    assert worker.in_hand() == 0


async def test_a_run_that_survives_alone_and_still_kills_is_parked_after_six_crashes(
    bare: Engine,
) -> None:
    killer = await started_with_killer(bare)
    await crash(killer, CRASHES_BEFORE_PARKING - 1)
    assert len(killer.isolated) == CRASHES_BEFORE_PARKING - CRASHES_BEFORE_ISOLATION
    await killer.next_worker()
    killer.victim = None
    problem = (await view(bare)).problem
    assert problem is not None
    assert problem.startswith("STALLED: its worker died 6 times")
    await bare.pass_time(TASK_BACKOFF_MAX_MS)
    assert (await view(bare)).problem is None


async def test_an_error_of_the_isolation_hands_the_run_back(
    bare: Engine,
) -> None:
    killer = await started_with_killer(bare)
    await crash(killer, CRASHES_BEFORE_ISOLATION - 1)

    async def no_process(workflow_id: WorkflowId) -> str | None:
        raise OSError("cannot allocate memory")

    worker = Worker(bare, "w9", isolate=no_process)
    await worker.open()
    await bare.settle()
    assert worker.in_hand() == 0
    assert head(bare).attempt == CRASHES_BEFORE_ISOLATION - 1
    assert await failures(bare) == []


async def test_a_damaged_history_is_named_as_what_the_run_waits_for(bare: Engine) -> None:
    await Worker(bare, cached=0).open()
    await order(bare)
    kept = bare.store._state.runs[WORKFLOW, RUN].history
    damaged = [*kept[:5], *kept[6:]]
    kept[:] = damaged
    await signal(bare, "cola")
    problem = (await view(bare)).problem
    assert problem is not None
    assert "HistoryGapError: the history is damaged" in problem
    assert "expected event 6, found 7" in problem


async def test_a_text_that_cannot_be_stored_fails_the_task_and_says_so(bare: Engine) -> None:
    worker = await Worker(bare, workflows=[shop.Garbled]).open()
    await start(bare, "Garbled")
    (failed,) = await failures(bare)
    assert failed.cause is WorkflowTaskFailureCause.PAYLOAD
    assert "a text of the workflow's code cannot be stored" in failed.failure.message
    assert (worker.in_hand(), len(worker.cache)) == (0, 0)
