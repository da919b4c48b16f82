"""Attempts that are completed from outside: what every store does with them."""

from __future__ import annotations

from orchestrator.core.transition import FinishAttempt, Heartbeat
from orchestrator.ids import AttemptToken, EventId, RunId
from orchestrator.ports.store import AttemptState, Beaten, Begun, Finished, Gone, RetryAt
from tests.contract.store_carriers import BEGIN_MS, Carrier, W, attempt
from tests.contract.test_store_activities import (
    ENTRY,
    begin,
    finish,
    redispatch,
    scheduled,
)

__all__ = ["scheduled"]


def beat(token: str = "a", *, detach: bool = False) -> Heartbeat:
    return Heartbeat(
        name=attempt(), token=AttemptToken(token), details=None, due_in_ms=5_000, detach=detach
    )


def by_hand(token: str, number: int = 1) -> FinishAttempt:
    return FinishAttempt(
        name=attempt(number), token=AttemptToken(token), entry=ENTRY, waiting_too=True
    )


async def test_a_detached_attempt_is_nobodys_to_begin_and_ends_once(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    for _ in range(2):
        assert isinstance(await store.heartbeat(beat(detach=True)), Beaten)
    record = await store.record(W, RunId("run-1"), EventId(2))
    assert record is not None
    assert (record.state, record.detached, record.holder) == (AttemptState.RUNNING, True, "alice")
    assert isinstance(await store.begin(begin("b", take_over="a")), Gone)
    assert isinstance(await store.begin(begin("a")), Begun)
    assert isinstance(await store.heartbeat(beat()), Beaten)
    assert isinstance(await store.finish(finish("a")), Finished)
    assert isinstance(await store.finish(finish("b")), Gone)
    assert isinstance(await store.heartbeat(beat(detach=True)), Gone)


async def test_the_attempt_after_a_detached_one_has_a_holder_again(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    await store.heartbeat(beat(detach=True))
    assert isinstance(await store.finish(finish("a", retry=True)), RetryAt)
    await scheduled.advance(1_000)
    await store.redispatch(redispatch(2))
    assert isinstance(await store.begin(begin("b", number=2)), Begun)
    record = await store.record(W, RunId("run-1"), EventId(2))
    assert record is not None
    assert not record.detached


async def test_an_end_by_hand_is_taken_while_nobody_has_begun(scheduled: Carrier) -> None:
    store = scheduled.store
    assert isinstance(await store.finish(by_hand("x")), Finished)
    assert isinstance(await store.finish(by_hand("x")), Finished)
    assert isinstance(await store.finish(by_hand("y")), Gone)


async def test_an_end_by_hand_is_taken_between_two_attempts(scheduled: Carrier) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    retry = await store.finish(finish("a", retry=True))
    assert isinstance(retry, RetryAt)
    assert retry.at_ms == BEGIN_MS + 1_000
    assert isinstance(await store.finish(by_hand("x")), Finished)
    assert isinstance(await store.finish(by_hand("y")), Gone)


async def test_an_end_by_hand_does_not_end_an_attempt_that_has_begun_since(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    await store.begin(begin("a"))
    assert isinstance(await store.finish(by_hand("x")), Gone)
