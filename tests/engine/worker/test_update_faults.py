"""Updates while messages are doubled or lost, answers are lost, workers die or rival: one effect.

After every test the history replays on a worker that has never seen it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.core.transition import Append, ForcedClose
from orchestrator.core.updates import request_of
from orchestrator.exceptions import ApplicationError, UnavailableError
from orchestrator.ids import OperationId, UpdateId
from orchestrator.limits import CLOSE_REFUSALS_MAX, COMMIT_COMMANDS_MAX
from orchestrator.ports.broker import ActivityQueue, Outgoing, WorkflowQueue
from orchestrator.ports.store import Appended, UpdateView
from orchestrator.replay.facts import Activation
from orchestrator.wire.events import (
    WorkflowExecutionTerminated,
    WorkflowExecutionUpdateCompleted,
)
from orchestrator.wire.inbox import UpdateReceived
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.worker.isolation_order import to_activation, to_step
from tests.engine.worker.test_faults import (
    die_after_commit,
    double_everything,
    lose,
    pass_seconds,
)
from tests.unit.memory_engine import RUN, WORKFLOW, Engine
from tests.unit.worker.workers import Worker, ask_for_text, result, signal, start, view


@workflow.defn
class Desk:
    """Takes notes; `pay` needs an activity, `close` ends the run."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.closed = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.closed)
        return self.notes

    @workflow.update
    def note(self, text: str) -> int:
        self.notes.append(text)
        return len(self.notes)

    @note.validator
    def check(self, text: str) -> None:
        if text == "bad":
            raise ApplicationError("a bad word")

    @workflow.update
    async def pay(self, text: str) -> str:
        paid = await workflow.execute_activity(
            "pay", text, start_to_close_timeout=timedelta(seconds=10)
        )
        self.notes.append(f"{paid} {text}")
        return f"{paid} {text}"

    @workflow.update
    async def flood(self, text: str) -> int:
        sleeps = [workflow.sleep(60 + n) for n in range(450)]
        self.tasks = [asyncio.create_task(one) for one in sleeps]
        await asyncio.sleep(0)
        return len(self.tasks)

    @workflow.update
    def broken(self, text: str) -> None:
        raise KeyError(text)

    @workflow.signal
    def close(self, text: str) -> None:
        self.closed = True

    @workflow.query
    def noted(self) -> list[str]:
        return self.notes


@workflow.defn(name="Desk")
class MendedDesk(Desk):
    """What a deploy makes of it."""

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.closed)
        return self.notes

    @workflow.update
    def broken(self, text: str) -> None:
        self.notes.append(f"mended {text}")


def desk(engine: Engine, name: str = "w1", **options: Any) -> Worker:
    return Worker(engine, name, workflows=[Desk], **options)


async def append_update(
    engine: Engine, name: str, text: str, *, id: str, operation: str | None = None
) -> Appended | None:
    """Send an update whose wake-up is lost."""
    operation_id = OperationId(operation or f"operation of {id}")
    append = Append(
        workflow_id=WORKFLOW,
        body=UpdateReceived(
            update_id=id,
            update_name=name,
            input=(Payload.of_json(f'"{text}"'.encode()),),
            operation_id=operation_id,
        ),
        message=True,
        operation_id=operation_id,
    )
    answer = await engine.store.append(append)
    return answer if isinstance(answer, Appended) else None


async def update(
    engine: Engine, name: str, text: str, *, id: str = "u1", operation: str | None = None
) -> None:
    """Send an update as a client does: append, publish the wake-up."""
    answer = await append_update(engine, name, text, id=id, operation=operation)
    if answer is not None and answer.wake is not None:
        engine.dispatcher.wake(WORKFLOW, answer.wake)
    await engine.settle()


async def look(engine: Engine, id: str = "u1") -> UpdateView:
    found = await engine.store.update(
        WORKFLOW, RUN, UpdateId(id), operation_id=OperationId(f"operation of {id}")
    )
    assert found is not None
    return found


async def outcome(engine: Engine, id: str = "u1") -> str:
    """What a completed update returned, as JSON."""
    found = await look(engine, id)
    assert found.completed is not None, (found, await engine.types())
    done = found.completed.attributes
    assert isinstance(done, WorkflowExecutionUpdateCompleted)
    assert done.result is not None, done.failure
    return done.result.content().decode()


