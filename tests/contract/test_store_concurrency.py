"""Places under concurrency limits: what every store does with them."""

from __future__ import annotations

import pytest

from orchestrator.core.concurrency import ConcurrencyLimit, Urgency
from orchestrator.core.transition import BeginAttempt
from orchestrator.ids import AttemptToken, EventId, ProcessName, RunId, TaskQueue, WorkflowId
from orchestrator.ports.concurrency import (
    ActivityRef,
    Entered,
    EnterLimits,
    LeaveLimits,
    MustWait,
)
from orchestrator.ports.store import Begun
from orchestrator.wire.options import Priority
from tests.contract.store_carriers import Carrier, W, attempt
from tests.contract.test_store_activities import scheduled

__all__ = ["scheduled"]
QUEUE = TaskQueue("orders")
ACME, OTHER, ALL = (
    ConcurrencyLimit("key acme", 1),
    ConcurrencyLimit("key other", 1),
    ConcurrencyLimit("queue", 2),
)


def ref(number: int) -> ActivityRef:
    """Activity `number` of a run whose names hold what separates names in keys."""
    return ActivityRef(WorkflowId("order:%3A:1"), RunId("run:1"), EventId(number))


def enter(
    number: int,
    *limits: ConcurrencyLimit,
    attempt: int = 1,
    priority: Priority = Priority(),
    doubt_in_ms: int = 60_000,
    as_is: bool = False,
) -> EnterLimits:
    return EnterLimits(
        task_queue=QUEUE,
        limits=limits,
        activity=ref(number),
        attempt=attempt,
        urgency=Urgency.of(priority),
        doubt_in_ms=doubt_in_ms,
        lasts_ms=3_600_000,
        as_is=as_is,
    )


async def waits(carrier: Carrier, asked: EnterLimits) -> MustWait:
    answer = await carrier.store.enter_limits(asked)
    assert isinstance(answer, MustWait), answer
    return answer


async def enters(carrier: Carrier, asked: EnterLimits) -> Entered:
    answer = await carrier.store.enter_limits(asked)
    assert isinstance(answer, Entered), answer
    return answer


async def leave(
    carrier: Carrier,
    number: int,
    *limits: ConcurrencyLimit,
    attempt: int | None = 1,
    until_ms: int | None = None,
) -> list[int]:
    """An activity leaves; the numbers of those that may follow."""
    following = await carrier.store.leave_limits(
        LeaveLimits(
            task_queue=QUEUE,
            names=tuple(limit.name for limit in limits),
            activity=ref(number),
            attempt=attempt,
            until_ms=until_ms,
        )
    )
    assert all(one == ref(one.event_id) for one in following)
    return [one.event_id for one in following]


async def order(
    carrier: Carrier,
    limit: ConcurrencyLimit,
    priorities: dict[int, Priority],
    *,
    holder: int = 1,
) -> list[int]:
    """In which order waiters enter; `priorities` are those of the numbers from theirs on."""
    entered: list[int] = []
    following = await leave(carrier, holder, limit)
    while following:
        (one,) = following
        entered.append(one)
        priority = next(found for first, found in priorities.items() if one >= first)
        await enters(carrier, enter(one, limit, priority=priority))
        following = await leave(carrier, one, limit)
    return entered


async def test_no_more_than_the_limit_hold_a_place_and_the_others_follow_in_order(
    carrier: Carrier,
) -> None:
    assert (await enters(carrier, enter(1, ALL))).fresh
    await enters(carrier, enter(2, ALL))
    waiting = [await waits(carrier, enter(number, ALL)) for number in (5, 4, 3)]
    assert [one.ahead for one in waiting] == [0, 1, 2]
    assert all(one.limit == ALL and not one.following for one in waiting)
    assert await leave(carrier, 2, ALL) == [5]
    assert (await waits(carrier, enter(3, ALL))).following == (ref(5),)
    await enters(carrier, enter(5, ALL))
    assert await leave(carrier, 1, ALL) == [4]


