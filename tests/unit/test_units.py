"""Durations and moments keep their value on the way to milliseconds and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import units

_epoch_ms = st.integers(min_value=0, max_value=253_402_300_799_999)  # to the end of the year 9999


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_milliseconds_survive_the_way_through_a_timedelta(duration_ms: int) -> None:
    assert units.to_ms(units.to_timedelta(duration_ms)) == duration_ms


@given(_epoch_ms)
def test_a_moment_survives_the_way_through_its_text(epoch_ms: int) -> None:
    assert units.parse_time(units.format_time(epoch_ms)) == epoch_ms
    assert units.to_epoch_ms(units.to_datetime(epoch_ms)) == epoch_ms


@given(_epoch_ms, _epoch_ms)
def test_texts_of_moments_sort_as_the_moments_do(first: int, second: int) -> None:
    texts = units.format_time(first), units.format_time(second)
    assert (first < second) == (texts[0] < texts[1])


def test_a_fraction_of_a_millisecond_is_rounded() -> None:
    assert units.to_ms(timedelta(microseconds=1_600)) == 2
    assert units.to_ms(timedelta(microseconds=1_400)) == 1


def test_a_number_without_a_unit_is_no_duration() -> None:
    with pytest.raises(TypeError, match=r"timedelta\(seconds=5\), found 5 \(int\)"):
        units.to_ms(5)  # type: ignore[arg-type]  # what this test is about


def test_none_stays_none() -> None:
    assert units.to_ms_or_none(None) is None
    assert units.to_timedelta_or_none(None) is None


def test_a_naive_time_counts_as_utc_and_an_aware_one_by_its_zone() -> None:
    naive = datetime(2026, 1, 1)
    there = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    expected = units.to_epoch_ms(datetime(2026, 1, 1, tzinfo=UTC))
    assert units.to_epoch_ms(naive) == units.to_epoch_ms(there) == expected


def test_a_text_that_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        units.parse_time("soon")
