"""Values come back from payloads as they went, and misfits say what was expected and found."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest

from orchestrator.common import RawValue
from orchestrator.converter import (
    CompositePayloadConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    value_to_type,
)
from orchestrator.exceptions import ConversionError, PayloadTooLargeError
from orchestrator.limits import JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX
from orchestrator.wire.payload import BINARY_NULL, BINARY_PLAIN, JSON_PLAIN, Payload

CONVERTER = DefaultPayloadConverter()
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 2


class Name(str):
    """A subclass of str, as users make them."""

    __slots__ = ()


@dataclass
class Item:
    sku: str
    count: int = 1


@dataclass
class Refund:
    refund_id: str


@dataclass
class Order:
    items: list[Item]
    placed: datetime
    notes: dict[str, Item] = field(default_factory=dict)


@dataclass
class Box(Generic[T]):
    content: T


class Point(msgspec.Struct):
    x: int
    y: float | None = None


class Pair(NamedTuple):
    left: int
    right: str


class Settings(TypedDict):
    depth: int


@dataclass
class Holder:
    content: object


@dataclass
class Fussy:
    count: int

    def __post_init__(self) -> None:
        raise KeyError("no such thing")


def _there_and_back(value: object, hint: Any) -> object:
    return CONVERTER.from_payload(CONVERTER.to_payload(value), hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (None, type(None)),
        (None, int | None),
        (True, bool),
        (2**70, int),
        ("größe", str),
        (1.5, float),
        (b"\x00\xff", bytes),
        (b"", bytes),
        (Colour.RED, Colour),
        (Level.HIGH, Level),
        (datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), datetime),
        (datetime(2026, 1, 2), datetime),
        (date(2026, 1, 2), date),
        (timedelta(days=-3, milliseconds=7), timedelta),
        (UUID(int=7), UUID),
        (Decimal("1.10"), Decimal),
        ([1, 2], list[int]),
        ([1, 2], Sequence[int]),
        ((1, "a"), tuple[int, str]),
        ({1, 2}, set[int]),
        (frozenset({1}), frozenset[int]),
        (deque([Item("a")]), deque[Item]),
        ({1: "a"}, dict[int, str]),
        ({UUID(int=7): [Item("a")]}, Mapping[UUID, list[Item]]),
        (Order([Item("a", 2)], datetime(2026, 1, 2, tzinfo=UTC), {"n": Item("b")}), Order),
        (Box(Item("a")), Box[Item]),
        (Point(1, 2.5), Point),
        (Pair(1, "a"), Pair),
        ({"depth": 3}, Settings),
        (Name("a"), Name),
        (Refund("7"), Item | Refund),
        ([b"in JSON"], list[bytes]),
    ],
    ids=str,
)
def test_a_value_comes_back_as_it_went(value: object, hint: Any) -> None:
    back = _there_and_back(value, hint)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "encoding"), [(None, BINARY_NULL), (b"a", BINARY_PLAIN), ("a", JSON_PLAIN)]
)
def test_the_encoding_follows_the_value(value: object, encoding: str) -> None:
    assert CONVERTER.to_payload(value).encoding == encoding


def test_a_raw_value_is_passed_on_as_it_is() -> None:
    payload = Payload.of_bytes(b"a", encoding="binary/strange")
    assert CONVERTER.to_payload(RawValue(payload)) is payload
    assert CONVERTER.from_payload(payload, RawValue).payload is payload


def test_a_raw_value_of_something_else_is_refused() -> None:
    with pytest.raises(ConversionError, match="holds a Payload, found 7"):
        CONVERTER.to_payload(RawValue(7))


def test_without_a_hint_json_gives_plain_data() -> None:
    assert _there_and_back([Item("a")], None) == [{"sku": "a", "count": 1}]


@pytest.mark.parametrize("hint", [Any, object])
def test_a_hint_of_anything_gives_plain_data(hint: Any) -> None:
    assert _there_and_back(Item("a"), hint) == {"sku": "a", "count": 1}


def test_json_is_compact_and_keeps_the_order_of_keys() -> None:
    assert CONVERTER.to_payload({"b": 1, "a": [2, None]}).content() == b'{"b":1,"a":[2,null]}'


def test_payloads_beyond_the_hints_give_plain_data() -> None:
    payloads = CONVERTER.to_payloads([Item("a"), Item("b")])
    assert CONVERTER.from_payloads(payloads, [Item]) == [Item("a"), {"sku": "b", "count": 1}]


def test_unknown_fields_of_a_newer_sender_are_ignored() -> None:
    assert CONVERTER.from_payload(Payload.of_json(b'{"sku":"a","new":1}'), Item) == Item("a")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_is_refused_with_its_place(number: float) -> None:
    with pytest.raises(ConversionError, match=r"finite number at \$\['a'\]\[1\]"):
        CONVERTER.to_payload({"a": [None, number]})


def test_a_value_without_json_form_is_refused_with_type_and_place() -> None:
    value = {"orders": [Holder(1), Holder([object()])]}
    with pytest.raises(ConversionError) as caught:
        CONVERTER.to_payloads(["fine", value])
    assert "value 2" in str(caught.value)
    assert "type object at $['orders'][1].content[0]" in str(caught.value)


@pytest.mark.parametrize("value", [{(1, 2): 3}, "\ud800", print, ValueError("x")], ids=repr)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ConversionError, match="has no JSON form"):
        CONVERTER.to_payload(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ConversionError, match="contains itself"):
        CONVERTER.to_payload(value)


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        ("a", int, "got `str`"),
        (None, int, "got `null`"),
        (b"a", str, "found raw bytes"),
        ({"sku": 1}, Item, r"got `int` - at `\$\.sku`"),
        ({}, Item, "missing required field `sku`"),
        ("blue", Colour, "Invalid enum value 'blue'"),
        ({"x": 1}, Item | Refund, "no member of the union fits"),
        ({"count": 1}, Fussy, "KeyError"),
        (1, "not a type", "no value of that type"),
    ],
    ids=str,
)
def test_a_misfit_says_what_was_expected_and_found(value: object, hint: Any, found: str) -> None:
    with pytest.raises(ConversionError, match=found) as caught:
        _there_and_back(value, hint)
    assert "payload 1: expected" in str(caught.value)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(ConversionError, match="expected JSON"):
        CONVERTER.from_payload(Payload.of_json(b'{"a":'))


def test_json_nested_without_end_is_refused() -> None:
    with pytest.raises(ConversionError, match="nested too deeply"):
        CONVERTER.from_payload(Payload.of_json(b"[" * 100_000))


def test_an_unknown_encoding_is_refused_by_name() -> None:
    payload = Payload.of_bytes(b"a", encoding="binary/strange")
    with pytest.raises(ConversionError, match="found 'binary/strange'"):
        CONVERTER.from_payload(payload)


def test_a_null_payload_with_content_is_refused() -> None:
    with pytest.raises(ConversionError, match="no content"):
        CONVERTER.from_payload(Payload.of_bytes(b"a", encoding=BINARY_NULL))


@pytest.mark.parametrize("value", ["a" * (PAYLOAD_BYTES_MAX - 2), b"a" * PAYLOAD_BYTES_MAX])
def test_a_value_at_the_limit_is_taken(value: object) -> None:
    assert _there_and_back(value, None) == value


@pytest.mark.parametrize("value", ["a" * (PAYLOAD_BYTES_MAX - 1), b"a" * (PAYLOAD_BYTES_MAX + 1)])
def test_a_value_over_the_limit_is_refused(value: object) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        CONVERTER.to_payload(value)
    assert caught.value.size_bytes == PAYLOAD_BYTES_MAX + 1


def test_values_that_fit_alone_are_refused_when_no_message_can_carry_them_together() -> None:
    value = "a" * (PAYLOAD_BYTES_MAX - 2)
    assert len(CONVERTER.to_payloads([value, value])) == 2
    with pytest.raises(PayloadTooLargeError, match=r"in 3 values has 6,\d+,\d+ bytes"):
        CONVERTER.to_payloads([value, value, value])


def test_a_value_is_taken_to_the_depth_that_every_reader_allows() -> None:
    def nested(levels: int) -> list[Any]:
        return [nested(levels - 1)] if levels > 1 else []

    assert _there_and_back(nested(JSON_DEPTH_MAX), None) == nested(JSON_DEPTH_MAX)
    with pytest.raises(ConversionError, match="value 1: a value of type list is nested deeper"):
        CONVERTER.to_payload(nested(JSON_DEPTH_MAX + 1))


def test_a_value_that_no_part_takes_is_refused() -> None:
    with pytest.raises(ConversionError, match="no converter takes a value of type int"):
        CompositePayloadConverter().to_payload(1)


def test_the_first_of_two_parts_of_one_encoding_reads() -> None:
    class Loud(JSONPlainPayloadConverter):
        def from_payload(self, payload: Payload, type_hint: Any | None = None) -> Any:
            return "loud"

    converter = CompositePayloadConverter(Loud(), JSONPlainPayloadConverter())
    assert converter.from_payload(Payload.of_json(b"1")) == "loud"


def test_plain_data_becomes_its_type() -> None:
    data = {"items": [{"sku": "a"}], "placed": "2026-01-02T00:00:00Z"}
    assert value_to_type(Order, data) == Order([Item("a")], datetime(2026, 1, 2, tzinfo=UTC))


def test_plain_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"expected list\[int\].*got `str`"):
        value_to_type(list[int], ["a"])
