"""Messages that are doubled or lost, answers that are lost, workers that die or rival: one outcome.

The order of every test: it is paid once, a signal adds something, and it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from orchestrator.adapters.memory.broker import MemoryBroker
from orchestrator.core.transition import ForcedClose
from orchestrator.exceptions import UnavailableError
from orchestrator.limits import CLOSE_REFUSALS_MAX, COMMIT_COMMANDS_MAX
from orchestrator.ports.broker import ActivityQueue, Outgoing, StickyQueue, WorkflowQueue
from orchestrator.ports.store import Committed, Refused
from orchestrator.wire import codec
from orchestrator.wire.events import WorkflowExecutionFailed, WorkflowExecutionTerminated
from orchestrator.wire.options import RunStatus
from orchestrator.wire.payload import Payload
from orchestrator.wire.tasks import WorkflowTask
from tests.unit.memory_engine import NAMESPACE, QUEUE, RUN, WORKFLOW, Engine
from tests.unit.worker.shop import Fewer, StrictlyFewer, StrictlyOther
from tests.unit.worker.workers import (
    Worker,
    append_signal,
    ask_for_text,
    order,
    result,
    signal,
    start,
    view,
)

ADDED = "\"paid, added ['cola']\""


async def pass_seconds(engine: Engine, seconds: int) -> None:
    for _ in range(seconds):
        await engine.pass_time(1_000)


async def ends_well(engine: Engine, *workers: Worker) -> None:
    """The order has ended as it should, and nothing is left in anybody's hands."""
    assert await result(engine) == ADDED
    types = await engine.types()
    for once in ("WorkflowExecutionSignaled", "ActivityTaskScheduled", "ActivityTaskCompleted"):
        assert types.count(once) == 1, types
    assert sum(len(worker.paid) for worker in workers) == 1
    assert [worker.in_hand() for worker in workers] == [0] * len(workers)
    for queue in (WorkflowQueue(QUEUE), ActivityQueue(QUEUE)):
        assert await engine.broker.ready(queue) == 0


