"""Replies as redis-cli prints them."""

from __future__ import annotations

from orchestrator.adapters.redis.plain_view import history_key, quote, render
from orchestrator.ids import Namespace


def test_a_stream_is_numbered_and_indented() -> None:
    entries = [[f"{n}-0".encode(), [b"type", b"TimerFired"]] for n in range(1, 11)]

    lines = render(entries)

    assert lines[:3] == [' 1) 1) "1-0"', '    2) 1) "type"', '       2) "TimerFired"']
    assert lines[-3] == '10) 1) "10-0"'


def test_what_is_not_printable_is_escaped() -> None:
    assert quote(b'say "hi"\\\n\t\x00') == r'"say \"hi\"\\\n\t\x00"'
    assert quote("für".encode()) == r'"f\xc3\xbcr"'


def test_nothing_is_an_empty_array() -> None:
    assert render([]) == ["(empty array)"]


def test_the_key_of_a_history_names_workflow_and_run() -> None:
    key = history_key(Namespace("demo"), 128, "order-1", "start-order-1")

    assert key.startswith("orc:{demo:")
    assert key.endswith(":history:order-1:start-order-1")
