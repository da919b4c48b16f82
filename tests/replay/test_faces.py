"""What workflow code may know, draw, log and ask for."""

from __future__ import annotations

import asyncio
import inspect
import logging
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints

import pytest

from orchestrator import activity, workflow
from orchestrator.common import RetryPolicy
from orchestrator.exceptions import ConversionError
from orchestrator.replay.facts import TaskFailure
from orchestrator.replay.partition import partition
from orchestrator.wire import codec
from orchestrator.wire import commands as c
from orchestrator.wire.options import RetryOptions
from tests.replay.driver import CONVERTER, T0, Driven, workflow_of

CLOSE = timedelta(seconds=5)
NOTES = dict(zip(("n", "text"), CONVERTER.to_payloads([7, "seven"]), strict=True))


@workflow_of
async def tells(self) -> dict[str, Any]:
    info = workflow.info()
    assert info is workflow.info()
    return {
        "attempt": info.attempt,
        "continued": info.continued_run_id,
        "execution": info.execution_timeout and info.execution_timeout.total_seconds(),
        "first": info.first_execution_run_id,
        "headers": [payload.content().decode() for payload in info.headers.values()],
        "namespace": info.namespace,
        "memo": sorted(info.raw_memo),
        "retry": info.retry_policy and info.retry_policy.maximum_attempts,
        "run": info.run_id,
        "run_timeout": info.run_timeout and info.run_timeout.total_seconds(),
        "start": info.start_time.isoformat(),
        "made": info.workflow_start_time.isoformat(),
        "queue": info.task_queue,
        "task_timeout": info.task_timeout.total_seconds(),
        "id": info.workflow_id,
        "type": info.workflow_type,
        "length": info.get_current_history_length(),
        "size": info.get_current_history_size(),
        "suggested": info.is_continue_as_new_suggested(),
    }


def test_info_tells_all_that_the_start_said() -> None:
    driven = Driven(
        tells,
        attempt=2,
        continued_run_id="before",
        first_run_id="first",
        execution_timeout_ms=90_000,
        run_timeout_ms=60_000,
        task_timeout_ms=5_000,
        retry_policy=RetryOptions(maximum_attempts=3),
        memo=NOTES,
        header={"trace": CONVERTER.to_payloads(["t"])[0]},
    )
    driven.step()
    assert driven.result() == {
        "attempt": 2,
        "continued": "before",
        "execution": 90.0,
        "first": "first",
        "headers": ['"t"'],
        "namespace": "default",
        "memo": ["n", "text"],
        "retry": 3,
        "run": "run-1",
        "run_timeout": 60.0,
        "start": datetime.fromtimestamp(T0 / 1000 + 1, UTC).isoformat(),
        "made": datetime.fromtimestamp(T0 / 1000, UTC).isoformat(),
        "queue": "orders",
        "task_timeout": 5.0,
        "id": "order-1",
        "type": "tells",
        "length": 3,
        "size": 0,
        "suggested": False,
    }
    driven.check_replays()


@workflow_of
async def looks_at_the_clock(self) -> list[Any]:
    before = workflow.now()
    await workflow.sleep(1)
    return [before.isoformat(), workflow.time(), workflow.time_ns(), str(workflow.now().tzinfo)]


def test_time_is_that_of_the_task_and_stands_still_within_it() -> None:
    driven = Driven(looks_at_the_clock)
    driven.step(after_ms=250)
    driven.step(driven.fired(1), after_ms=60_000)
    assert driven.result() == [
        datetime.fromtimestamp(T0 / 1000 + 0.25, UTC).isoformat(),
        (T0 + 60_250) / 1000,
        (T0 + 60_250) * 1_000_000,
        "UTC",
    ]
    driven.check_replays()


@workflow_of
async def draws(self) -> list[Any]:
    seed = workflow.random_seed()
    first, second = workflow.new_random(), workflow.new_random()
    ids = [workflow.uuid7(), workflow.uuid7()]
    plain = workflow.uuid4()
    assert (plain.version, ids[0].version, ids[0].variant, plain.variant) == (
        4,
        7,
        "specified in RFC 4122",
        "specified in RFC 4122",
    )
    assert ids[0].int >> 80 == workflow.time_ns() // 1_000_000
    numbers = [workflow.random().random(), first.random(), second.random()]
    assert len({*numbers, *map(str, ids), str(plain)}) == 6
    return [seed, numbers, [str(one) for one in (*ids, plain)]]


