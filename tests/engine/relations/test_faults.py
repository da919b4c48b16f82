"""What crosses from one workflow to another, under faults: calls that fail before or after they
took effect, processes that freeze, rivals, lost runs, lost and doubled messages. One outcome.

A family: a parent starts a child, sends it three signals at once and one more, waits for its
result, and leaves a second child behind when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.core.transition import Answer, ForcedClose, StartRun
from orchestrator.exceptions import UnavailableError, WorkflowAlreadyStartedError
from orchestrator.ids import RunId, WorkflowId
from orchestrator.limits import CHILD_WATCH_MIN_MS, INBOX_ENTRIES_MAX, ROW_LEASE_MS
from orchestrator.ports.broker import Outgoing, WorkflowQueue
from orchestrator.ports.store import DueKind, RunView
from orchestrator.wire.events import WorkflowExecutionTerminated
from orchestrator.wire.options import RunStatus
from tests.unit.memory_engine import WORKFLOW, Engine, duties_of
from tests.unit.memory_engine import engine as engine
from tests.unit.worker.workers import Worker, result, start, view

CHILD, LEFT = WorkflowId("child"), WorkflowId("left")
HEARD = '["a","b","c"]'


@workflow.defn
class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done)
        return self.heard

    @workflow.signal
    def hear(self, text: str) -> None:
        self.heard.append(text)

    @workflow.signal
    def end(self) -> None:
        self.done = True


@workflow.defn
class Family:
    @workflow.run
    async def run(self) -> list[str]:
        child = await workflow.start_child_workflow(Listener.run, id=CHILD)
        await asyncio.gather(*(child.signal(Listener.hear, text) for text in "abc"))
        await workflow.get_external_workflow_handle(CHILD).signal("end")
        heard = await child
        await workflow.start_child_workflow(Listener.run, id=LEFT)
        return heard


@workflow.defn
class Single:
    """Waits for one child."""

    @workflow.run
    async def run(self) -> str:
        try:
            return f"heard {await workflow.execute_child_workflow(Listener.run, id=CHILD)}"
        except WorkflowAlreadyStartedError:
            return "refused"


@workflow.defn
class Sender:
    @workflow.run
    async def run(self) -> None:
        other = workflow.get_external_workflow_handle(CHILD)
        await asyncio.gather(*(other.signal("hear", text) for text in "abc"))


WORKFLOWS = (Listener, Family, Single, Sender)
CALLS = ("start", "append", "answer", "move_row", "row", "event", "run", "force_close")


@pytest.fixture
async def bare(engine: Engine) -> AsyncIterator[Engine]:
    """An engine whose queues nobody reads yet; no error counts."""
    for consumer in list(engine.broker._consumers):
        await consumer.stop()
    yield engine
    engine.errors.clear()


async def pass_seconds(engine: Engine, seconds: int) -> None:
    for _ in range(seconds):
        await engine.pass_time(1_000)


async def run_of(engine: Engine, workflow_id: WorkflowId) -> RunView:
    found = await engine.store.run(workflow_id)
    assert found is not None, workflow_id
    return found


async def types_of(engine: Engine, workflow_id: WorkflowId, run_id: RunId) -> list[str]:
    return [e.type async for page in engine.store.history(workflow_id, run_id) for e in page]


async def ends_well(engine: Engine) -> None:
    """The family has ended as it should, each thing has happened once, and no row is left."""
    assert await result(engine) == HEARD
    types = await engine.types()
    for name, times in (
        ("StartChildWorkflowExecutionInitiated", 2),
        ("ChildWorkflowExecutionStarted", 2),
        ("ChildWorkflowExecutionCompleted", 1),
        ("SignalExternalWorkflowExecutionInitiated", 4),
        ("ExternalWorkflowExecutionSignaled", 4),
    ):
        assert types.count(name) == times, (name, types)
    child, left = await run_of(engine, CHILD), await run_of(engine, LEFT)
    assert (child.status, left.status) == (RunStatus.COMPLETED, RunStatus.TERMINATED)
    assert len(engine.store._state.runs) == 3
    heard = await types_of(engine, CHILD, child.run_id)
    assert heard.count("WorkflowExecutionSignaled") == 4
    kinds = {kind for kind, *_ in engine.store._state.timers}
    assert kinds <= {DueKind.RETENTION}


async def until_all_is_done(engine: Engine) -> None:
    """Let time pass until no row is left but those of retention."""
    for _ in range(60):
        await engine.pass_time(2_000)
        state = engine.store._state
        if all(kind is DueKind.RETENTION for kind, *_ in state.timers) and not any(
            workflow.row for workflow in state.workflows.values()
        ):
            return


def fail_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, place: int, after: bool
) -> Callable[[], int]:
    """The call number `place` of the duties fails, before or after it has taken effect. Gives the
    number of calls so far."""
    calls = 0

    def failing(call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def calling(*args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls != place:
                return await call(*args, **options)
            if after:
                await call(*args, **options)
            raise UnavailableError("the connection was cut")

        return calling

    for name in CALLS:
        monkeypatch.setattr(engine.store, name, failing(getattr(engine.store, name)))
    return lambda: calls


@pytest.mark.parametrize(("place", "after"), [(n, n % 4 < 2) for n in range(1, 39)])
async def test_any_call_may_fail_before_or_after_it_took_effect(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, place: int, after: bool
) -> None:
    await Worker(bare, workflows=WORKFLOWS).open()
    await bare.start(workflow_type="Family")
    calls = fail_at(bare, monkeypatch, place=place, after=after)
    await until_all_is_done(bare)
    monkeypatch.undo()
    assert calls() > place
    await ends_well(bare)


async def test_every_other_answer_of_the_store_lost(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, int] = {}

    def forgetful(name: str, call: Callable[..., Awaitable[object]]) -> Any:  # Any: as the call
        async def calling(*args: object, **options: object) -> object:
            calls[name] = calls.get(name, 0) + 1
            found = await call(*args, **options)
            if calls[name] % 2:
                raise UnavailableError("the connection was cut after the script ran")
            return found

        return calling

    await Worker(bare, workflows=WORKFLOWS).open()
    for name in ("start", "append", "answer", "force_close", "after_close_done"):
        monkeypatch.setattr(bare.store, name, forgetful(name, getattr(bare.store, name)))
    bare.start = undelayed_start(bare)  # type: ignore[method-assign]  # its answer is lost, too
    await start(bare, "Family")
    await pass_seconds(bare, 60)
    monkeypatch.undo()
    assert set(calls) == {"start", "append", "answer", "force_close", "after_close_done"}
    await ends_well(bare)


def undelayed_start(engine: Engine) -> Any:  # Any: as the method
    begin = engine.start

    async def again(**fields: object) -> None:
        try:
            await begin(**fields)
        except UnavailableError:
            await begin(**fields)

    return again


async def test_two_processes_do_everything_at_once(bare: Engine) -> None:
    errors: list[str] = []
    rivals = [
        duties_of(
            bare.store,
            bare.broker,
            bare.clock,
            process=f"rival-{n}",
            on_error=lambda doing, error: errors.append(f"{doing}: {error!r}"),
        )
        for n in range(2)
    ]
    await Worker(bare, workflows=WORKFLOWS).open()
    await start(bare, "Family")
    for _ in range(20):
        bare.clock.ms += 500
        for rival in rivals:
            rival._share = bare.duties._share = frozenset(range(4))  # type: ignore[arg-type]  # plain numbers
        await asyncio.gather(*(rival._look(rival._share) for rival in rivals))
        await bare.pass_time(500)
    assert errors == []
    await ends_well(bare)


async def test_every_message_doubled(bare: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = bare.broker.publish

    def twice(message: Outgoing, done: Any = None) -> None:  # Any: a callback
        publish(message, done)
        publish(message)

    monkeypatch.setattr(bare.broker, "publish", twice)
    await Worker(bare, "w1", workflows=WORKFLOWS).open()
    await Worker(bare, "w2", workflows=WORKFLOWS).open()
    await start(bare, "Family")
    await pass_seconds(bare, 10)
    await ends_well(bare)


async def test_every_first_wake_up_lost(bare: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await bare.broker.declare(WorkflowQueue("lost"))  # type: ignore[arg-type]  # a plain text is a name
    publish, seen = bare.broker.publish, set[bytes]()

    def some(message: Outgoing, done: Any = None) -> None:  # Any: a callback
        is_new, nowhere = message.body not in seen, WorkflowQueue("lost")  # type: ignore[arg-type]  # as above
        seen.add(message.body)
        publish(Outgoing(to=nowhere, body=message.body) if is_new else message, done)

    monkeypatch.setattr(bare.broker, "publish", some)
    await Worker(bare, workflows=WORKFLOWS).open()
    await start(bare, "Family")
    await until_all_is_done(bare)
    await ends_well(bare)


# Processes that freeze ----------------------------------------------------------------------------


def freeze(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, *, which: Callable[[Any], bool]
) -> asyncio.Event:
    """The first call of this name that is `which` waits until the event is set."""
    call, thaw, frozen = getattr(engine.store, name), asyncio.Event(), False

    async def calling(argument: Any, *args: object, **options: object) -> object:
        nonlocal frozen
        if not frozen and which(argument):
            frozen = True
            await thaw.wait()
        return await call(argument, *args, **options)

    monkeypatch.setattr(engine.store, name, calling)
    return thaw


def rival_of(engine: Engine) -> Any:  # Any: duties
    return duties_of(
        engine.store,
        engine.broker,
        engine.clock,
        process="rival",
        on_error=lambda doing, error: engine.errors.append(f"{doing}: {error!r}"),
    )


async def look_with(duties: Any, engine: Engine, ms: int) -> None:  # Any: duties
    """Let time pass and have only these duties look."""
    for _ in range(max(1, ms // 1_000)):
        engine.clock.ms += min(ms, 1_000)
        await duties._look(frozenset(range(4)))
        await engine.settle()


async def look_aside(engine: Engine) -> asyncio.Task[None]:
    """Have the engine's own duties look, which may freeze."""
    looking = asyncio.create_task(engine.duties._look(frozenset(range(4))))  # type: ignore[arg-type]  # plain numbers
    await engine.settle()
    return looking


