"""Activity functions as a worker runs them: arguments, results, failures, where they run."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import activity
from orchestrator.common import RetryPolicy
from orchestrator.definition.registry import Registry
from orchestrator.exceptions import ApplicationError, ApplicationErrorCategory
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.options import RetryOptions
from orchestrator.worker.execution import check_registry
from tests.unit.memory_engine import RUN, WORKFLOW, Engine
from tests.unit.worker.runners import Open, entry, failure, last_failure, result, run, until

ONCE = RetryOptions(maximum_attempts=1)


@dataclass
class Pizza:
    name: str
    size: int


@activity.defn
async def bake(pizza: Pizza, minutes: int, oven: str = "stone") -> str:
    return f"{pizza.name} {pizza.size} {minutes} {oven}"


@activity.defn
def bake_in_thread(pizza: Pizza) -> str:
    return f"{type(pizza).__name__} in {threading.current_thread().name}"


@activity.defn
async def take_any(*values: int) -> int:
    return sum(values)


class Oven:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    @activity.defn
    async def heat(self, degrees: int) -> str:
        return f"{self.kind} at {degrees}"


@activity.defn(name="slice")
class Slicer:
    def __call__(self, pieces: int) -> str:
        return f"{pieces} pieces"


@activity.defn
async def boom() -> None:
    raise ApplicationError("boom", 7, type="Boom", next_retry_delay=timedelta(seconds=9))


@activity.defn
async def boom_for_good() -> None:
    raise ApplicationError("boom", type="Boom", non_retryable=True)


@activity.defn
async def boom_as_expected() -> None:
    raise ApplicationError("boom", category=ApplicationErrorCategory.BENIGN)


@activity.defn
async def exit_async() -> None:
    raise SystemExit(3)


@activity.defn
def interrupt_in_thread() -> None:
    raise KeyboardInterrupt


@activity.defn
async def give_a_lock() -> dict[str, object]:
    return {"pizza": [threading.Lock()]}


@activity.defn
async def give_too_much() -> bytes:
    return bytes(3 * 1024 * 1024)


def type_of(failed: Failure) -> str:
    assert isinstance(failed.detail, ApplicationFailure)
    return failed.detail.error_type


async def test_arguments_arrive_as_their_annotations_say_and_missing_ones_by_default(
    engine: Engine, opened: Open
) -> None:
    await opened(bake)
    await run(engine, "bake", Pizza("margherita", 30), 4)
    assert await result(engine) == "margherita 30 4 stone"


async def test_a_sync_function_runs_in_the_executor(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    await opened(bake_in_thread, executor=threads)
    await run(engine, "bake_in_thread", {"name": "m", "size": 1})
    assert await result(engine) == "Pizza in oven_0"


async def test_bound_methods_and_callable_instances_are_run(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    await opened(Oven("wood").heat, Slicer(), executor=threads)
    await run(engine, "heat", 400)
    assert await result(engine) == "wood at 400"


async def test_a_callable_instance_is_run_in_a_thread(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    await opened(Slicer(), executor=threads)
    await run(engine, "slice", 8)
    assert await result(engine) == "8 pieces"


async def test_any_number_of_arguments_fits_a_function_that_takes_any(
    engine: Engine, opened: Open
) -> None:
    await opened(take_any)
    await run(engine, "take_any", 1, 2, 3)
    assert await result(engine) == 6


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            (Pizza("m", 1), 2, "gas", 4),
            "expected at most 3 arguments (pizza, minutes, oven), found 4",
        ),
        ((Pizza("m", 1),), "expected at least 2 arguments, found 1; missing: 'minutes'"),
        (({"name": "m", "size": "big"}, 2), "argument 1 'pizza': expected tests.unit"),
        ((Pizza("m", 1), "long"), "argument 2 'minutes': expected int"),
    ],
)
async def test_arguments_that_do_not_fit_are_named_and_tried_again(
    engine: Engine, opened: Open, args: tuple[object, ...], text: str
) -> None:
    await opened(bake)
    await run(engine, "bake", *args)
    failed = await last_failure(engine)
    assert text in failed.message
    assert "'bake'" in failed.message
    assert type_of(failed) == "ConversionError"


async def test_an_unknown_type_is_tried_again_and_says_what_is_known(
    engine: Engine, opened: Open
) -> None:
    await opened(bake, boom)
    await run(engine, "fry")
    failed = await last_failure(engine)
    assert type_of(failed) == "NotFoundError"
    assert "'fry' is not registered" in failed.message
    assert "bake, boom" in failed.message


async def test_a_failure_keeps_its_type_details_delay_and_place(
    engine: Engine, opened: Open
) -> None:
    runner = await opened(boom)
    await run(engine, "boom")
    failed = await last_failure(engine)
    assert isinstance(failed.detail, ApplicationFailure)
    assert (failed.message, failed.detail.error_type) == ("boom", "Boom")
    assert failed.detail.next_retry_delay_ms == 9_000
    (line,) = [line for line in failed.stack_trace.splitlines() if "in " in line]
    assert line.endswith("in boom")
    assert runner.counters.value("activities_failed") == 1
    assert runner.counters.value("activities_retried") == 1


async def test_a_final_failure_is_not_tried_again(engine: Engine, opened: Open) -> None:
    await opened(boom_for_good)
    await run(engine, "boom_for_good")
    assert type_of(await failure(engine)) == "Boom"


async def test_a_benign_failure_is_neither_counted_nor_logged_aloud(
    engine: Engine, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="orchestrator")
    runner = await opened(boom_as_expected)
    await run(engine, "boom_as_expected")
    assert runner.counters.value("activities_failed") == 0
    (said,) = [one for one in caplog.records if one.msg == "activity_failed"]
    assert said.levelno == logging.DEBUG


async def test_a_failure_is_logged_with_the_fields_of_its_attempt(
    engine: Engine, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    await opened(boom)
    await run(engine, "boom")
    (said,) = [one for one in caplog.records if one.msg == "activity_failed"]
    fields: dict[str, object] = said.fields  # type: ignore[attr-defined]  # ours
    assert said.levelno == logging.WARNING
    assert (fields["workflow_id"], fields["attempt"], fields["error_type"]) == (
        WORKFLOW,
        1,
        "Boom",
    )
    assert fields["retry_in_ms"] == 9_000


@pytest.mark.parametrize(
    ("function", "kind"),
    [(exit_async, "SystemExit"), (interrupt_in_thread, "KeyboardInterrupt")],
)
async def test_an_exit_in_user_code_ends_the_attempt_and_not_the_worker(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor, function: Any, kind: str
) -> None:
    await opened(function, bake, executor=threads)
    await run(engine, function.__name__, retry_policy=ONCE)
    assert type_of(await failure(engine)) == kind


async def test_a_result_without_a_json_form_is_final_and_named_with_its_place(
    engine: Engine, opened: Open
) -> None:
    await opened(give_a_lock)
    await run(engine, "give_a_lock")
    failed = await failure(engine)
    assert type_of(failed) == "ConversionError"
    assert "lock" in failed.message
    assert "['pizza'][0]" in failed.message


async def test_a_result_over_the_limit_is_final_and_says_how_large_it_is(
    engine: Engine, opened: Open
) -> None:
    await opened(give_too_much)
    await run(engine, "give_too_much")
    failed = await failure(engine)
    assert type_of(failed) == "PayloadTooLargeError"
    assert "3,145,728 bytes, the limit is 2,097,152" in failed.message


async def test_an_attempt_knows_about_itself(engine: Engine, opened: Open) -> None:
    seen: list[activity.Info] = []

    @activity.defn
    async def look() -> None:
        assert activity.in_activity()
        seen.append(activity.info())
        activity.heartbeat({"done": 3})
        if activity.info().attempt == 1:
            raise ValueError("again")

    await opened(look)
    policy = RetryOptions(initial_interval_ms=2_000, maximum_attempts=3)
    await run(engine, "look", retry_policy=policy, heartbeat_timeout_ms=4_000)
    await engine.pass_time(2_000)
    await entry(engine)
    first, second = seen
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.workflow_id == WORKFLOW
    assert first.workflow_run_id == RUN
    assert (first.workflow_type, first.activity_type, first.task_queue) == (
        "Order",
        "look",
        "orders",
    )
    assert first.scheduled_event_id == 5
    assert first.workflow_namespace == "default"
    assert first.start_to_close_timeout == timedelta(seconds=10)
    assert first.heartbeat_timeout == timedelta(seconds=4)
    assert first.retry_policy == RetryPolicy(
        initial_interval=timedelta(seconds=2), maximum_attempts=3
    )
    assert list(first.heartbeat_details) == []
    assert list(second.heartbeat_details) == [{"done": 3}]
    assert second.scheduled_time == first.scheduled_time
    assert second.current_attempt_scheduled_time - first.started_time == timedelta(seconds=2)
    assert first.task_token != second.task_token
    assert not first.is_local


async def test_a_thread_sees_the_context_and_the_variables_of_its_worker(
    engine: Engine, opened: Open, threads: ThreadPoolExecutor
) -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("from outside")

    @activity.defn
    def look() -> str:
        return f"{activity.info().activity_type} {variable.get()}"

    await opened(look, executor=threads)
    await run(engine, "look")
    assert await result(engine) == "look from outside"


async def test_a_log_of_activity_code_names_its_attempt(
    engine: Engine, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orchestrator")

    @activity.defn
    async def say() -> None:
        activity.logger.info("hot", extra={"degrees": 400})

    await opened(say)
    await run(engine, "say")
    (said,) = [one for one in caplog.records if one.msg == "hot"]
    fields: dict[str, object] = said.activity  # type: ignore[attr-defined]  # ours
    assert fields["workflow_id"] == WORKFLOW
    assert fields["activity_type"] == "say"
    assert said.degrees == 400  # type: ignore[attr-defined]  # the user's


async def test_activity_code_reads_payloads_as_its_worker_does(
    engine: Engine, opened: Open
) -> None:
    @activity.defn
    async def convert() -> str:
        return activity.payload_converter().to_payload([1]).content().decode()

    await opened(convert)
    await run(engine, "convert")
    assert await result(engine) == "[1]"


async def test_a_closed_executor_is_the_end_of_the_worker_and_the_attempt_is_tried_again(
    engine: Engine, opened: Open
) -> None:
    executor = ThreadPoolExecutor(1)
    runner = await opened(bake_in_thread, executor=executor)
    executor.shutdown()
    await run(engine, "bake_in_thread", Pizza("m", 1))
    await until(lambda: bool(runner.fatal))
    assert "takes no work" in str(runner.fatal[0])
    assert type_of(await last_failure(engine)) == "PoolUnusableError"


def test_outside_of_an_activity_the_face_says_so() -> None:
    assert not activity.in_activity()
    with pytest.raises(RuntimeError, match="not in activity code"):
        activity.info()


def test_a_sync_activity_without_executor_is_refused() -> None:
    with pytest.raises(ValueError, match="'bake_in_thread' is not async and needs a place to run"):
        check_registry(Registry(activities=[bake, bake_in_thread]), None)


def test_a_method_without_its_instance_is_refused() -> None:
    with pytest.raises(ValueError, match="'heat' is a method without its instance"):
        check_registry(Registry(activities=[Oven.heat]), None)
