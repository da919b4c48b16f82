"""Counters count, and hand out copies."""

from __future__ import annotations

import pytest

from orchestrator.telemetry.metrics import Counters


def test_a_counter_begins_at_zero() -> None:
    assert Counters().value("calls") == 0


def test_counts_add_up_by_name() -> None:
    counters = Counters()
    counters.add("calls")
    counters.add("bytes", 7)
    counters.add("calls", 2)
    assert counters.snapshot() == {"bytes": 7, "calls": 3}


def test_a_snapshot_does_not_follow_the_counters() -> None:
    counters = Counters()
    before = counters.snapshot()
    counters.add("calls")
    assert before == {}


def test_a_counter_never_shrinks() -> None:
    with pytest.raises(ValueError, match="found -1"):
        Counters().add("calls", -1)