async def test_the_same_again_gives_the_same_answer(carrier: Carrier) -> None:
    first = await enters(carrier, enter(1, ACME))
    again = await enters(carrier, enter(1, ACME))
    assert (first.fresh, again.fresh) == (True, False)
    assert await waits(carrier, enter(2, ACME)) == await waits(carrier, enter(2, ACME))
    assert await leave(carrier, 1, ACME) == [2]
    assert await leave(carrier, 1, ACME) == [2]
    await enters(carrier, enter(2, ACME))
    assert await leave(carrier, 1, ACME) == []


async def test_other_names_and_other_queues_have_places_of_their_own(carrier: Carrier) -> None:
    await enters(carrier, enter(1, ACME))
    await waits(carrier, enter(2, ACME))
    await enters(carrier, enter(3, OTHER))
    elsewhere = EnterLimits(
        task_queue=TaskQueue("others"),
        limits=(ACME,),
        activity=ref(4),
        attempt=1,
        urgency=Urgency.of(Priority()),
        doubt_in_ms=60_000,
        lasts_ms=3_600_000,
    )
    await enters(carrier, elsewhere)


async def test_who_waits_under_one_limit_holds_no_place_under_another(carrier: Carrier) -> None:
    await enters(carrier, enter(1, ACME, ALL))
    assert (await waits(carrier, enter(2, ACME, ALL))).limit == ACME
    await enters(carrier, enter(3, OTHER, ALL))
    assert (await waits(carrier, enter(4, ConcurrencyLimit("key new", 1), ALL))).limit == ALL
    await leave(carrier, 3, OTHER, ALL)
    assert (await enters(carrier, enter(4, ConcurrencyLimit("key new", 1), ALL))).fresh
    # Its turn under the one comes, and now the other has no room: it waits there alone.
    assert await leave(carrier, 1, ACME) == [2]
    await enters(carrier, enter(5, ALL, as_is=True))
    moved = await waits(carrier, enter(2, ACME, ALL))
    assert moved.limit == ALL
    await enters(carrier, enter(6, ACME))


async def test_who_is_called_and_must_wait_elsewhere_leaves_its_turn_to_the_next(
    carrier: Carrier,
) -> None:
    await enters(carrier, enter(1, ACME))
    for number in (2, 3):
        await waits(carrier, enter(number, ACME, ALL))
    await enters(carrier, enter(8, ALL))
    await enters(carrier, enter(9, ALL))
    assert await leave(carrier, 1, ACME) == [2]
    assert (await waits(carrier, enter(2, ACME, ALL))).following == (ref(3),)


async def test_the_next_attempt_and_the_one_that_takes_over_go_on_in_the_place(
    carrier: Carrier,
) -> None:
    await enters(carrier, enter(1, ACME))
    await waits(carrier, enter(2, ACME))
    next_one = await enters(carrier, enter(1, ACME, attempt=2))
    assert (next_one.attempt, next_one.fresh) == (2, False)
    assert await leave(carrier, 1, ACME, attempt=1) == []
    late = await enters(carrier, enter(1, ACME, attempt=1))
    assert late.attempt == 2
    assert (await enters(carrier, enter(1, ACME, attempt=3, as_is=True))).attempt == 3
    assert await leave(carrier, 1, ACME, attempt=2) == []
    assert await leave(carrier, 1, ACME, attempt=3) == [2]


async def test_what_runs_is_counted_in_without_asking(carrier: Carrier) -> None:
    await enters(carrier, enter(1, ACME))
    await enters(carrier, enter(2, ACME, as_is=True))
    await waits(carrier, enter(3, ACME))
    assert await leave(carrier, 1, ACME) == []
    assert await leave(carrier, 2, ACME) == [3]


async def test_a_waiter_that_waits_no_more_is_in_nobodys_way(carrier: Carrier) -> None:
    await enters(carrier, enter(1, ACME))
    await waits(carrier, enter(2, ACME))
    await waits(carrier, enter(3, ACME))
    assert await leave(carrier, 2, ACME, attempt=None) == []
    assert await leave(carrier, 1, ACME) == [3]


