"""JSON that every reader reads alike, for bodies that strangers wrote.

JSON's grammar leaves open what two equal keys mean, and parsers differ on numbers beyond a double,
on halves of surrogate pairs and on NaN. What one part of the system accepted and another could not
read would fail far from its sender, so such a body is refused where it enters.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import NoReturn

from orchestrator.limits import JSON_DEPTH_MAX, JSON_INTEGER_DIGITS_MAX

_TEXT_SHOWN_MAX = 40
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string, or the rest of a document whose last string has no end: so every quote is looked at
once, whatever is sent."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = tuple((byte in b"[{") - (byte in b"]}") for byte in range(256))
"""How many levels deeper each byte leads."""


def parse(body: bytes) -> object:
    """The value of the JSON document `body`.

    Raises:
        ValueError: it is not UTF-8, not JSON, nests deeper than 64, or holds a repeated key, NaN or
            Infinity, a number that no double holds or of too many digits, or half a surrogate pair.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    check_depth(body)
    try:
        value: object = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(value)
    return value


def check_depth(body: bytes | memoryview, *, depth_max: int = JSON_DEPTH_MAX) -> None:
    """Refuse JSON that nests deeper than `depth_max`.

    Raises:
        ValueError: it does. Brackets inside of strings are not counted.
    """
    content = bytes(body)
    if content.count(b"[") + content.count(b"{") <= depth_max:
        return
    brackets = _STRING.sub(b"", content).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > depth_max:
        raise ValueError(f"nested deeper than {depth_max}")


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a surrogate pair") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {_shown(repeated)} stands twice in one object")
    return found


def _integer(text: str) -> int:
    if len(text) > JSON_INTEGER_DIGITS_MAX:
        raise ValueError(
            f"an integer of {len(text)} digits, at most {JSON_INTEGER_DIGITS_MAX} can be read"
        )
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {_shown(text)} is beyond a double")
    return value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _TEXT_SHOWN_MAX else f"{text[:_TEXT_SHOWN_MAX]}…")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_real,
    parse_constant=_constant,
)
