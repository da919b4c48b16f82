"""Turns of rate limits: what every store does with them."""

from __future__ import annotations

import itertools

import msgspec

from orchestrator.core.adjustments import AdjustAttempt, HoldBack
from orchestrator.core.rates import RateLimit
from orchestrator.ids import EventId, OperationId, RunId, TaskQueue
from orchestrator.ports.store import Adjusted, AttemptState, Begun, Gone, Redispatched
from tests.contract.store_carriers import Carrier, W, attempt
from tests.contract.test_store_activities import begin, redispatch, scheduled

__all__ = ["scheduled"]
QUEUE, SLOW = TaskQueue("orders"), RateLimit("key acme", 0.01)


async def test_turns_of_one_limit_lie_an_interval_apart(carrier: Carrier) -> None:
    turns = [await carrier.store.take_turn(QUEUE, SLOW) for _ in range(4)]
    assert turns[0].due_at_ms <= turns[0].now_ms + 1
    apart = [later.due_at_ms - earlier.due_at_ms for earlier, later in itertools.pairwise(turns)]
    assert all(99_999 <= gap <= 100_001 for gap in apart)


async def test_other_limits_and_other_queues_have_turns_of_their_own(carrier: Carrier) -> None:
    for _ in range(3):
        await carrier.store.take_turn(QUEUE, SLOW)
    for queue, limit in (
        (QUEUE, RateLimit("key other", 0.01)),
        (QUEUE, RateLimit("queue", 0.01)),
        (TaskQueue("others"), SLOW),
    ):
        turn = await carrier.store.take_turn(queue, limit)
        assert turn.due_at_ms <= turn.now_ms + 1


async def test_a_seconds_worth_of_turns_may_be_used_at_once(carrier: Carrier) -> None:
    limit = RateLimit("queue", 5)
    turns = [await carrier.store.take_turn(QUEUE, limit) for _ in range(6)]
    assert all(turn.due_at_ms <= turn.now_ms for turn in turns[:5])
    assert turns[5].due_at_ms >= turns[0].now_ms + 199


def held(operation: str = "o", number: int = 1) -> AdjustAttempt:
    return AdjustAttempt(
        name=attempt(number),
        operation_id=OperationId(operation),
        hold_back=HoldBack(limit="key acme", turns=1),
        due_in_ms=3_000,
    )


async def test_an_attempt_that_waits_for_its_turn_shows_for_which_and_begins_then(
    scheduled: Carrier,
) -> None:
    store = scheduled.store
    first = await store.adjust(held())
    assert isinstance(first, Adjusted)
    assert (first.record.limited_by, first.record.turns) == ("key acme", 1)
    assert first.record.state is AttemptState.BACKING_OFF
    assert isinstance(await store.adjust(held()), Adjusted)
    assert isinstance(await store.adjust(held("other")), Gone)
    assert isinstance(await store.begin(begin("a")), Gone)
    assert isinstance(await store.redispatch(redispatch(1, name=0)), Gone)
    await scheduled.advance(3_000)
    again = await store.redispatch(redispatch(1, name=0))
    assert isinstance(again, Redispatched)
    assert again.record.turns == 1
    assert isinstance(await store.begin(begin("a")), Begun)
    record = await store.record(W, RunId("run-1"), EventId(2))
    assert record is not None
    assert (record.limited_by, record.turns) == (None, 0)


async def test_an_attempt_that_has_begun_is_not_held_back(scheduled: Carrier) -> None:
    await scheduled.store.begin(begin("a"))
    assert isinstance(await scheduled.store.adjust(held()), Gone)


async def test_a_turn_beyond_the_deadline_is_looked_at_when_that_is_over(
    scheduled: Carrier,
) -> None:
    late = msgspec.structs.replace(held(), due_in_ms=100_000)
    assert isinstance(await scheduled.store.adjust(late), Adjusted)
    await scheduled.advance(59_000)
    assert isinstance(await scheduled.store.redispatch(redispatch(1, name=0)), Gone)
    await scheduled.advance(1_000)
    assert isinstance(await scheduled.store.redispatch(redispatch(1, name=0)), Redispatched)
