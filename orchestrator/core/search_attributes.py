"""Search attributes: which ones may be stored, and by which values a listing finds a run.

An entry of the index is name, type and one exact value. A text is not looked up; a list of keywords
is by each of its texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from orchestrator.exceptions import InvalidNameError, InvalidSearchAttributeError
from orchestrator.ids import check_name
from orchestrator.limits import (
    SEARCH_ATTRIBUTE_BYTES_MAX,
    SEARCH_ATTRIBUTES_BYTES_MAX,
    SEARCH_ENTRIES_MAX,
)
from orchestrator.wire import codec
from orchestrator.wire.search_attributes import (
    IndexedValueType,
    SearchAttribute,
    SearchAttributes,
)

CHANGE_VERSION = "TemporalChangeVersion"
"""The patches of a run; kept by the library."""
_RESERVED_PREFIXES = ("Temporal", "__")
_BUILT_IN = frozenset(
    {
        "WorkflowId",
        "RunId",
        "WorkflowType",
        "TaskQueue",
        "ExecutionStatus",
        "StartTime",
        "ExecutionTime",
        "CloseTime",
        "ExecutionDuration",
        "HistoryLength",
        "HistorySizeBytes",
        "StateTransitionCount",
        "ParentWorkflowId",
        "ParentRunId",
        "RootWorkflowId",
        "RootRunId",
        "BuildIds",
    }
)
_INT_BITS = 64


class IndexEntry(NamedTuple):
    """One exact value by which a run is found."""

    name: str
    type: IndexedValueType
    value: str


def checked(attributes: Mapping[str, SearchAttribute]) -> SearchAttributes:
    """`attributes` as they are stored: one spelling for each value.

    Raises:
        InvalidSearchAttributeError: a name is reserved or no name, a value is not of its type or
            too large, or they are too many.
    """
    found = {name: _checked(name, attribute) for name, attribute in attributes.items()}
    check_sum(found)
    return found


def check_sum(attributes: Mapping[str, SearchAttribute]) -> None:
    """Check that a run may have all of these at once.

    Raises:
        InvalidSearchAttributeError: they are too many, or too large together.
    """
    own = {name: one for name, one in attributes.items() if name != CHANGE_VERSION}
    last = next(reversed(own), "")
    entries = len(index_entries(own))
    if entries > SEARCH_ENTRIES_MAX:
        raise InvalidSearchAttributeError(
            last, f"a run may have {SEARCH_ENTRIES_MAX} values to be found by, found {entries}"
        )
    size_bytes = sum(len(name.encode()) + len(codec.encode(one)) for name, one in own.items())
    if size_bytes > SEARCH_ATTRIBUTES_BYTES_MAX:
        raise InvalidSearchAttributeError(
            last, f"all of a run may take {SEARCH_ATTRIBUTES_BYTES_MAX} bytes, found {size_bytes}"
        )


def index_entries(attributes: Mapping[str, SearchAttribute]) -> dict[IndexEntry, None]:
    """By what a listing finds a run of these attributes, in order and each once."""
    return {
        IndexEntry(name, attribute.type, value): None
        for name, attribute in attributes.items()
        for value in _values(attribute)
    }


def _values(attribute: SearchAttribute) -> tuple[str, ...]:
    value = attribute.value
    match attribute.type:
        case IndexedValueType.TEXT:
            return ()
        case IndexedValueType.KEYWORD_LIST:
            return value if isinstance(value, tuple) else (str(value),)
        case IndexedValueType.BOOL:
            return ("true" if value else "false",)
        case _:
            return (str(value),)


def _checked(name: str, attribute: SearchAttribute) -> SearchAttribute:
    try:
        check_name("search attribute", name)
    except InvalidNameError as error:
        raise InvalidSearchAttributeError(name, str(error)) from error
    if name in _BUILT_IN or name.startswith(_RESERVED_PREFIXES):
        raise InvalidSearchAttributeError(name, "this name is reserved; choose another one")
    value = _fitting(attribute)
    if value is None:
        raise InvalidSearchAttributeError(
            name, f"expected {_EXPECTED[attribute.type]}, found {attribute.value!r}"
        )
    texts = value if isinstance(value, tuple) else (str(value),)
    size_bytes = sum(len(text.encode()) for text in texts)
    if size_bytes > SEARCH_ATTRIBUTE_BYTES_MAX:
        raise InvalidSearchAttributeError(
            name,
            f"a value may take {SEARCH_ATTRIBUTE_BYTES_MAX} bytes, found {size_bytes}; what is "
            "not looked up belongs into the memo",
        )
    return SearchAttribute(type=attribute.type, value=value)


def _fitting(attribute: SearchAttribute) -> bool | int | float | str | tuple[str, ...] | None:
    """The value in its one spelling; None: it is not of its type."""
    value = attribute.value
    match attribute.type:
        case IndexedValueType.TEXT | IndexedValueType.KEYWORD:
            return value if isinstance(value, str) and _is_text(value) else None
        case IndexedValueType.KEYWORD_LIST:
            fits = isinstance(value, tuple) and all(_is_text(text) for text in value)
            return tuple(dict.fromkeys(value)) if fits and isinstance(value, tuple) else None
        case IndexedValueType.BOOL:
            return value if isinstance(value, bool) else None
        case IndexedValueType.INT:
            fits = isinstance(value, int) and not isinstance(value, bool)
            return value if fits and _is_int64(value) else None
        case IndexedValueType.DOUBLE:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            # -0.0 and 0.0 are equal and must be found alike.
            return float(value) + 0.0 if math.isfinite(value) else None
        case IndexedValueType.DATETIME:
            return _moment(value) if isinstance(value, str) else None


def _is_text(value: object) -> bool:
    """Whether it is a text that UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and -(1 << _INT_BITS - 1) <= value < 1 << _INT_BITS - 1


def _moment(text: str) -> str | None:
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


_EXPECTED = {
    IndexedValueType.TEXT: "a text",
    IndexedValueType.KEYWORD: "a text",
    IndexedValueType.KEYWORD_LIST: "a list of texts",
    IndexedValueType.BOOL: "true or false",
    IndexedValueType.INT: "a whole number of 64 bits",
    IndexedValueType.DOUBLE: "a finite number",
    IndexedValueType.DATETIME: "an ISO 8601 time with its time zone",
}