def test_random_numbers_follow_from_the_run_id_and_nothing_else() -> None:
    results = []
    for run_id in ("run-1", "run-1", "run-2"):
        driven = Driven(draws, run_id=run_id)
        driven.step()
        results.append(driven.result())
        driven.check_replays()
    assert results[0] == results[1]
    assert results[0][0] != results[2][0]


@workflow_of
async def reads_notes(self) -> list[Any]:
    try:
        workflow.memo_value("absent")
    except KeyError as error:
        missing = str(error)
    try:
        workflow.memo_value("text", type_hint=int)
    except ConversionError as error:
        wrong = str(error)
    return [
        workflow.memo(),
        workflow.memo_value("n", type_hint=float),
        workflow.memo_value("absent", "default"),
        "absent" in missing,
        "Expected `int`" in wrong,
    ]


def test_notes_are_read_as_plain_data_or_as_a_type() -> None:
    driven = Driven(reads_notes, memo=NOTES)
    driven.step()
    assert driven.result() == [{"n": 7, "text": "seven"}, 7.0, "default", True, True]


@workflow_of
async def logs(self) -> None:
    workflow.logger.info("paid %s", "a lot", extra={"cents": 5})
    await workflow.sleep(1)
    workflow.logger.warning("slept")


def test_a_log_line_names_its_run_and_is_not_written_again_on_replay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    driven = Driven(logs)
    driven.step()
    driven.step(driven.fired(1))
    first, second = caplog.records
    assert (first.message, first.cents, second.message) == ("paid a lot", 5, "slept")  # type: ignore[attr-defined]  # an extra field
    assert first.workflow == {  # type: ignore[attr-defined]  # as above
        "attempt": 1,
        "namespace": "default",
        "run_id": "run-1",
        "task_queue": "orders",
        "workflow_id": "order-1",
        "workflow_type": "logs",
    }
    caplog.clear()
    run = driven.fresh()
    for activation in partition(driven.history).activations:
        run.activate(activation)
    assert not caplog.records


def test_a_logger_may_add_the_run_to_the_text_and_the_whole_info_to_the_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driven = Driven(logs_loudly)
    driven.step()
    (record,) = caplog.records
    assert record.message.startswith("hello ({'attempt': 1, ")
    assert record.workflow_info.workflow_id == "order-1"  # type: ignore[attr-defined]  # an extra field
    assert not hasattr(record, "workflow")
    LOUD.warning("outside")  # of a workflow it is a plain logger
    assert caplog.records[-1].message == "outside"


LOUD = workflow.LoggerAdapter(logging.getLogger("tests.loud"))
LOUD.workflow_info_on_message = True
LOUD.workflow_info_on_extra = False
LOUD.full_workflow_info_on_extra = True


@workflow_of
async def logs_loudly(self) -> None:
    LOUD.warning("hello")


@workflow_of
async def asks_unsafe_things(self) -> list[bool]:
    with workflow.unsafe.imports_passed_through(), workflow.unsafe.sandbox_unrestricted():
        pass
    return [
        workflow.unsafe.is_replaying(),
        workflow.unsafe.is_replaying_history_events(),
        workflow.unsafe.is_read_only(),
        workflow.unsafe.in_sandbox(),
        workflow.in_workflow(),
    ]


def test_unsafe_questions_have_answers() -> None:
    driven = Driven(asks_unsafe_things)
    driven.step()
    assert driven.result() == [False, False, False, False, True]


def test_outside_of_workflow_code_every_function_says_so() -> None:
    with workflow.unsafe.imports_passed_through():
        assert not workflow.in_workflow()
    for function in (
        workflow.info,
        workflow.now,
        workflow.random,
        workflow.uuid7,
        workflow.memo,
        workflow.all_handlers_finished,
        workflow.cancellation_reason,
        workflow.continue_as_new,
        workflow.unsafe.is_replaying,
        workflow.payload_converter,
    ):
        with pytest.raises(RuntimeError, match="not in workflow code"):
            function()
    with pytest.raises(RuntimeError, match="not in workflow code"):
        workflow.start_activity("a", start_to_close_timeout=CLOSE)


@workflow.defn
class KnowsInInit:
    def __init__(self) -> None:
        self.id = workflow.info().workflow_id
        self.at = workflow.time()

    @workflow.run
    async def run(self) -> list[Any]:
        return [self.id, self.at == workflow.time()]


def test_a_constructor_is_workflow_code() -> None:
    driven = Driven(KnowsInInit)
    driven.step()
    assert driven.result() == ["order-1", True]


@activity.defn
async def count_items(items: list[str]) -> int:
    return len(items)


@activity.defn(name="charge")
class Charge:
    def __call__(self, cents: int) -> datetime: ...


