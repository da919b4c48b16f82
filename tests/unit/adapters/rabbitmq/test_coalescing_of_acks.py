from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.rabbitmq.consumer import coalesce


def test_acks_below_the_lowest_unfinished_tag_become_one() -> None:
    assert coalesce([1, 2, 3], 4) == [(3, True)]


def test_a_single_ack_covers_itself_only() -> None:
    assert coalesce([3], None) == [(3, False)]


def test_an_ack_above_an_unfinished_tag_goes_alone() -> None:
    assert coalesce([1, 2, 4, 6], 3) == [(2, True), (4, False), (6, False)]


def test_no_acks_are_no_frames() -> None:
    assert coalesce([], 1) == []


@given(st.lists(st.lists(st.integers(1, 30), max_size=10), max_size=8))
def test_whatever_the_order_exactly_the_acked_tags_are_covered(turns: list[list[int]]) -> None:
    unfinished = dict.fromkeys(range(1, 31))
    covered: set[int] = set()
    for turn in turns:
        acked = sorted({tag for tag in turn if tag in unfinished})
        for tag in acked:
            del unfinished[tag]
        for tag, is_multiple in coalesce(acked, next(iter(unfinished), None)):
            assert tag not in covered  # RabbitMQ closes the channel over a tag that it forgot.
            covered.update(range(1, tag + 1) if is_multiple else (tag,))
        assert covered == set(range(1, 31)) - set(unfinished)