def starts_child(argument: Any) -> bool:  # Any: any argument
    return isinstance(argument, StartRun) and argument.workflow_id == CHILD


async def terminate(engine: Engine, workflow_id: WorkflowId) -> None:
    await engine.store.force_close(
        ForcedClose(
            workflow_id=workflow_id,
            event=WorkflowExecutionTerminated(reason="by hand"),
            status=RunStatus.TERMINATED,
        )
    )


async def test_a_start_that_was_frozen_until_its_parent_had_closed_is_refused(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare, workflows=WORKFLOWS).open()
    rival = rival_of(bare)
    await bare.start(workflow_type="Single")
    await look_with(rival, bare, 2_000)
    thaw = freeze(bare, monkeypatch, "start", which=starts_child)
    frozen = await look_aside(bare)
    await terminate(bare, WORKFLOW)
    await look_with(rival, bare, 1_000)
    assert {kind for kind, *_ in bare.store._state.timers} == {DueKind.RETENTION}
    thaw.set()
    await frozen
    await pass_seconds(bare, 10)
    assert await bare.store.run(CHILD) is None


async def test_a_start_that_was_frozen_until_it_was_refused_to_another_stays_refused(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bare.start(workflow_type="Listener", workflow_id=CHILD, request_id="taken")
    await bare.start(workflow_type="Single")
    await Worker(bare, workflows=WORKFLOWS).open()
    rival = rival_of(bare)
    await look_with(rival, bare, 2_000)
    thaw = freeze(bare, monkeypatch, "start", which=starts_child)
    frozen = await look_aside(bare)
    await look_with(rival, bare, ROW_LEASE_MS + 2_000)
    assert await result(bare) == '"refused"'
    await terminate(bare, CHILD)
    await look_with(rival, bare, 1_000)
    thaw.set()
    await frozen
    await pass_seconds(bare, 5)
    assert (await run_of(bare, CHILD)).run_id == "taken"


async def test_an_answer_of_who_has_lost_the_row_meanwhile_does_not_count(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare, workflows=WORKFLOWS).open()
    rival = rival_of(bare)
    await bare.start(workflow_type="Sender")
    await look_with(rival, bare, 2_000)
    call, thaw, calls = bare.store.answer, asyncio.Event(), 0

    async def answer(answer: Answer) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            await thaw.wait()  # with the news that nobody was there
        elif calls == 2:
            raise UnavailableError("killed between the delivery and its answer")
        return await call(answer)

    monkeypatch.setattr(bare.store, "answer", answer)
    frozen = await look_aside(bare)
    await bare.start(workflow_type="Listener", workflow_id=CHILD, request_id="late")
    while calls < 2:
        await look_with(rival, bare, 1_000)
    thaw.set()
    await frozen
    await pass_seconds(bare, 10)
    types = await bare.types()
    assert types.count("ExternalWorkflowExecutionSignaled") == 3
    assert "SignalExternalWorkflowExecutionFailed" not in types


# What was lost ------------------------------------------------------------------------------------


async def test_a_child_that_its_shard_has_lost_is_started_again(bare: Engine) -> None:
    await Worker(bare, workflows=WORKFLOWS).open()
    await start(bare, "Single")
    await pass_seconds(bare, 2)
    lost = await run_of(bare, CHILD)
    state = bare.store._state
    del state.workflows[CHILD], state.runs[CHILD, lost.run_id]
    await bare.pass_time(CHILD_WATCH_MIN_MS)
    await pass_seconds(bare, 2)
    found = await run_of(bare, CHILD)
    assert (found.run_id, found.status) == (lost.run_id, RunStatus.RUNNING)
    await terminate(bare, CHILD)
    await pass_seconds(bare, 3)
    assert (await view(bare)).status is RunStatus.FAILED
    assert (await bare.types()).count("ChildWorkflowExecutionStarted") == 1


async def test_the_end_of_a_child_that_was_never_told_is_found_by_its_parent(bare: Engine) -> None:
    await Worker(bare, workflows=WORKFLOWS).open()
    await start(bare, "Single")
    await pass_seconds(bare, 2)
    child = await run_of(bare, CHILD)
    await terminate(bare, CHILD)
    untold = [key for key in bare.store._state.timers if key[0] is DueKind.AFTER_CLOSE]
    for key in untold:
        del bare.store._state.timers[key]
    await pass_seconds(bare, 5)
    assert (await view(bare)).status is RunStatus.RUNNING
    await bare.pass_time(CHILD_WATCH_MIN_MS)
    await pass_seconds(bare, 2)
    assert (await view(bare)).status is RunStatus.FAILED
    assert (await bare.types()).count("ChildWorkflowExecutionTerminated") == 1
    assert child.run_id == (await run_of(bare, CHILD)).run_id


async def test_an_open_child_is_watched_ever_more_rarely(bare: Engine) -> None:
    await Worker(bare, workflows=WORKFLOWS).open()
    await start(bare, "Single")
    looks: list[int] = []
    for _ in range(5):
        await pass_seconds(bare, 1)
        (due_ms,) = [
            ms for key, ms in bare.store._state.timers.items() if key[0] is DueKind.CHILD_WATCH
        ]
        looks.append(due_ms - bare.clock.ms)
        await bare.pass_time(due_ms - bare.clock.ms)
    assert looks == sorted(looks)
    assert looks[0] <= CHILD_WATCH_MIN_MS < looks[-1]


async def test_signals_to_a_full_inbox_wait_for_room_and_keep_their_order(bare: Engine) -> None:
    await bare.start(workflow_type="Listener", workflow_id=CHILD, request_id="c")
    head = bare.store._state.workflows[CHILD]
    filler = next(iter(head.inbox.values()))
    held = dict.fromkeys(range(-INBOX_ENTRIES_MAX, 0), filler)
    head.inbox.update(held)
    head.row = None  # nobody is called for it
    await Worker(bare, workflows=WORKFLOWS).open()
    await bare.start(workflow_type="Sender")
    await pass_seconds(bare, 6)
    assert "ExternalWorkflowExecutionSignaled" not in await bare.types()
    for number in held:
        del head.inbox[number]
    await pass_seconds(bare, 6)
    assert (await bare.types()).count("ExternalWorkflowExecutionSignaled") == 3
    child = await run_of(bare, CHILD)
    history = bare.store._state.runs[CHILD, child.run_id].history
    texts = [
        bytes(e.attributes.input[0].data)  # type: ignore[union-attr]  # a signal
        for e in history
        if e.type == "WorkflowExecutionSignaled"
    ]
    assert texts == [b'"a"', b'"b"', b'"c"']
