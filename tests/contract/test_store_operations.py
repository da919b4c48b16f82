"""Pending activities that are paused, reset and changed: what every store does with them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.core.adjustments import AdjustAttempt
from orchestrator.core.transition import Heartbeat, Retry
from orchestrator.ids import ActivityKey, AttemptToken, EventId, OperationId, RunId
from orchestrator.ports.store import (
    Adjusted,
    AttemptRecord,
    AttemptState,
    Beaten,
    Begun,
    Finished,
    Gone,
    Redispatched,
    RetryAt,
)
from orchestrator.wire.options import ActivityOptions
from orchestrator.wire.payload import Payload
from tests.contract.store_carriers import BEGIN_MS, Carrier, W, attempt
from tests.contract.test_store_activities import (
    FAILURE,
    begin,
    finish,
    redispatch,
    scheduled,
)

__all__ = ["scheduled"]
OTHER = ActivityOptions(task_queue="other", start_to_close_timeout_ms=1_000)


async def adjust(carrier: Carrier, operation: str = "o1", **fields: Any) -> AttemptRecord:
    change = AdjustAttempt(name=attempt(), operation_id=OperationId(operation), **fields)
    answer = await carrier.store.adjust(change)
    assert isinstance(answer, Adjusted)
    assert answer.record == await record(carrier)
    return answer.record


async def record(carrier: Carrier) -> AttemptRecord:
    found = await carrier.store.record(W, RunId("run-1"), EventId(2))
    assert found is not None
    return found


def beat(details: tuple[Payload, ...] | None = None) -> Heartbeat:
    return Heartbeat(name=attempt(), token=AttemptToken("a"), details=details, due_in_ms=5_000)


async def test_a_paused_activity_is_not_begun_until_it_is_unpaused(scheduled: Carrier) -> None:
    store = scheduled.store
    assert (await adjust(scheduled, pause=True)).paused
    assert isinstance(await store.begin(begin("a")), Gone)
    found = await adjust(scheduled, "o2", pause=False)
    assert (found.paused, found.state, found.attempt) == (False, AttemptState.BACKING_OFF, 0)
    assert isinstance(await store.begin(begin("a")), Gone)
    await scheduled.advance(1)
    answer = await store.redispatch(redispatch(1, name=0))
    assert isinstance(answer, Redispatched)
    assert isinstance(await store.begin(begin("a")), Begun)


async def test_an_operation_that_is_repeated_has_no_further_effect(scheduled: Carrier) -> None:
    store = scheduled.store
    await adjust(scheduled, reset=True)
    await scheduled.advance(1)
    await store.redispatch(redispatch(1, name=0))
    await store.begin(begin("a"))
    assert not (await adjust(scheduled, reset=True)).reset
    assert (await adjust(scheduled, "o2", reset=True)).reset


async def test_unpausing_what_is_not_paused_changes_nothing(scheduled: Carrier) -> None:
    before = await record(scheduled)
    assert await adjust(scheduled, pause=False) == before
    await scheduled.store.begin(begin("a"))
    assert (await adjust(scheduled, "o2", pause=False)).state is AttemptState.RUNNING


async def test_a_running_attempt_is_told_by_its_heartbeat_and_its_outcome_counts(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await adjust(scheduled, pause=True)
    beaten = await store.heartbeat(beat())
    assert isinstance(beaten, Beaten)
    assert (beaten.paused, beaten.reset, beaten.cancel_requested) == (True, False, False)
    assert isinstance(await store.finish(finish("a")), Finished)
    assert isinstance(
        await store.adjust(
            AdjustAttempt(name=attempt(), operation_id=OperationId("o2"), pause=False)
        ),
        Gone,
    )


async def test_a_retry_of_a_paused_activity_waits(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await adjust(scheduled, pause=True)
    assert isinstance(await store.finish(finish("a", retry=True)), RetryAt)
    found = await record(scheduled)
    assert (found.state, found.attempt, found.paused) == (AttemptState.BACKING_OFF, 1, True)


async def test_a_take_over_of_a_paused_activity_begins_nothing(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await adjust(scheduled, pause=True)
    assert isinstance(await store.begin(begin("b", take_over="a")), Gone)


async def test_a_reset_while_an_attempt_runs_makes_the_next_one_the_first(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await store.heartbeat(beat((Payload.of_json(b"1"),)))
    assert (await adjust(scheduled, reset=True, drop_details=True)).reset
    beaten = await store.heartbeat(beat())
    assert isinstance(beaten, Beaten)
    assert beaten.reset
    end = replace(finish("a"), after_reset=Retry(delay_ms=500, failure=FAILURE))
    retry = await store.finish(end)
    assert isinstance(retry, RetryAt)
    assert retry.at_ms == BEGIN_MS + 500
    found = await record(scheduled)
    assert (found.attempt, found.reset, found.details) == (0, False, ())
    assert await store.finish(end) == retry


async def test_without_a_retry_after_a_reset_the_failure_is_final(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await adjust(scheduled, reset=True)
    assert isinstance(await store.finish(finish("a", retry=True)), Finished)


async def test_changed_options_are_in_force_at_once_and_void_the_old_message(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    found = await adjust(
        scheduled, options=OTHER, new_key=ActivityKey("k2"), deadline_ms=BEGIN_MS + 9_000
    )
    assert (found.options, found.key, found.deadline_ms) == (OTHER, "k2", BEGIN_MS + 9_000)
    assert isinstance(await store.begin(begin("a")), Gone)
    name = replace(attempt(0), key=ActivityKey("k2"))
    await scheduled.advance(1)
    again = await store.redispatch(replace(redispatch(1), name=name))
    assert isinstance(again, Redispatched)
    assert again.record.options == OTHER
    renamed = replace(begin("a"), name=replace(name, attempt=1))
    assert isinstance(await store.begin(renamed), Begun)


async def test_an_attempt_that_runs_keeps_its_options_and_the_next_one_has_the_new(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    found = await adjust(scheduled, options=OTHER, new_key=ActivityKey("k2"))
    assert (found.options, found.key, found.deadline_ms) == (None, attempt().key, None)
    await store.finish(finish("a", retry=True))
    assert (await record(scheduled)).options == OTHER


async def test_a_lost_attempt_is_followed_by_one_with_the_new_options(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await adjust(scheduled, options=OTHER)
    await scheduled.advance(5_000)
    answer = await store.redispatch(redispatch(2, token="a"))
    assert isinstance(answer, Redispatched)
    assert answer.record.options == OTHER


async def test_what_has_ended_is_gone(scheduled: Carrier) -> None:
    await scheduled.store.finish(finish("a"))
    change = AdjustAttempt(name=attempt(), operation_id=OperationId("o"), pause=True)
    assert isinstance(await scheduled.store.adjust(change), Gone)
