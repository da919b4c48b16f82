"""The first wake-up of a run tells all that its first task needs; late and doubled ones harm
nothing."""

from __future__ import annotations

from orchestrator.core.start import StartOptions, start_of
from orchestrator.limits import INLINE_ENTRY_BYTES_MAX
from orchestrator.ports.store import Started, Wake
from orchestrator.wire.payload import Payload
from tests.unit.memory_engine import QUEUE, RUN, WORKFLOW, Engine
from tests.unit.worker.workers import Worker, result, signal


async def started(engine: Engine, argument: str = "pizza", run_id: str = RUN) -> Wake:
    options = StartOptions(
        workflow_id=WORKFLOW,
        workflow_type="Order",
        task_queue=QUEUE,
        request_id=run_id,
        input=(Payload.of_json(f'"{argument}"'.encode()),),
    )
    answer = await engine.store.start(start_of(options, now_ms=engine.clock.ms))
    assert isinstance(answer, Started)
    assert answer.wake is not None
    return answer.wake


async def test_the_first_task_of_a_run_reads_nothing(bare: Engine) -> None:
    worker = await Worker(bare).open()
    bare.dispatcher.wake(WORKFLOW, await started(bare))
    await bare.settle()
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert worker.counters.value("replays") == 0
    assert worker.counters.value("activations") == 3


async def test_a_first_wake_up_that_comes_twice_starts_the_code_once(bare: Engine) -> None:
    worker = await Worker(bare).open()
    wake = await started(bare)
    for _ in range(2):
        bare.dispatcher.wake(WORKFLOW, wake)
    await bare.settle()
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert (await bare.types()).count("ActivityTaskScheduled") == 1
    assert len(worker.paid) == 1


async def test_a_first_wake_up_that_comes_late_finds_the_run_ahead(bare: Engine) -> None:
    first = await Worker(bare, "w1").open()
    wake = await started(bare)
    bare.dispatcher.wake(WORKFLOW, wake)
    await bare.settle()
    await first.die()
    second = await Worker(bare, "w2").open()
    bare.dispatcher.wake(WORKFLOW, wake)
    await bare.settle()
    assert second.counters.value("stale") == 1
    await signal(bare, "cola")
    assert await result(bare) == "\"paid, added ['cola']\""
    assert (await bare.types()).count("ActivityTaskScheduled") == 1


async def test_a_large_start_is_read_from_the_store(bare: Engine) -> None:
    worker = await Worker(bare).open()
    wake = await started(bare, "x" * INLINE_ENTRY_BYTES_MAX)
    assert wake.first is None
    bare.dispatcher.wake(WORKFLOW, wake)
    await bare.settle()
    assert worker.counters.value("replays") == 1
    assert len(worker.paid) == 1


async def test_the_next_run_of_an_id_begins_after_what_was_consumed(bare: Engine) -> None:
    worker = await Worker(bare).open()
    bare.dispatcher.wake(WORKFLOW, await started(bare))
    await bare.settle()
    await signal(bare, "cola")
    await result(bare)
    bare.dispatcher.wake(WORKFLOW, await started(bare, run_id="run-2"))
    await bare.settle()
    await signal(bare, "salad")
    assert await result(bare) == "\"paid, added ['salad']\""
    assert (worker.counters.value("replays"), worker.counters.value("stale")) == (0, 0)
