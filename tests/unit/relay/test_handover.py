"""Places under concurrency limits that are handed on: by time-outs, and by those who ask."""

from __future__ import annotations

from orchestrator.core.adjustments import AdjustAttempt, HoldBack
from orchestrator.core.concurrency import ConcurrencyLimit, Urgency, look_in_ms
from orchestrator.core.transition import AttemptName, BeginAttempt
from orchestrator.exceptions import UnavailableError
from orchestrator.ids import AttemptToken, EventId, OperationId, ProcessName
from orchestrator.ports.concurrency import (
    ActivityRef,
    Entered,
    EnterLimits,
    LeaveLimits,
    MustWait,
)
from orchestrator.ports.store import Begun
from orchestrator.relay.handover import Handover
from orchestrator.wire.commands import ScheduleActivityTask
from orchestrator.wire.options import Priority
from tests.unit.memory_engine import QUEUE, RUN, WORKFLOW, Engine, engine

__all__ = ["engine"]
ACME = ConcurrencyLimit("key acme", 1)


def ref(event_id: int) -> ActivityRef:
    return ActivityRef(WORKFLOW, RUN, EventId(event_id))


async def name(engine: Engine, event_id: int) -> AttemptName:
    record = await engine.store.record(WORKFLOW, RUN, EventId(event_id))
    assert record is not None
    return AttemptName(
        workflow_id=WORKFLOW,
        run_id=RUN,
        event_id=EventId(event_id),
        key=record.key,
        attempt=record.attempt,
    )


async def ask(engine: Engine, event_id: int, *, attempt: int = 1) -> Entered | MustWait:
    return await engine.store.enter_limits(
        EnterLimits(
            task_queue=QUEUE,
            limits=(ACME,),
            activity=ref(event_id),
            attempt=attempt,
            urgency=Urgency.of(Priority()),
            doubt_in_ms=10_000,
            lasts_ms=3_600_000,
        )
    )


async def hold_back(engine: Engine, event_id: int) -> None:
    hold = AdjustAttempt(
        name=await name(engine, event_id),
        operation_id=OperationId(f"hold {event_id}"),
        hold_back=HoldBack(limit=ACME.shown, turns=0),
        due_in_ms=3_000_000,
    )
    await engine.store.adjust(hold)


async def prepare(engine: Engine, *, begins: bool = True) -> tuple[int, list[int]]:
    """Activities of which the first has the only place and the others wait: their event ids."""
    await engine.start()
    await engine.commit(
        *(
            ScheduleActivityTask(
                activity_id=str(number),
                activity_type="pay",
                task_queue=QUEUE,
                start_to_close_timeout_ms=20_000,
            )
            for number in range(4)
        )
    )
    first, *others = [int(one.event_id) for one in await engine.store.records(WORKFLOW, RUN)]
    assert isinstance(await ask(engine, first), Entered)
    if begins:
        begin = BeginAttempt(
            name=await name(engine, first),
            token=AttemptToken("a"),
            holder=ProcessName("p"),
            due_in_ms=20_000,
            limits=(ACME.name,),
        )
        assert isinstance(await engine.store.begin(begin), Begun)
    for other in others:
        assert isinstance(await ask(engine, other), MustWait)
        await hold_back(engine, other)
    return first, others


async def published(engine: Engine) -> list[int]:
    """The activities whose messages were published since the last look."""
    await engine.pass_time(0)
    found = [task.event_id for task in engine.activities]
    engine.activities.clear()
    return found


async def test_a_time_out_hands_the_place_on(engine: Engine) -> None:
    _, others = await prepare(engine)
    await engine.pass_time(20_000)
    assert await published(engine) == others[:1]


async def test_a_holder_that_never_began_is_let_go_when_somebody_asks_in_vain(
    engine: Engine,
) -> None:
    _, others = await prepare(engine, begins=False)
    handover = Handover(engine.store)
    engine.clock.ms += 10_000
    told = await ask(engine, others[-1])
    assert isinstance(told, MustWait)
    assert await handover.look(QUEUE, (ACME.name,), told.doubtful) == [WORKFLOW]
    assert others[0] in await published(engine)
    assert isinstance(await ask(engine, others[0]), Entered)


async def test_a_holder_that_runs_keeps_its_place_however_long(engine: Engine) -> None:
    _, others = await prepare(engine)
    engine.clock.ms += 15_000
    told = await ask(engine, others[-1])
    assert isinstance(told, MustWait)
    assert len(told.doubtful) == 1
    assert await Handover(engine.store).look(QUEUE, (ACME.name,), told.doubtful) == []
    assert isinstance(await ask(engine, others[0]), MustWait)


async def test_those_who_wait_no_more_are_passed_over(engine: Engine) -> None:
    first, others = await prepare(engine, begins=False)
    paused = AdjustAttempt(
        name=await name(engine, others[0]), operation_id=OperationId("pause"), pause=True
    )
    await engine.store.adjust(paused)
    await ask(engine, 77)  # of which there is no record
    leave = LeaveLimits(task_queue=QUEUE, names=(ACME.name,), activity=ref(first), attempt=1)
    assert await Handover(engine.store).leave(leave) == [WORKFLOW]
    assert await published(engine) == others[1:2]


async def test_a_call_on_its_way_is_not_repeated(engine: Engine) -> None:
    first, others = await prepare(engine)
    handover = Handover(engine.store)
    leave = LeaveLimits(task_queue=QUEUE, names=(ACME.name,), activity=ref(first), attempt=1)
    assert await handover.leave(leave) == [WORKFLOW]
    assert await published(engine) == others[:1]
    assert await handover.leave(leave) == []
    assert await published(engine) == []


async def test_a_store_that_does_not_answer_is_not_asked_again(engine: Engine) -> None:
    first, _ = await prepare(engine)
    calls = 0

    async def away(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise UnavailableError("gone")

    engine.store.leave_limits = away  # type: ignore[method-assign, assignment]  # it is away
    leave = LeaveLimits(task_queue=QUEUE, names=(ACME.name,), activity=ref(first), attempt=1)
    assert await Handover(engine.store).leave(leave) == ()
    assert calls == 1


def test_those_far_behind_ask_rarely() -> None:
    assert look_in_ms(ahead=0) == 10_000
    assert look_in_ms(ahead=100) == 20_000
    assert look_in_ms(ahead=1_000_000) == 600_000
