"""Activities in a pool of processes: real ones, for what they cannot share is the point."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from orchestrator.activity import defn
from orchestrator.definition.registry import Registry
from orchestrator.wire.commands import RequestCancelActivityTask
from orchestrator.wire.failure import ApplicationFailure
from orchestrator.wire.options import RetryOptions
from orchestrator.worker import SharedStateManager
from orchestrator.worker.execution import check_registry
from tests.realtime import pool_activities as pooled
from tests.unit.memory_engine import Engine
from tests.unit.worker.runners import (
    Open,
    entry,
    failure,
    last_failure,
    record,
    result,
    run,
    until,
)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([pooled.__name__])
ONCE = RetryOptions(maximum_attempts=1)


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedStateManager]:
    with _processes.Manager() as manager:
        yield SharedStateManager.create_from_multiprocessing(manager)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, _processes) as executor:
        yield executor


@pytest.fixture
def here(pool: ProcessPoolExecutor, shared: SharedStateManager) -> dict[str, object]:
    """Options of a worker that runs its sync activities in the pool."""
    return {"executor": pool, "shared_state": shared}


async def test_a_function_runs_in_another_process(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    await opened(pooled.pid, **here)
    await run(engine, "pid")
    assert await result(engine) not in (None, os.getpid())


async def test_it_has_its_arguments_and_its_context(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    await opened(pooled.look, **here)
    await run(engine, "look", 3)
    assert await result(engine) == ["look", 1, [], "3"]


async def test_a_bound_method_runs_with_its_instance(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    await opened(pooled.Counter(40).count_from, **here)
    await run(engine, "count_from", 2)
    assert await result(engine) == 42


async def test_arguments_that_do_not_fit_are_named(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    await opened(pooled.look, **here)
    await run(engine, "look", "three", retry_policy=ONCE)
    assert "argument 1 'factor': expected int" in (await failure(engine)).message


async def test_heartbeats_arrive_and_a_cancel_is_seen_with_its_reason(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    runner = await opened(pooled.wait, **here)
    await run(engine, "wait")
    await until(lambda: bool(runner.beats))
    assert runner.beats[0][1] == ["waiting"]
    await engine.commit(RequestCancelActivityTask(activity_id="1"))
    found = await entry(engine)
    assert found.type == "ActivityCanceled"
    (details,) = found.body.details  # type: ignore[union-attr]  # cancelled
    assert b"cancel_requested=True" in details.content()


async def test_the_end_of_the_worker_is_seen(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    runner = await opened(pooled.wait_for_shutdown, **here)
    await run(engine, "wait_for_shutdown")
    await until(lambda: bool(runner.beats))
    runner.execution.shut_down()
    assert await result(engine) == "True False"


async def test_the_last_details_are_stored_before_a_failure_of_any_kind(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    runner = await opened(pooled.fail_after_beating, **here)
    await run(engine, "fail_after_beating")
    await until(lambda: runner.counters.value("activities_failed") == 1)
    failed = await last_failure(engine)
    assert isinstance(failed.detail, ApplicationFailure)
    assert (failed.message, failed.detail.error_type) == ("it is stubborn", "Stubborn")
    assert "fail_after_beating" in failed.stack_trace
    (details,) = (await record(engine)).details
    assert details.content() == b"49"


async def test_details_that_cannot_be_converted_cancel_the_attempt_and_fail_it(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    await opened(pooled.beat_with_a_lock, **here)
    await run(engine, "beat_with_a_lock", retry_policy=ONCE)
    failed = await failure(engine)
    assert isinstance(failed.detail, ApplicationFailure)
    assert failed.detail.error_type == "ConversionError"


async def test_a_result_without_a_json_form_is_final(
    engine: Engine, opened: Open, here: dict[str, object]
) -> None:
    await opened(pooled.give_a_lock, **here)
    await run(engine, "give_a_lock")
    assert "the activity's result" in (await failure(engine)).message


async def test_a_pool_that_breaks_is_the_end_of_its_worker_and_the_attempt_is_tried_again(
    engine: Engine, opened: Open, shared: SharedStateManager
) -> None:
    with ProcessPoolExecutor(1, _processes) as pool:
        runner = await opened(pooled.die, executor=pool, shared_state=shared)
        await run(engine, "die")
        await until(lambda: bool(runner.fatal))
        await until(lambda: runner.counters.value("activities_failed") == 1)
    assert "broke" in str(runner.fatal[0])
    failed = await last_failure(engine)
    assert isinstance(failed.detail, ApplicationFailure)
    assert failed.detail.error_type == "PoolUnusableError"


@pytest.mark.parametrize("how", ["shut down", "killed"])
async def test_a_shared_state_that_is_gone_is_the_end_of_its_worker(
    engine: Engine, opened: Open, pool: ProcessPoolExecutor, how: str
) -> None:
    manager = _processes.Manager()
    gone = SharedStateManager.create_from_multiprocessing(manager)
    if how == "killed":
        manager._process.kill()  # type: ignore[attr-defined]  # as the system may do
        manager._process.join()  # type: ignore[attr-defined]  # as above
    else:
        manager.shutdown()
    runner = await opened(pooled.pid, executor=pool, shared_state=gone)
    await run(engine, "pid")
    await until(lambda: bool(runner.fatal))
    assert "shared state manager is gone" in str(runner.fatal[0])


def test_a_process_pool_needs_a_shared_state(pool: ProcessPoolExecutor) -> None:
    with pytest.raises(ValueError, match="needs shared_state_manager="):
        check_registry(Registry(activities=[pooled.pid]), pool)


def test_a_process_pool_needs_functions_that_can_be_found(
    pool: ProcessPoolExecutor, shared: SharedStateManager
) -> None:
    @defn
    def local() -> None: ...

    with pytest.raises(ValueError, match="'local' cannot be sent to another process"):
        check_registry(Registry(activities=[local]), pool, shared)
