"""JSON that every reader reads alike, for bodies that strangers wrote.

JSON's grammar leaves open what two equal keys mean, and parsers differ on numbers beyond a double,
on halves of surrogate pairs and on NaN. What one part of the system accepted and another could not
read would fail far from its sender, so such a body is refused where it enters.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

from orchestrator.limits import JSON_DEPTH_MAX, JSON_INTEGER_DIGITS_MAX

_TEXT_SHOWN_MAX = 40


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


def check_depth(body: bytes | memoryview) -> None:
    """Refuse JSON that nests deeper than `JSON_DEPTH_MAX`.

    Raises:
        ValueError: it does. Brackets inside of strings are not counted.
    """
    content = bytes(body)
    if content.count(b"[") + content.count(b"{") <= JSON_DEPTH_MAX:
        return
    depth = 0
    in_string = False
    position = 0
    length = len(content)
    while position < length:
        byte = content[position]
        if in_string:
            if byte == 0x5C:
                position += 1
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                raise ValueError(f"nested deeper than {JSON_DEPTH_MAX}")
        elif byte in b"]}":
            depth -= 1
        position += 1


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
