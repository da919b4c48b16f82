"""What a task costs the store when it is short, and how its row is kept while it is long."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from orchestrator.limits import REPLAY_TURN_MS, TASK_EXTENSION_MS
from tests.unit.memory_engine import WORKFLOW, Engine
from tests.unit.worker.workers import Worker, ask_for_text, order, result, signal, start

_CALLS = (
    "sync",
    "commit",
    "extend",
    "hand_back",
    "fail_task",
    "history",
    "event",
    "run",
    "records",
)


def count_calls(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often workflow tasks call the store, by name."""
    calls: Counter[str] = Counter()

    def counted(name: str) -> Any:  # Any: passed through
        call = getattr(engine.store, name)

        def count(*args: Any, **options: Any) -> Any:  # Any: passed through
            calls[name] += 1
            return call(*args, **options)

        return count

    for name in _CALLS:
        monkeypatch.setattr(engine.store, name, counted(name))
    return calls


async def hang_in_commit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The next commits wait until the event is set."""
    commit, may_go = engine.store.commit, asyncio.Event()

    async def slow(transition: Any) -> object:  # Any: passed through
        await may_go.wait()
        return await commit(transition)

    monkeypatch.setattr(engine.store, "commit", slow)
    return may_go


async def test_a_step_of_a_cached_run_is_one_commit_and_no_other_call(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare).open()
    await start(bare, "Diary")
    calls = count_calls(bare, monkeypatch)
    for number in range(5):
        await signal(bare, str(number))
    assert calls == {"commit": 5}
    assert worker.counters.value("cached_activations") == 5
    assert worker.counters.value("replays") == 1
    assert worker.counters.value("activations") == 6
    assert worker.counters.value("commits") == 6


async def test_a_query_on_a_cached_quiet_run_is_one_sync(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare).open()
    await start(bare, "Diary")
    calls = count_calls(bare, monkeypatch)
    await ask_for_text(bare, "noted")
    assert calls == {"sync": 1}


async def test_without_a_cache_every_task_replays(bare: Engine) -> None:
    worker = await Worker(bare, cached=0).open()
    await start(bare, "Diary")
    for number in range(3):
        await signal(bare, str(number))
    assert worker.counters.value("replays") == worker.counters.value("activations") == 4
    assert worker.counters.value("cached_activations") == 0
    assert (await ask_for_text(bare, "noted")).count("[") == 4


async def test_without_a_cache_also_the_next_page_of_one_delivery_is_replayed(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.worker.advance.INBOX_PAGE_ENTRIES", 2)
    worker = Worker(bare, cached=0)
    await start(bare, "Diary")
    for number in range(5):
        await signal(bare, str(number))
    await worker.open()
    await bare.settle()
    assert worker.counters.value("replays") == worker.counters.value("activations") == 3
    assert await bare.inbox() == []


async def test_the_row_of_a_long_task_is_moved_on_so_that_nobody_repeats_it(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await Worker(bare, cached=0).open()
    await order(bare)
    may_go = await hang_in_commit(bare, monkeypatch)
    calls = count_calls(bare, monkeypatch)
    await signal(bare, "cola")
    for _ in range(12):
        await bare.pass_time(5_000)
    assert calls["sync"] == 1
    assert calls["extend"] == 12
    assert worker.in_hand() == 1
    may_go.set()
    await bare.settle()
    assert await result(bare) == "\"paid, added ['cola']\""
    assert worker.in_hand() == 0
    await bare.pass_time(TASK_EXTENSION_MS)
    await bare.pass_time(TASK_EXTENSION_MS)
    assert calls["extend"] == 12


async def test_a_run_s_own_task_time_out_is_used(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare).open()
    await start(bare, "Diary", task_timeout_ms=60_000)
    await hang_in_commit(bare, monkeypatch)
    await signal(bare, "a")
    await bare.pass_time(TASK_EXTENSION_MS)
    row = bare.store._state.workflows[WORKFLOW].row
    assert row is not None
    assert row.due_at_ms == bare.clock.ms + 60_000


async def test_an_extension_that_fails_is_tried_again(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Worker(bare, cached=0).open()
    await order(bare)
    may_go = await hang_in_commit(bare, monkeypatch)
    extend, lost = bare.store.extend, 1

    async def once_lost(*args: Any, **options: Any) -> None:  # Any: passed through
        nonlocal lost
        if lost:
            lost -= 1
            raise RuntimeError("a bug of ours")
        await extend(*args, **options)

    monkeypatch.setattr(bare.store, "extend", once_lost)
    await signal(bare, "cola")
    for _ in range(6):
        await bare.pass_time(4_000)
    row = bare.store._state.workflows[WORKFLOW].row
    assert row is not None
    assert row.due_at_ms > bare.clock.ms
    may_go.set()
    await bare.settle()
    assert await result(bare) == "\"paid, added ['cola']\""


async def test_a_long_replay_lets_others_have_their_turn(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await Worker(bare).open()
    await start(bare, "Diary")
    for number in range(10):
        await signal(bare, str(number))
    await first.die()

    def slow(act: Any) -> Any:  # Any: passed through
        bare.clock.ms += REPLAY_TURN_MS
        return act()

    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    second = Worker(bare, "w2", guard=slow)
    other = asyncio.create_task(other_work())
    await asyncio.sleep(0)
    load = second.workflows._advancer._loader.load
    head = bare.store._state.workflows[WORKFLOW].head
    before = turns
    await load(WORKFLOW, head.run_id, token=head.token, consumed=head.consumed)
    other.cancel()
    assert turns - before >= 10


async def test_the_size_of_the_history_grows_and_is_the_same_on_replay(bare: Engine) -> None:
    first = await Worker(bare).open()
    await start(bare, "Diary")
    for number in range(3):
        await signal(bare, str(number))
    noted = await ask_for_text(bare, "noted")
    sizes = [int(text.strip("[]").split(",")[0]) for text in noted.split("],")]
    assert sizes == sorted(set(sizes))
    assert sizes[0] > 100
    await first.die()
    await Worker(bare, "w2").open()
    assert await ask_for_text(bare, "noted") == noted
    await signal(bare, "3")
    after = await ask_for_text(bare, "noted")
    assert after.startswith(noted[:-1])


async def test_a_large_history_suggests_to_continue_as_new_also_on_replay(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.history_size.HISTORY_BYTES_SUGGEST", 1_000)
    first = await Worker(bare).open()
    await start(bare, "Diary")
    for number in range(4):
        await signal(bare, str(number))
    noted = await ask_for_text(bare, "noted")
    assert noted.count("false") > 0
    assert noted.count("true") > 0
    await first.die()
    monkeypatch.undo()
    await Worker(bare, "w2").open()
    assert await ask_for_text(bare, "noted") == noted
