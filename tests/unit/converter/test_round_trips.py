"""Values of any annotated type come back as they went: types and values are generated together."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.converter import DefaultPayloadConverter
from orchestrator.exceptions import ConversionError

CONVERTER = DefaultPayloadConverter()
T = TypeVar("T")
Typed = tuple[Any, Any]
"""An annotation and a value of it."""
Cents = NewType("Cents", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Card:
    number: str
    limit: Decimal | None = None


@dataclass(frozen=True)
class Cash:
    currency: str
    coins: int = 0


@dataclass
class Payment:
    by: Card | Cash
    also: list[Card | Cash | None] = field(default_factory=list)
    named: dict[str, Card | Cash] = field(default_factory=dict)


@dataclass
class Tree:
    value: int
    below: list[Tree] = field(default_factory=list)
    paid: Card | Cash | None = None


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list)


class Choice(NamedTuple):
    first: Card | Cash
    second: int = 0


class Notes(TypedDict, total=False):
    by: Card | Cash
    text: str


class Parcel(msgspec.Struct, rename="camel"):
    paid_by: Card | Cash
    weight_kg: float = 0.0


_text = st.text(st.characters(codec="utf-8"), max_size=8)
_leaves: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, _text),
    (type(None), st.none()),
    (bytes, st.binary(max_size=8)),
    (datetime, st.datetimes(timezones=st.sampled_from([None, UTC]))),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(-9999), timedelta(9999))),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Path, _text.map(lambda text: Path(text.replace("\0", "")))),
    (PurePosixPath, _text.map(PurePosixPath)),
    (Cents, st.integers()),
    (Annotated[str, "free"], _text),
    (Card, st.builds(Card, _text, st.none() | st.just(Decimal("1.50")))),
    (Cash, st.builds(Cash, _text, st.integers())),
    (Card | Cash, st.builds(Card, _text) | st.builds(Cash, _text, st.integers())),
    (Card | Cash | None, st.none() | st.builds(Cash, _text)),
    (str | int | None, st.none() | _text | st.integers()),
]


def _leaf(pair: tuple[Any, st.SearchStrategy[Any]]) -> st.SearchStrategy[Typed]:
    return pair[1].map(lambda value: (pair[0], value))


def _containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def sized(make: Any, annotate: Any) -> st.SearchStrategy[Typed]:
        return inner.map(lambda typed: (annotate(typed[0]), make(typed[1])))

    return st.one_of(
        sized(lambda value: [value, value], lambda hint: list[hint]),
        sized(lambda value: [value], lambda hint: Sequence[hint]),
        sized(lambda value: deque([value]), lambda hint: deque[hint]),
        sized(lambda value: (value, value), lambda hint: tuple[hint, ...]),
        sized(lambda value: {"k": value}, lambda hint: dict[str, hint]),
        sized(lambda value: {7: value}, lambda hint: Mapping[int, hint]),
        sized(lambda value: Box(value, [value]), lambda hint: Box[hint]),
        st.tuples(inner, inner).map(
            lambda both: (tuple[both[0][0], both[1][0]], (both[0][1], both[1][1]))
        ),
        st.tuples(inner, inner).map(_made_dataclass),
        st.tuples(inner, inner).map(_made_struct),
    )


def _made_dataclass(both: tuple[Typed, Typed]) -> Typed:
    (first, a), (second, b) = both
    made = dataclasses.make_dataclass("Made", [("a", first), ("b", second)])
    return made, made(a, b)


def _made_struct(both: tuple[Typed, Typed]) -> Typed:
    (first, a), (second, b) = both
    made = msgspec.defstruct("MadeStruct", [("a", first), ("b", second)])
    return made, made(a, b)


typed_values = st.recursive(st.one_of(list(map(_leaf, _leaves))), _containers, max_leaves=6)


@settings(max_examples=100, deadline=None)
@given(typed_values)
def test_any_value_comes_back_as_it_went(typed: Typed) -> None:
    hint, value = typed
    back = CONVERTER.from_payload(CONVERTER.to_payload(value), hint)
    assert back == value
    assert type(back) is type(value)


CARD, CASH = Card("7"), Cash("EUR", 5)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Payment(CARD, [CASH, None, CARD], {"a": CASH}), Payment),
        (Tree(1, [Tree(2, paid=CASH)], CARD), Tree),
        (Choice(CASH, 3), Choice),
        (Choice(CARD), Choice),
        ({"by": CASH}, Notes),
        (Parcel(paid_by=CASH, weight_kg=1.5), Parcel),
        ({UUID(int=1): [CASH]}, dict[UUID, list[Card | Cash]]),
        ({CASH}, set[Card | Cash]),
        ((CARD, 1), tuple[Card | Cash, int]),
        (Box(Box(CASH)), Box[Box[Card | Cash]]),
        (Cash(""), Card | Cash),
    ],
    ids=str,
)
def test_unions_of_classes_are_told_apart_at_any_depth(value: object, hint: Any) -> None:
    back = CONVERTER.from_payload(CONVERTER.to_payload(value), hint)
    assert back == value
    assert type(back) is type(value)


class Plain:
    """Without fields that anybody could know."""

    def __init__(self) -> None:
        self.x = 1


@dataclass
class Checked:
    by: Card | Cash
    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("below zero")


@pytest.mark.parametrize(
    ("text", "hint", "problem"),
    [
        ({"by": {"number": 7}}, Payment, r"no member of the union fits at \$\.by"),
        ({"by": {"number": 7}}, Payment, r"got `int` - at `\$\.number`"),
        ({}, Payment, r"missing required field `by` - at `\$`"),
        ([1], Payment, "Expected `object`, got `list`"),
        ({"by": {"number": "7"}, "also": 5}, Payment, r"got `int` - at `\$\.also`"),
        ([{}], list[Card | Cash], r"fits at \$\[0\]"),
        ([{"number": "7"}], tuple[Card | Cash, int], "expected an array of 2, found 1"),
        ([{"number": "7"}, 1, 2], Choice, "expected an array of at most 2, found 3"),
        ({"a": {"number": "7"}}, dict[int, Card | Cash], "Expected `int`"),
        (
            {"by": {"number": "7"}, "count": -1},
            Checked,
            r"no Checked can be made \(ValueError: below",
        ),
        ({"x": 1}, Plain, "nothing is known of the fields of `.*Plain`; make it a dataclass"),
        ([{"x": 1}], list[Plain], r"make it a dataclass or a msgspec Struct - at `\$\[0\]`"),
    ],
    ids=str,
)
def test_a_misfit_names_its_place(text: object, hint: Any, problem: str) -> None:
    with pytest.raises(ConversionError, match=problem):
        CONVERTER.from_payload(CONVERTER.to_payload(text), hint)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Plain(), "type .*Plain has no JSON form; pass a dataclass"),
        (Payment(CARD, [Plain()]), r"at \$\.also\[0\] has no JSON form"),  # type: ignore[list-item]  # the mistake
        ({(1, 2): 3}, "a key is a tuple"),
        ([{"a": {Plain(): 1}}], r"at \$\[0\]\['a'\] has no JSON form: a key is a .*Plain"),
        (1j, "type complex has no JSON form"),
    ],
    ids=str,
)
def test_what_has_no_form_is_refused_with_its_place(value: object, problem: str) -> None:
    with pytest.raises(ConversionError, match=problem):
        CONVERTER.to_payload(value)
