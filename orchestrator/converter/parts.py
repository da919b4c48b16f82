"""JSON data → a type that msgspec cannot read whole: taken apart until it can.

Such types hold a union that JSON alone does not decide, like one of two dataclasses. Its members
are tried; the one that knows most of the keys goes first, then the order of the annotation counts.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    NamedTuple,
    NewType,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from orchestrator.exceptions import ConversionError

Convert = Callable[[Any, Any], Any]
"""`convert(value, hint)` of a type that is read whole. Raises ConversionError, whose cause is a
`msgspec.MsgspecError` when the value does not fit, and another error when the type is not known."""

_LISTS: Mapping[Any, Callable[[list[Any]], Any]] = {  # Any: annotations and members of any type
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    deque: deque,
    collections.abc.Sequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.MutableSequence: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class _Field(NamedTuple):
    """A member of a class: how it is called in Python and in JSON, and of what type."""

    name: str
    key: str
    hint: Any  # Any: annotations are of no common type
    required: bool


def convert_by_parts(
    convert: Convert,
    hint: Any,  # Any: annotations are of no common type
    value: Any,  # Any: JSON data
    place: str = "$",
) -> Any:  # Any: hint decides the type
    """`value` as `hint`, by `convert` for the parts that it can do.

    Raises:
        ConversionError: the value does not fit, or nothing can be made of some part of the type;
            the text names the place.
    """
    try:
        return convert(value, hint)
    except ConversionError as error:
        if isinstance(error.__cause__, msgspec.MsgspecError):
            raise _at(place, error) from error
        whole = error
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin is Annotated:
        return convert_by_parts(convert, args[0], value, place)
    if isinstance(hint, NewType):
        return convert_by_parts(convert, hint.__supertype__, value, place)
    if origin in (Union, types.UnionType):
        return _one_of(convert, args, value, place)
    if origin in _LISTS:
        return _members(convert, origin, args, value, place)
    if origin in _DICTS and len(args) == 2:
        return _entries(convert, args, value, place)
    fields = list(_fields(origin, args))
    if fields:
        return _object(convert, origin, fields, value, place)
    raise _at(place, whole) from whole


def _one_of(
    convert: Convert, arms: tuple[Any, ...], value: Any, place: str
) -> Any:  # Any: as above
    problems: list[str] = []
    for arm in sorted(arms, key=lambda arm: _unknown_keys(arm, value)):
        try:
            return convert_by_parts(convert, arm, value, place)
        except ConversionError as error:
            problems.append(str(error))
    raise ConversionError(f"no member of the union fits at {place}: " + "; ".join(problems))


def _unknown_keys(arm: Any, value: Any) -> int:  # Any: as above
    try:
        given = _object_of(value, "$")
    except ConversionError:
        return 0
    return len(given.keys() - {one.key for one in _fields(get_origin(arm) or arm, get_args(arm))})


def _members(
    convert: Convert, origin: Any, args: tuple[Any, ...], value: Any, place: str
) -> Any:  # Any: as above
    items = _array_of(value, place)
    hints = [args[0] if args else Any] * len(items)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(items) != len(args):
            raise ConversionError(
                f"expected an array of {len(args)}, found {len(items)} members - at `{place}`"
            )
        hints = list(args)
    found = [
        convert_by_parts(convert, hint, item, f"{place}[{index}]")
        for index, (hint, item) in enumerate(zip(hints, items, strict=True))
    ]
    return _LISTS[origin](found)


def _entries(
    convert: Convert, args: tuple[Any, ...], value: Any, place: str
) -> Any:  # Any: as above
    given = _object_of(value, place)
    key_hint, member_hint = args
    # The keys alone are read whole, as msgspec reads keys: from text.
    keys = list(convert(dict.fromkeys(given), types.GenericAlias(dict, (key_hint, Any))))
    return {
        key: convert_by_parts(convert, member_hint, member, f"{place}[{name!r:.80}]")
        for key, (name, member) in zip(keys, given.items(), strict=True)
    }


def _object(
    convert: Convert, cls: Any, fields: list[_Field], value: Any, place: str
) -> Any:  # Any: as above
    if _is_named_tuple(cls):
        value = _named(fields, value, place)
    given = _object_of(value, place)
    found: dict[str, Any] = {}  # Any: as above
    for field in fields:
        if field.key in given:
            where = f"{place}.{field.key}"
            found[field.name] = convert_by_parts(convert, field.hint, given[field.key], where)
        elif field.required:
            raise ConversionError(f"missing required field `{field.key}` - at `{place}`")
    try:
        return cls(**found)
    except Exception as error:  # boundary: __init__ and __post_init__ are the user's
        raise ConversionError(
            f"no {cls.__qualname__} can be made ({type(error).__name__}: {error}) - at `{place}`"
        ) from error


def _named(fields: list[_Field], value: Any, place: str) -> dict[str, Any]:  # Any: as above
    items = _array_of(value, place)
    if len(items) > len(fields):
        raise ConversionError(
            f"expected an array of at most {len(fields)}, found {len(items)} - at `{place}`"
        )
    return {field.key: item for field, item in zip(fields, items, strict=False)}


def _fields(cls: Any, args: tuple[Any, ...]) -> Iterator[_Field]:  # Any: as above
    """The fields of a dataclass, Struct, TypedDict or NamedTuple; of anything else, none."""
    if not inspect.isclass(cls):
        return
    if issubclass(cls, msgspec.Struct):
        for one in msgspec.structs.fields(cls):
            yield _Field(one.name, one.encode_name, one.type, one.required)
        return
    if not (_is_named_tuple(cls) or is_typeddict(cls) or dataclasses.is_dataclass(cls)):
        return
    hints = get_type_hints(cls)
    bound = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
    for name, required in _names(cls):
        yield _Field(name, name, _with(bound, hints[name]), required)


def _names(cls: Any) -> Iterator[tuple[str, bool]]:  # Any: as above
    """The names of a class's fields, and whether each must be given."""
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            missing = dataclasses.MISSING
            if field.init:
                required = field.default is missing and field.default_factory is missing
                yield field.name, required
    elif is_typeddict(cls):
        for name in cls.__annotations__:
            yield name, name in cls.__required_keys__
    else:
        for name in cls._fields:
            yield name, name not in cls._field_defaults


def _with(bound: Mapping[Any, Any], hint: Any) -> Any:  # Any: as above
    """`hint` with the type variables of a generic class replaced by what was given for them."""
    if isinstance(hint, TypeVar):
        return bound.get(hint, Any)
    parameters = getattr(hint, "__parameters__", ())
    if not bound or not parameters:
        return hint
    return hint[tuple(bound.get(parameter, Any) for parameter in parameters)]


def _is_named_tuple(cls: object) -> bool:
    return inspect.isclass(cls) and tuple in cls.__mro__ and hasattr(cls, "_fields")


def _array_of(value: object, place: str) -> list[object]:
    if isinstance(value, list):
        return cast("list[object]", value)
    raise _unexpected("array", value, place)


def _object_of(value: object, place: str) -> dict[str, object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise _unexpected("object", value, place)


def _unexpected(expected: str, value: object, place: str) -> ConversionError:
    return ConversionError(f"Expected `{expected}`, got `{type(value).__name__}` - at `{place}`")


def _at(place: str, error: ConversionError) -> ConversionError:
    return error if place == "$" else ConversionError(f"{error} (below `{place}`)")
