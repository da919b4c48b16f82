"""Python values ↔ JSON text, led by types.

msgspec does the work: dataclasses, Structs, TypedDicts, NamedTuples, enums, datetimes, durations,
UUIDs, Decimals, sets and tuples. This file adds what it leaves open: subclasses of `str` and `int`,
deques, unions of dataclasses, a refusal of NaN (JSON has none, msgspec would write null), and texts
that say which value failed, and where. Nothing here knows payloads: see `payload_converter`.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, cast, get_args, get_origin

import msgspec

from orchestrator.converter.parts import convert_by_parts
from orchestrator.exceptions import ConversionError

_LOCATE_DEPTH_MAX = 32
"""How deep the search for the guilty part of a value goes; the error names the place so far."""
_READ_BY_MSGSPEC = (str, int, float, dict, list, set, frozenset, tuple, deque)
"""Whose subclasses it compares by itself, and says what it found."""
_TEXT_TYPES = (str, int, float, bytes, bytearray, memoryview)


def encode_json(value: object) -> bytes:
    """Compact JSON of `value`; dicts keep their order, sets have none.

    Raises:
        ConversionError: some part has a type without a JSON form, or is NaN or infinite; the text
            names the type and the place.
    """
    try:
        text = msgspec.json.encode(value, enc_hook=_encode_other)
        # NaN comes out as null, so a text without null has none and needs no search.
        if b"null" not in text:
            return text
        plain: object = msgspec.to_builtins(value, enc_hook=_encode_other, str_keys=True)
    except RecursionError as error:
        raise ConversionError(
            f"a value of type {name_of_type(type(value))} is nested too deeply or contains itself"
        ) from error
    except Exception as error:  # boundary: properties and enums of the user run inside msgspec
        raise _refusal(value, error) from error
    place = _find_non_finite(plain)
    if place is not None:
        raise ConversionError(
            f"expected a finite number at {place}, found NaN or infinity, which JSON does not "
            "have; pass None or text instead"
        )
    return text


def decode_json(text: bytes, type_hint: Any | None = None) -> Any:  # Any: hint decides the type
    """The value of the JSON document `text` as `type_hint`; without a hint, plain JSON data.

    Raises:
        ConversionError: `text` is not JSON, does not fit the hint, or nothing can be made of the
            hint; the text says what was expected and what was found, and where.
    """
    if type_hint is None or type_hint is Any or type_hint is object:
        return _read(text, object)
    try:
        return _read(text, type_hint)
    except ConversionError as whole:
        if isinstance(whole.__cause__, msgspec.MsgspecError):
            raise
        return _by_parts(type_hint, _read(text, object), whole)


def value_to_type(hint: Any, value: Any) -> Any:  # Any: hint decides the type, value is JSON data
    """Plain JSON data (dicts, lists, text, numbers) as `hint`.

    Raises:
        ConversionError: as `decode_json`.
    """
    if hint is Any or hint is object:
        return value
    try:
        return _convert(value, hint)
    except ConversionError as whole:
        if isinstance(whole.__cause__, msgspec.MsgspecError):
            raise
        return _by_parts(hint, value, whole)


def name_of_type(hint: Any) -> str:  # Any: annotations are of no common type
    """How errors spell a type: `list[int]`, `app.Order`, `int | None`."""
    if isinstance(hint, type) and not get_args(hint):
        name = hint.__qualname__
        return name if hint.__module__ == "builtins" else f"{hint.__module__}.{name}"
    return str(hint)


def _by_parts(
    hint: Any,  # Any: annotations are of no common type
    value: Any,  # Any: JSON data
    whole: ConversionError,
) -> Any:  # Any: hint decides the type
    try:
        return convert_by_parts(_convert, hint, value)
    except ConversionError as error:
        if str(error) == str(whole):
            raise whole from whole.__cause__
        raise ConversionError(f"expected {name_of_type(hint)}: {error}") from error


def _read(text: bytes, hint: Any) -> Any:  # Any: hint decides the type
    try:
        return msgspec.json.decode(text, type=hint, dec_hook=_decode_other)
    except Exception as error:  # boundary: __post_init__ and hooks of the user run inside msgspec
        raise _misfit(hint, error) from error


def _convert(value: Any, hint: Any) -> Any:  # Any: as value_to_type
    try:
        return msgspec.convert(value, type=hint, dec_hook=_decode_other, str_keys=True)
    except Exception as error:  # boundary: as in _read
        raise _misfit(hint, error) from error


def _misfit(hint: Any, error: Exception) -> ConversionError:  # Any: annotations have no common type
    expected = "JSON" if hint is object else name_of_type(hint)
    if isinstance(error, msgspec.MsgspecError):
        problem = str(error)
    elif isinstance(error, RecursionError):
        problem = "found JSON that is nested too deeply"
    else:
        problem = f"no value of that type can be made from JSON ({type(error).__name__}: {error})"
    return ConversionError(f"expected {expected}: {problem}")


def _encode_other(value: Any) -> Any:  # Any: the hook's own types
    """What msgspec has no rule for; called for each such part of a value."""
    if isinstance(value, deque):
        return list(cast("deque[object]", value))
    if isinstance(value, PurePath):
        return str(value)
    # A subclass may override __str__ and its kind; the base's own conversion is meant.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError


def _decode_other(hint: Any, value: Any) -> Any:  # Any: the hook's own types
    origin = get_origin(hint) or hint
    if origin is deque and isinstance(value, list):
        members = (get_args(hint) or (Any,))[0]
        return deque(value_to_type(types.GenericAlias(list, (members,)), value))
    if isinstance(origin, type):
        if issubclass(origin, PurePath) and isinstance(value, str):
            return origin(value)
        for plain in (str, int, float):
            if issubclass(origin, plain) and type(value) is plain:
                return origin(value)
        if not issubclass(origin, _READ_BY_MSGSPEC) and not isinstance(value, origin):
            raise TypeError(
                f"nothing is known of the fields of `{name_of_type(origin)}`; make it a dataclass "
                "or a msgspec Struct"
            )
    return value


def _refusal(value: object, error: Exception) -> ConversionError:
    place, part = _locate(value)
    where = f" at {place}" if place != "$" else ""
    reason = _wrong_key(part) or (f": {error}" if str(error) else "")
    return ConversionError(
        f"a value of type {name_of_type(type(part))}{where} has no JSON form{reason}; pass a "
        "dataclass, a msgspec Struct or plain data instead"
    )


def _wrong_key(part: object) -> str:
    if isinstance(part, Mapping):
        for key in cast("Mapping[object, object]", part):
            if not _encodes({key: 0}):
                return f": a key is a {name_of_type(type(key))}"
    return ""


def _locate(value: object) -> tuple[str, object]:
    """The place and the part of `value` that does not encode; the deepest one that is found."""
    place, part = "$", value
    for _ in range(_LOCATE_DEPTH_MAX):
        for step, child in _children(part):
            if not _encodes(child):
                place, part = place + step, child
                break
        else:
            break
    return place, part


def _encodes(value: object) -> bool:
    try:
        msgspec.json.encode(value, enc_hook=_encode_other)
    except Exception:  # boundary: any failure at all means that this part is guilty
        return False
    return True


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, child in cast("Mapping[object, object]", value).items():
            yield f"[{key!r:.80}]", child
    elif isinstance(value, list | tuple | set | frozenset | deque):
        for index, child in enumerate(cast("list[object]", value)):
            yield f"[{index}]", child
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield f".{name}", getattr(value, name, None)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield f".{field.name}", getattr(value, field.name, None)


def _find_non_finite(plain: object) -> str | None:
    """The place of the first NaN or infinity in builtin data, if any. Iterative: any depth."""
    waiting: list[tuple[str, object]] = [("$", plain)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                return place
        elif not isinstance(value, _TEXT_TYPES):
            waiting.extend((place + step, child) for step, child in _children(value))
    return None