async def one_effect(engine: Engine, *workers: Worker) -> None:
    """The update `pay` had one effect, the history is whole, and nothing is in anybody's hands."""
    assert await outcome(engine) == '"paid pizza"'
    types = await engine.types()
    for once in (
        "WorkflowExecutionUpdateAccepted",
        "WorkflowExecutionUpdateCompleted",
        "ActivityTaskScheduled",
        "ActivityTaskCompleted",
    ):
        assert types.count(once) == 1, types
    assert sum(len(worker.paid) for worker in workers) == 1
    assert [worker.in_hand() for worker in workers] == [0] * len(workers)
    assert await replayed(engine) == '["paid pizza"]'


async def replayed(engine: Engine) -> str:
    """What a worker that has never seen the run finds in it."""
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    fresh = await desk(engine, "fresh", takes_activities=False).open()
    found = await ask_for_text(engine, "noted")
    await fresh.die()
    return found


async def test_every_message_doubled(bare: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    double_everything(bare, monkeypatch)
    workers = [await desk(bare, f"w{n}").open() for n in range(2)]
    await start(bare, "Desk")
    await update(bare, "pay", "pizza")
    await pass_seconds(bare, 3)
    await one_effect(bare, *workers)


@pytest.mark.parametrize("kind", [WorkflowQueue, ActivityQueue])
async def test_every_first_message_of_a_kind_lost(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    await bare.broker.declare(WorkflowQueue("lost"))  # type: ignore[arg-type]  # a plain text is a name
    repeated: set[bytes] = set()

    def first(message: Outgoing) -> bool:
        new = isinstance(message.to, kind) and message.body not in repeated
        repeated.add(message.body)
        return new

    lose(bare, monkeypatch, first)
    worker = await desk(bare).open()
    await start(bare, "Desk")
    await pass_seconds(bare, 12)
    await update(bare, "pay", "pizza")
    await pass_seconds(bare, 24)
    monkeypatch.undo()
    await one_effect(bare, worker)


@pytest.mark.parametrize("name", ["sync", "commit", "append", "finish"])
async def test_every_other_answer_of_the_store_lost(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    call: Callable[..., Awaitable[object]] = getattr(bare.store, name)
    calls = 0

    async def forgetful(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        answer = await call(*args, **options)
        if calls % 2:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    worker = await desk(bare, cached=0 if name == "sync" else 100).open()
    await start(bare, "Desk")
    monkeypatch.setattr(bare.store, name, forgetful)
    for _ in range(2):
        try:
            await update(bare, "pay", "pizza")
        except UnavailableError:
            await pass_seconds(bare, 1)
    await pass_seconds(bare, 6)
    assert calls > 1
    monkeypatch.undo()
    await one_effect(bare, worker)


@pytest.mark.parametrize("number", [2, 3])
async def test_an_accepted_update_survives_the_death_of_its_worker(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Killed after the commit that accepts it, and after the one that completes it."""
    first = await desk(bare, "w1").open()
    die_after_commit(bare, monkeypatch, first, number=number)
    await start(bare, "Desk")
    await update(bare, "pay", "pizza")
    await bare.settle()
    types = [one for one in await bare.types() if "Update" in one]
    assert (
        types
        == ["WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"][: number - 1]
    )
    second = await desk(bare, "w2").open()
    await pass_seconds(bare, 12)
    await one_effect(bare, first, second)


async def test_a_worker_killed_while_a_handler_runs_leaves_an_update_that_waits(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = bare.store.commit
    first = await desk(bare, "w1").open()
    await start(bare, "Desk")

    async def deadly(transition: object) -> object:
        await first.die()
        await asyncio.sleep(0)
        raise UnavailableError("nobody is there to hear")

    monkeypatch.setattr(bare.store, "commit", deadly)
    await update(bare, "pay", "pizza")
    monkeypatch.setattr(bare.store, "commit", commit)
    assert (await look(bare)).accepted_event_id is None
    assert await bare.inbox() == ["UpdateReceived"]
    second = await desk(bare, "w2").open()
    await pass_seconds(bare, 12)
    await one_effect(bare, first, second)


async def test_two_workers_on_one_run_have_one_outcome_for_each_update(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = bare.store.commit

    async def far_away(transition: Any) -> object:  # Any: passed through
        await asyncio.sleep(0)
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", far_away)
    double_everything(bare, monkeypatch)
    workers = [await desk(bare, f"w{n}").open() for n in range(2)]
    await start(bare, "Desk")
    for number in range(10):
        await asyncio.gather(
            *(update(bare, "note", "x", id=f"{number}-{n}") for n in range(3)),
            update(bare, "note", "bad", id=f"{number}-bad"),
        )
    await pass_seconds(bare, 3)
    counts = sorted(
        [int(await outcome(bare, f"{number}-{n}")) for number in range(10) for n in range(3)]
    )
    assert counts == list(range(1, 31))
    for number in range(10):
        rejected = await look(bare, f"{number}-bad")
        assert rejected.reply is not None
        assert rejected.accepted_event_id is None
    assert sum(worker.counters.value("stale") for worker in workers) > 0
    assert [worker.in_hand() for worker in workers] == [0, 0]
    assert await bare.inbox() == []
    assert (await replayed(bare)).count("x") == 30


async def test_a_repeat_of_an_update_that_was_consumed_is_dropped_by_its_operation_and_its_id(
    bare: Engine,
) -> None:
    worker = await desk(bare).open()
    await start(bare, "Desk")
    await update(bare, "note", "a")
    assert await append_update(bare, "note", "a", id="u1") is None
    await update(bare, "note", "a", operation="another")
    assert worker.counters.value("dropped_entries") == 1
    assert await outcome(bare) == "1"
    assert await replayed(bare) == '["a"]'


async def test_a_large_task_of_an_update_is_finished_by_another_worker(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await desk(bare, "w1").open()
    await start(bare, "Desk")
    die_after_commit(bare, monkeypatch, first, number=1)
    await update(bare, "flood", "x")
    types = await bare.types()
    assert types.count("TimerStarted") == COMMIT_COMMANDS_MAX - 1
    assert (await look(bare)).completed is None
    second = await desk(bare, "w2").open()
    await pass_seconds(bare, 12)
    assert (await bare.types()).count("TimerStarted") == 450
    assert await outcome(bare) == "450"
    assert second.in_hand() == 0
    assert await replayed(bare) == "[]"


async def test_a_bug_in_a_handler_is_mended_by_a_deploy_and_the_update_is_done_then(
    bare: Engine,
) -> None:
    first = await desk(bare, "w1").open()
    await start(bare, "Desk")
    await update(bare, "broken", "chair")
    assert (await look(bare)).accepted_event_id is None
    assert "KeyError" in str((await view(bare)).problem)
    await update(bare, "note", "waits behind it", id="u2")
    await first.die()
    second = await Worker(bare, "w2", workflows=[MendedDesk]).open()
    await pass_seconds(bare, 3)
    assert (await look(bare)).completed is not None
    assert await outcome(bare, "u2") == "2"
    assert second.in_hand() == 0


async def test_a_close_that_has_not_seen_every_update_is_refused_and_then_forced(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, sent = bare.store.commit, 0

    async def overtaken(transition: Any) -> object:  # Any: passed through
        nonlocal sent
        if transition.close is not None and sent < CLOSE_REFUSALS_MAX + 1:
            sent += 1
            await append_update(bare, "note", f"late {sent}", id=f"late {sent}")
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", overtaken)
    await desk(bare).open()
    await start(bare, "Desk")
    await signal(bare, "now", name="close")
    assert (await view(bare)).status is RunStatus.COMPLETED
    assert (await result(bare)).count("late") == CLOSE_REFUSALS_MAX
    last = await look(bare, f"late {CLOSE_REFUSALS_MAX + 1}")
    assert (last.accepted_event_id, last.status) == (None, RunStatus.COMPLETED)


async def test_a_zombie_s_rejection_is_told_to_nobody(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk(bare).open()
    await start(bare, "Desk")
    commit, terminated = bare.store.commit, False

    async def overtaken(transition: Any) -> object:  # Any: passed through
        nonlocal terminated
        if not terminated:
            terminated = True
            close = ForcedClose(
                workflow_id=WORKFLOW,
                event=WorkflowExecutionTerminated(),
                status=RunStatus.TERMINATED,
            )
            await bare.store.force_close(close)
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", overtaken)
    await update(bare, "note", "bad")
    found = await look(bare)
    assert (found.reply, found.status) == (None, RunStatus.TERMINATED)


async def test_an_activation_of_nothing_but_rejected_updates_writes_no_event(bare: Engine) -> None:
    worker = await desk(bare).open()
    await start(bare, "Desk")
    before = await bare.types()
    bare.clock.ms += 60_000
    await update(bare, "note", "bad")
    found = await look(bare)
    assert found.reply is not None
    assert found.reply.failure is not None
    assert found.reply.failure.message == "a bad word"
    assert await bare.types() == before
    assert await bare.inbox() == []
    assert worker.counters.value("commits") == 2
    await update(bare, "note", "good", id="u2")
    assert await outcome(bare, "u2") == "1"


def test_an_activation_with_updates_is_told_to_a_process_of_its_own_whole() -> None:
    received = UpdateReceived(update_id="u", update_name="n", input=(Payload.of_json(b"1"),))
    activation = Activation(
        time_ms=5, updates=(request_of(received, after_event_id=3),), history_length=7
    )
    assert to_activation(to_step(activation)) == activation