class Kitchen:
    @activity.defn
    async def cook(self, dish: str, spice: int) -> timedelta: ...


@workflow_of
async def calls_all_forms(self) -> list[str]:
    config = workflow.ActivityConfig(start_to_close_timeout=CLOSE, task_queue="kitchen")
    handles: list[workflow.ActivityHandle[Any]] = [
        workflow.start_activity(count_items, ["a"], **config),
        workflow.start_activity_class(Charge, 5, **config),
        workflow.start_activity_method(Kitchen.cook, args=["soup", 1], **config),
        workflow.start_activity("by_name", result_type=datetime, **config),
    ]
    found = [type(await handle).__name__ for handle in handles]
    found.append(str(await workflow.execute_activity(count_items, ["a"], **config)))
    found.append(str(await workflow.execute_activity_class(Charge, 5, **config)))
    found.append(
        str(await workflow.execute_activity_method(Kitchen.cook, args=["soup", 1], **config))
    )
    return found


def test_each_form_of_a_call_knows_name_and_result_type() -> None:
    driven = Driven(calls_all_forms)
    commands = driven.step()
    assert [one.activity_type for one in commands if isinstance(one, c.ScheduleActivityTask)] == [
        "count_items",
        "charge",
        "cook",
        "by_name",
    ]
    time = datetime(2026, 1, 2, tzinfo=UTC)
    driven.step(
        driven.completed("count_items", 1),
        driven.completed("charge", time),
        driven.completed("cook", timedelta(minutes=3)),
        driven.completed("by_name", time),
    )
    driven.step(driven.completed("count_items", 2))
    driven.step(driven.completed("charge", time))
    driven.step(driven.completed("cook", timedelta(minutes=3)))
    assert driven.result() == [
        "int",
        "datetime",
        "timedelta",
        "datetime",
        "2",
        "2026-01-02 00:00:00+00:00",
        "0:03:00",
    ]
    driven.check_replays()


@workflow_of
async def uses_every_option(self) -> None:
    await workflow.execute_activity(
        "a",
        args=[1, "b"],
        task_queue="elsewhere",
        schedule_to_close_timeout=timedelta(minutes=4),
        schedule_to_start_timeout=timedelta(minutes=3),
        start_to_close_timeout=timedelta(minutes=2),
        heartbeat_timeout=timedelta(minutes=1),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=1),
            backoff_coefficient=3.0,
            maximum_interval=timedelta(seconds=9),
            maximum_attempts=7,
            non_retryable_error_types=["Fatal"],
        ),
        activity_id="mine",
        summary="of all",
    )


def test_every_option_reaches_the_command() -> None:
    (command,) = Driven(uses_every_option).step()
    assert command == c.ScheduleActivityTask(
        activity_id="mine",
        activity_type="a",
        task_queue="elsewhere",
        input=tuple(CONVERTER.to_payloads([1, "b"])),
        schedule_to_close_timeout_ms=240_000,
        schedule_to_start_timeout_ms=180_000,
        start_to_close_timeout_ms=120_000,
        heartbeat_timeout_ms=60_000,
        retry_policy=RetryOptions(
            initial_interval_ms=1,
            backoff_coefficient=3.0,
            maximum_interval_ms=9_000,
            maximum_attempts=7,
            non_retryable_error_types=("Fatal",),
        ),
        summary="of all",
    )


@workflow_of
async def plain_call(self) -> None:
    await workflow.execute_activity("pay", start_to_close_timeout=CLOSE)


def test_what_nobody_asked_for_is_not_in_the_history() -> None:
    driven = Driven(plain_call)
    driven.step()
    written = codec.encode(driven.history[-1].attributes).decode()
    assert '"activity_type":"pay"' in written
    assert "{}" not in written


def test_the_config_dict_mirrors_the_signature() -> None:
    parameters = inspect.signature(workflow.start_activity).parameters
    options = set(parameters) - {"activity", "arg", "args", "result_type"}
    assert options == set(get_type_hints(workflow.ActivityConfig))
    assert not workflow.ActivityConfig.__required_keys__


_POLICIES: dict[str, dict[str, Any]] = {
    "endless": {"backoff_coefficient": float("inf")},
    "no number": {"backoff_coefficient": float("nan")},
    "half attempts": {"maximum_attempts": 2.5},
    "one type": {"non_retryable_error_types": "ValueError"},
    "classes": {"non_retryable_error_types": [ValueError]},
}