def double_everything(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker delivers each message of the engine twice."""
    publish = engine.broker.publish

    def twice(message: Outgoing, done: Any = None) -> None:  # Any: a callback
        publish(message, done)
        publish(message)

    monkeypatch.setattr(engine.broker, "publish", twice)


def lose(engine: Engine, monkeypatch: pytest.MonkeyPatch, lost: Callable[[Outgoing], bool]) -> None:
    """The broker confirms and then loses those messages of the engine."""
    publish = engine.broker.publish

    def some(message: Outgoing, done: Any = None) -> None:  # Any: a callback
        nowhere = Outgoing(to=WorkflowQueue("lost"), body=message.body)  # type: ignore[arg-type]  # a plain text is a name
        publish(nowhere if lost(message) else message, done)

    monkeypatch.setattr(engine.broker, "publish", some)


async def test_every_message_doubled(bare: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    double_everything(bare, monkeypatch)
    first, second = await Worker(bare, "w1").open(), await Worker(bare, "w2").open()
    await order(bare)
    await signal(bare, "cola")
    await pass_seconds(bare, 3)
    await ends_well(bare, first, second)


async def test_a_wake_up_that_comes_again_later_changes_nothing(bare: Engine) -> None:
    worker = await Worker(bare).open()
    await order(bare)
    answer = await append_signal(bare, "cola")
    assert answer is not None
    assert answer.wake is not None
    for _ in range(3):
        bare.dispatcher.wake(WORKFLOW, answer.wake)
        await bare.settle()
    await ends_well(bare, worker)


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
    worker = await Worker(bare).open()
    await order(bare)
    await pass_seconds(bare, 12)
    await signal(bare, "cola")
    await pass_seconds(bare, 12)
    await ends_well(bare, worker)


async def test_the_wake_up_of_a_timer_lost(bare: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await bare.broker.declare(WorkflowQueue("lost"))  # type: ignore[arg-type]  # a plain text is a name
    await Worker(bare).open()
    await order(bare)
    lost: list[Outgoing] = []
    lose(bare, monkeypatch, lambda message: not lost and not lost.append(message))
    await bare.pass_time(3_600_000)
    assert (await view(bare)).status is RunStatus.RUNNING
    await bare.pass_time(2_000)
    await bare.pass_time(1_000)
    assert await result(bare) == '"paid, nothing added"'


@pytest.mark.parametrize("name", ["sync", "commit", "begin", "finish"])
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

    monkeypatch.setattr(bare.store, name, forgetful)
    worker = await Worker(bare).open()
    await order(bare)
    await pass_seconds(bare, 6)
    await signal(bare, "cola")
    await pass_seconds(bare, 6)
    assert calls > 1
    await ends_well(bare, worker)


async def test_an_answer_of_a_repeated_sync_lost_is_counted_once(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, lost = bare.store.sync, 3

    async def forgetful(*args: Any, **options: Any) -> object:  # Any: passed through
        nonlocal lost
        answer = await sync(*args, **options)
        if lost:
            lost -= 1
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    await bare.start()
    monkeypatch.setattr(bare.store, "sync", forgetful)
    await Worker(bare, workflows=[]).open()
    bare.dispatcher.repeat(WORKFLOW, QUEUE)
    await bare.settle()
    assert bare.store._state.workflows[WORKFLOW].head.attempt == 1
    await pass_seconds(bare, 3)
    assert bare.store._state.workflows[WORKFLOW].head.attempt == 1


async def test_a_history_that_is_cut_off_while_it_is_read(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, lost = bare.store.history, 2

    async def cut(*args: Any, **options: Any) -> AsyncIterator[Sequence[Any]]:  # Any: passed on
        nonlocal lost
        async for page in history(*args, **options):
            if lost:
                lost -= 1
                raise UnavailableError("the connection was cut")
            yield page

    worker = Worker(bare)
    monkeypatch.setattr(bare.store, "history", cut)
    await worker.open()
    await order(bare)
    await pass_seconds(bare, 3)
    await signal(bare, "cola")
    assert lost == 0
    await ends_well(bare, worker)


STUCK = pytest.mark.not_replayed("its run is stuck in a bug of its code")


@pytest.mark.parametrize("name", [pytest.param("fail_task", marks=STUCK), "hand_back"])
async def test_an_answer_to_a_setback_lost(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    call: Callable[..., Awaitable[object]] = getattr(bare.store, name)
    calls = 0

    async def forgetful(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        answer = await call(*args, **options)
        if calls == 1:
            raise UnavailableError("the connection was cut after the script ran")
        return answer

    monkeypatch.setattr(bare.store, name, forgetful)
    worker = Worker(bare, workflows=[]) if name == "hand_back" else Worker(bare)
    await worker.open()
    await start(bare, "Broken")
    await bare.pass_time(1_000)
    assert calls > 1
    head = bare.store._state.workflows[WORKFLOW].head
    assert (head.failures, head.attempt) == (calls - 1 if name == "fail_task" else 0, 0)
    assert (await bare.types()).count("WorkflowTaskFailed") == int(name == "fail_task")
    assert worker.in_hand() == 0


async def test_a_store_that_stays_away_gives_the_delivery_back_and_leaves_no_run_half_done(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    await order(bare)
    commit = bare.store.commit

    async def away(transition: object) -> object:
        raise UnavailableError("the store is away")

    monkeypatch.setattr(bare.store, "commit", away)
    await signal(bare, "cola")
    await pass_seconds(bare, 20)
    assert len(worker.cache) == 0
    monkeypatch.setattr(bare.store, "commit", commit)
    await pass_seconds(bare, 2)
    await ends_well(bare, worker)


def die_after_commit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, worker: Worker, *, number: int
) -> None:
    """The worker is killed when its commit of this number is written, before it hears of it."""
    commit, written = engine.store.commit, 0

    async def deadly(transition: Any) -> object:  # Any: passed through
        nonlocal written
        answer = await commit(transition)
        if isinstance(answer, Committed):
            written += 1
            if written == number:
                await worker.die()
                await asyncio.sleep(0)
        return answer

    monkeypatch.setattr(engine.store, "commit", deadly)


async def test_a_worker_killed_between_commit_and_publish_is_made_good_by_the_redelivery(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await Worker(bare, "w1").open()
    die_after_commit(bare, monkeypatch, first, number=1)
    await bare.start(input=(Payload.of_json(b'"pizza"'),))
    bare.dispatcher.repeat(WORKFLOW, QUEUE)
    await bare.settle()
    assert (await bare.types())[-1] == "ActivityTaskScheduled"
    assert first.paid == []
    second = await Worker(bare, "w2").open()
    await bare.settle()
    assert len(second.paid) == 1


async def redeliver_a_wake_up(engine: Engine) -> Worker:
    """A worker gets a wake-up that somebody else had in hand before."""
    holder = MemoryBroker(engine.broker._exchange)
    await holder.open()
    await holder.consume(WorkflowQueue(QUEUE), lambda batch: None, prefetch=10)
    body = codec.encode(WorkflowTask(namespace=NAMESPACE, workflow_id=WORKFLOW))
    engine.broker.publish(Outgoing(to=WorkflowQueue(QUEUE), body=body))
    await engine.settle()
    await holder.close()
    worker = await Worker(engine, "w2", takes_activities=False).open()
    await engine.settle()
    return worker


async def test_a_redelivery_publishes_again_what_nobody_has_begun_and_nothing_else(
    bare: Engine,
) -> None:
    await bare.broker.declare(ActivityQueue(QUEUE))
    first = await Worker(bare, takes_activities=False).open()
    await bare.start(input=(Payload.of_json(b'"pizza"'),))
    bare.dispatcher.repeat(WORKFLOW, QUEUE)
    await bare.settle()
    assert await bare.broker.ready(ActivityQueue(QUEUE)) == 1
    await first.die()
    second = await redeliver_a_wake_up(bare)
    assert await bare.broker.ready(ActivityQueue(QUEUE)) == 2
    assert second.in_hand() == 0
    await second.die()
    third = await Worker(bare, "w3", pays=False).open()
    await bare.settle()
    assert len(third.paid) == 1
    await third.workflows.drain()
    for consumer in list(third.broker._consumers):
        await consumer.stop()
    await redeliver_a_wake_up(bare)
    assert await bare.broker.ready(ActivityQueue(QUEUE)) == 0


@pytest.mark.parametrize("part", [1, 2, 3])
async def test_a_large_activation_is_finished_by_another_worker(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    first = await Worker(bare, "w1").open()
    die_after_commit(bare, monkeypatch, first, number=part)
    await bare.start(workflow_type="Many")
    bare.dispatcher.repeat(WORKFLOW, QUEUE)
    await bare.settle()
    types = await bare.types()
    scheduled = min(450, part * COMMIT_COMMANDS_MAX)
    assert types.count("ActivityTaskScheduled") == scheduled
    second = await Worker(bare, "w2").open()
    for _ in range(40):
        await bare.settle()
    assert await result(bare) == "450"
    types = await bare.types()
    assert types.count("ActivityTaskScheduled") == 450
    assert types.count("ActivityTaskCompleted") == 450
    assert len(first.paid) + len(second.paid) == 450
    assert second.in_hand() == 0


async def half_written(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of `Many` whose worker was killed after the first part of its large task."""
    first = await Worker(engine, "w1", takes_activities=False).open()
    with monkeypatch.context() as patched:
        die_after_commit(engine, patched, first, number=1)
        await engine.start(workflow_type="Many")
        engine.dispatcher.repeat(WORKFLOW, QUEUE)
        await engine.settle()
    assert (await engine.types()).count("ActivityTaskScheduled") == COMMIT_COMMANDS_MAX


async def test_other_code_between_two_parts_fails_the_task_and_the_right_code_goes_on(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bare.broker.declare(ActivityQueue(QUEUE))
    await half_written(bare, monkeypatch)
    second = await Worker(bare, "w2", workflows=[Fewer], takes_activities=False).open()
    await bare.settle()
    problem = (await view(bare)).problem
    assert problem is not None
    assert "history still lacks 250 command(s)" in problem
    assert "asked for 100 more" in problem
    await second.die()
    third = await Worker(bare, "w3").open()
    await bare.pass_time(5_000)
    for _ in range(40):
        await bare.settle()
    assert await result(bare) == "450"
    assert len(third.paid) == 450
    times = [e.time_ms async for page in bare.store.history(WORKFLOW, RUN) for e in page]
    assert times == sorted(times)
    assert await ask_for_text(bare, "asked") == '"all of them"'


@pytest.mark.parametrize(
    ("code", "said"), [(StrictlyFewer, "asked for 100 more"), (StrictlyOther, "StartTimer")]
)
async def test_other_code_between_two_parts_fails_the_run_where_that_is_configured(
    bare: Engine, monkeypatch: pytest.MonkeyPatch, code: type, said: str
) -> None:
    await half_written(bare, monkeypatch)
    await Worker(bare, "w2", workflows=[code], takes_activities=False).open()
    await bare.settle()
    found = await view(bare)
    assert found.status is RunStatus.FAILED
    assert found.closing is not None
    assert isinstance(found.closing.attributes, WorkflowExecutionFailed)
    assert said in found.closing.attributes.failure.message


async def test_a_run_ended_between_two_parts_can_still_be_asked(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await half_written(bare, monkeypatch)
    close = ForcedClose(
        workflow_id=WORKFLOW, event=WorkflowExecutionTerminated(), status=RunStatus.TERMINATED
    )
    await bare.store.force_close(close)
    worker = await Worker(bare, "w2").open()
    assert await ask_for_text(bare, "asked") == '"all of them"'
    assert (await bare.types())[-1] == "WorkflowExecutionTerminated"
    assert worker.in_hand() == 0


async def test_a_redelivered_wake_up_reads_first_even_if_its_entry_fits(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Diary")
    for consumer in list(worker.broker._consumers):
        await consumer.stop()
    holder = MemoryBroker(bare.broker._exchange)
    await holder.open()
    await holder.consume(WorkflowQueue(QUEUE), lambda batch: None, prefetch=10)
    await signal(bare, "a")
    await holder.close()
    asked: list[str] = []
    for name in ("sync", "records", "commit"):
        call: Callable[..., Awaitable[object]] = getattr(bare.store, name)

        async def noted(*args: Any, _name: str = name, _call: Any = call, **options: Any) -> Any:
            asked.append(_name)
            return await _call(*args, **options)

        monkeypatch.setattr(bare.store, name, noted)
    await worker.open()
    await bare.settle()
    assert asked == ["sync", "records", "commit"]


async def test_two_workers_on_one_run_have_one_outcome(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = bare.store.commit

    async def far_away(transition: Any) -> object:  # Any: passed through
        await asyncio.sleep(0)
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", far_away)
    double_everything(bare, monkeypatch)
    workers = [await Worker(bare, f"w{n}").open() for n in range(2)]
    await start(bare, "Diary")
    for number in range(20):
        await asyncio.gather(*(signal(bare, f"{number}-{n}") for n in range(3)))
    await pass_seconds(bare, 3)
    types = await bare.types()
    assert types.count("WorkflowExecutionSignaled") == 60
    assert sum(worker.counters.value("stale") for worker in workers) > 0
    assert [worker.in_hand() for worker in workers] == [0, 0]
    assert await bare.inbox() == []


async def test_a_run_stays_with_the_worker_that_has_it_in_memory(bare: Engine) -> None:
    workers = [await Worker(bare, f"w{n}", sticky=True).open() for n in range(2)]
    await start(bare, "Diary")
    for number in range(10):
        await signal(bare, str(number))
    assert sum(worker.counters.value("replays") for worker in workers) == 1
    assert sum(worker.counters.value("cached_activations") for worker in workers) == 10


async def test_a_wake_up_for_a_worker_that_has_gone_goes_to_any_other(bare: Engine) -> None:
    first = await Worker(bare, "w1", sticky=True).open()
    await start(bare, "Diary")
    await bare.broker.delete(StickyQueue("w1", QUEUE))
    await first.die()
    await bare.broker.delete(StickyQueue("w1", QUEUE))
    second = await Worker(bare, "w2", sticky=True).open()
    await signal(bare, "a")
    assert second.counters.value("activations") == 1
    assert await bare.inbox() == []


async def test_an_activity_queue_that_nobody_declared_keeps_no_delivery_going_round(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bare.broker.delete(ActivityQueue(QUEUE))
    sent: list[Outgoing] = []
    lose(bare, monkeypatch, lambda message: sent.append(message) is not None)
    worker = await Worker(bare, takes_activities=False).open()
    await order(bare)
    for _ in range(10):
        await bare.settle()
    assert worker.in_hand() == 0
    assert sum(isinstance(message.to, ActivityQueue) for message in sent) == 2
    activities = await Worker(bare, "w2").open()
    await pass_seconds(bare, 6)
    await signal(bare, "cola")
    await ends_well(bare, worker, activities)


async def test_a_rival_that_always_wins_ends_in_an_ack(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Diary")
    commit = bare.store.commit

    async def beaten(transition: Any) -> object:  # Any: passed through
        await bare.commit()
        return await commit(transition)

    monkeypatch.setattr(bare.store, "commit", beaten)
    monkeypatch.setattr(bare, "commit", lambda: rival(bare, commit))
    await signal(bare, "a")
    assert worker.counters.value("stale") == 3
    assert worker.in_hand() == 0


async def rival(engine: Engine, commit: Callable[[Any], Awaitable[object]]) -> None:
    """Another worker moves the run without taking anything from its inbox."""
    workflow = engine.store._state.workflows[WORKFLOW]
    workflow.set_head(token=f"rival-{workflow.head.token}"[:60])


async def test_a_close_that_has_not_seen_a_signal_is_refused_and_then_goes_through(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    signal_before_close(bare, monkeypatch, times=1)
    await start(bare, "Hasty")
    assert await result(bare) == '["late 1"]'
    assert worker.counters.value("refused") == 1
    assert worker.in_hand() == 0


async def test_after_ten_refusals_the_close_is_forced_and_counts_what_was_unseen(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    signal_before_close(bare, monkeypatch, times=100)
    await start(bare, "Hasty")
    closing = (await view(bare)).closing
    assert closing is not None
    assert closing.attributes.unseen_messages == 1  # type: ignore[union-attr]  # completed
    assert worker.counters.value("refused") == CLOSE_REFUSALS_MAX
    assert (await bare.types()).count("WorkflowExecutionSignaled") == CLOSE_REFUSALS_MAX


async def test_a_close_sees_every_signal_however_many_pages_they_fill(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages(monkeypatch, entries=2)
    await start(bare, "Hasty")
    for number in range(5):
        await append_signal(bare, str(number))
    worker = await Worker(bare).open()
    await bare.pass_time(10_000)
    assert await result(bare) == '["0","1","2","3","4"]'
    assert worker.counters.value("refused") == 1


def pages(monkeypatch: pytest.MonkeyPatch, *, entries: int) -> None:
    """An inbox is read in pages of so few entries."""
    monkeypatch.setattr("orchestrator.worker.advance.INBOX_PAGE_ENTRIES", entries)


async def test_a_signal_between_two_parts_is_counted_as_unseen_by_the_close(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    signal_before_close(bare, monkeypatch, times=1)
    await start(bare, "Parting")
    assert await result(bare) == "250"
    closing = (await view(bare)).closing
    assert closing is not None
    assert closing.attributes.unseen_messages == 1  # type: ignore[union-attr]  # completed
    assert worker.counters.value("refused") == 1
    assert worker.in_hand() == 0


def signal_before_close(engine: Engine, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """A signal arrives just before each commit that would close the run."""
    commit, sent = engine.store.commit, 0

    async def overtaken(transition: Any) -> object:  # Any: passed through
        nonlocal sent
        if transition.close is not None and sent < times:
            sent += 1
            await append_signal(engine, f"late {sent}")
        answer = await commit(transition)
        assert isinstance(answer, Committed | Refused)
        return answer

    monkeypatch.setattr(engine.store, "commit", overtaken)