async def test_a_holder_whose_time_is_over_is_looked_at_by_one_asker_and_leaves_in_that_doubt_only(
    carrier: Carrier,
) -> None:
    await enters(carrier, enter(1, ACME, attempt=4, doubt_in_ms=0))
    (doubted,) = (await waits(carrier, enter(2, ACME))).doubtful
    assert (doubted.activity, doubted.attempt) == (ref(1), 4)
    assert (await waits(carrier, enter(3, ACME))).doubtful == ()
    # It has come again meanwhile: what was found out about it before is of no use.
    await enters(carrier, enter(1, ACME, attempt=4))
    assert await leave(carrier, 1, ACME, attempt=4, until_ms=doubted.until_ms) == []
    await enters(carrier, enter(4, OTHER, doubt_in_ms=0))
    (doubted,) = (await waits(carrier, enter(5, OTHER))).doubtful
    assert await leave(carrier, 4, OTHER, until_ms=doubted.until_ms) == [5]


async def test_the_more_urgent_enter_first_and_the_equally_urgent_in_order(
    carrier: Carrier,
) -> None:
    await enters(carrier, enter(1, ACME))
    for number, key in ((2, 5), (3, 0), (4, 1), (5, 3), (6, 1), (7, 4)):
        await waits(carrier, enter(number, ACME, priority=Priority(priority_key=key)))
    assert await order(carrier, ACME, {0: Priority()}) == [4, 6, 3, 5, 7, 2]


async def test_a_newcomer_who_is_more_urgent_passes_who_has_not_come_yet(carrier: Carrier) -> None:
    await enters(carrier, enter(1, ACME))
    await waits(carrier, enter(2, ACME))
    await leave(carrier, 1, ACME)
    await waits(carrier, enter(3, ACME))
    await enters(carrier, enter(4, ACME, priority=Priority(priority_key=2)))


async def test_keys_share_the_places_of_their_queue_by_weight(carrier: Carrier) -> None:
    one = ConcurrencyLimit("queue", 1)
    await enters(carrier, enter(1, one))
    heavy = Priority(fairness_key="heavy", fairness_weight=3.0)
    light = Priority(fairness_key="light")
    for number in range(10, 22):
        await waits(carrier, enter(number, one, priority=heavy))
    for number in range(30, 34):
        await waits(carrier, enter(number, one, priority=light))
    found = await order(carrier, one, {30: light, 10: heavy})
    assert [sum(number < 30 for number in found[at : at + 4]) for at in (0, 4, 8)] == [3, 3, 3]
    assert [number for number in found if number < 30] == [*range(10, 22)]
    assert [number for number in found if number >= 30] == [*range(30, 34)]


async def test_a_key_that_comes_late_does_not_make_up_for_what_it_has_missed(
    carrier: Carrier,
) -> None:
    one = ConcurrencyLimit("queue", 1)
    old, new = Priority(fairness_key="old"), Priority(fairness_key="new")
    await enters(carrier, enter(1, one))
    for number in range(10, 16):
        await waits(carrier, enter(number, one, priority=old))
    for holder, number in ((1, 10), (10, 11), (11, 12)):
        assert await leave(carrier, holder, one) == [number]
        await enters(carrier, enter(number, one, priority=old))
    for number in (30, 31, 32):
        await waits(carrier, enter(number, one, priority=new))
    entered = await order(carrier, one, {30: new, 10: old}, holder=12)
    assert [number < 30 for number in entered] in (
        [True, False, True, False, True, False],
        [False, True, False, True, False, True],
    )


async def test_the_newest_word_says_how_many_there_may_be(carrier: Carrier) -> None:
    await enters(carrier, enter(1, ConcurrencyLimit("queue", 1)))
    await waits(carrier, enter(2, ConcurrencyLimit("queue", 1)))
    await enters(carrier, enter(2, ConcurrencyLimit("queue", 2)))
    await waits(carrier, enter(3, ConcurrencyLimit("queue", 1)))
    assert await leave(carrier, 1, ConcurrencyLimit("queue", 2)) == []


@pytest.mark.parametrize("names", [(), ("key acme", "queue")])
async def test_a_record_tells_under_which_limits_its_attempt_has_a_place(
    scheduled: Carrier, names: tuple[str, ...]
) -> None:
    begin = BeginAttempt(
        name=attempt(),
        token=AttemptToken("a"),
        holder=ProcessName("alice"),
        due_in_ms=5_000,
        limits=names,
    )
    assert isinstance(await scheduled.store.begin(begin), Begun)
    record = await scheduled.store.record(W, RunId("run-1"), EventId(2))
    assert record is not None
    assert record.limits == names