@workflow_of
async def calls_wrongly(self, how: str) -> None:
    async def undecorated() -> None: ...

    if how == "no time-out":
        await workflow.execute_activity("a")
    if how == "both":
        await workflow.execute_activity("a", 1, args=[2], start_to_close_timeout=CLOSE)
    if how == "text":
        await workflow.execute_activity("a", args="pizza", start_to_close_timeout=CLOSE)
    if how == "negative":
        await workflow.execute_activity("a", start_to_close_timeout=-CLOSE)
    if how == "undecorated":
        await workflow.execute_activity(undecorated, start_to_close_timeout=CLOSE)
    if how == "option":
        await workflow.execute_activity("a", start_to_close_timeout=CLOSE, timeout=1)
    if how == "value":
        await workflow.execute_activity("a", object(), start_to_close_timeout=CLOSE)
    if how == "id":
        for _ in range(2):
            workflow.start_activity("a", activity_id="x", start_to_close_timeout=CLOSE)
    if how == "policy":
        policy = RetryPolicy(backoff_coefficient=0.5)
        await workflow.execute_activity("a", start_to_close_timeout=CLOSE, retry_policy=policy)
    if how in _POLICIES:
        policy = RetryPolicy(**_POLICIES[how])
        await workflow.execute_activity("a", start_to_close_timeout=CLOSE, retry_policy=policy)
    if how == "braces":
        await workflow.execute_activity("a{b}", start_to_close_timeout=CLOSE)
    if how == "bell":
        await workflow.execute_activity("a", activity_id="\a", start_to_close_timeout=CLOSE)
    if how == "queue":
        await workflow.execute_activity("a", task_queue="a b", start_to_close_timeout=CLOSE)
    if how == "next":
        workflow.continue_as_new(workflow="x" * 2000)
    if how == "now":
        workflow.continue_as_new(run_timeout=timedelta(0))
    if how == "ages":
        await workflow.execute_activity("a", start_to_close_timeout=timedelta.max)
    if how == "half":
        await workflow.execute_activity("a", start_to_close_timeout=CLOSE, summary="\ud83c")
    if how == "page":
        await workflow.sleep(1, summary="x" * 401)
    if how == "reason":
        await workflow.wait_condition(lambda: False, timeout=1, timeout_summary="x" * 401)
    if how == "many":
        for _ in range(2001):
            workflow.start_activity("a", start_to_close_timeout=CLOSE)
    if how == "timers":
        for _ in range(10_001):
            asyncio.get_running_loop().call_later(1, print)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("no time-out", "needs start_to_close_timeout or schedule_to_close_timeout"),
        ("both", "give arg or args, not both"),
        ("text", "expected a list of arguments, found 'pizza'"),
        ("negative", "start_to_close_timeout must be positive"),
        ("undecorated", "decorate it with @activity.defn"),
        ("option", "unexpected keyword argument 'timeout'"),
        ("value", "value 1: a value of type object has no JSON form"),
        ("id", "an activity with id 'x' is pending"),
        ("policy", "backoff_coefficient must be"),
        ("endless", "backoff_coefficient must be a number ≥ 1, found inf"),
        ("no number", "backoff_coefficient must be a number ≥ 1, found nan"),
        ("half attempts", "maximum_attempts must be a whole number ≥ 0, found 2.5"),
        ("one type", "must be a list of names of types, found 'ValueError'"),
        ("classes", "must be a list of names of types, found [<class"),
        ("braces", "activity type: expected no braces"),
        ("bell", "activity id: expected no control characters"),
        ("queue", "task queue: expected 1 to 200 bytes without spaces"),
        ("next", "workflow type: expected at most 1000 bytes"),
        ("now", "run_timeout must be positive"),
        ("ages", "start_to_close_timeout must be at most 36500 days"),
        ("half", "summary: expected a text without halves of surrogate pairs"),
        ("page", "summary: expected at most 400 bytes"),
        ("reason", "timeout_summary: expected at most 400 bytes"),
        ("many", "2000 activities are pending"),
        ("timers", "10000 timers are running"),
    ],
)
def test_a_call_that_makes_no_sense_fails_the_task_and_says_why(how: str, text: str) -> None:
    driven = Driven(calls_wrongly, how)
    failure = driven.attempt()
    assert isinstance(failure, TaskFailure)
    assert text in failure.failure.message
    assert driven.run.evict()


@workflow_of
async def misreads(self) -> str:
    try:
        await workflow.execute_activity(count_items, ["a"], start_to_close_timeout=CLOSE)
    except ConversionError as error:
        return str(error)
    return ""


def test_a_result_of_another_type_is_an_error_at_the_await() -> None:
    driven = Driven(misreads)
    driven.step()
    driven.step(driven.completed("count_items", "many"))
    assert "Expected `int`, got `str`" in driven.result()
    driven.check_replays()
