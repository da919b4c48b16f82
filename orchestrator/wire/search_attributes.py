"""Search attributes as they travel: plain, typed values by name, which listings can look up.

They are never encrypted and never pass through a payload codec: what is indexed must be readable.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from orchestrator.wire.base import WireStruct


class IndexedValueType(Enum):
    """How a value is meant. A date-time is an ISO 8601 text in UTC."""

    TEXT = "text"
    KEYWORD = "keyword"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    DATETIME = "datetime"
    KEYWORD_LIST = "keyword_list"


class SearchAttribute(WireStruct, frozen=True, kw_only=True):
    """One value and its type."""

    type: IndexedValueType
    value: bool | int | float | str | tuple[str, ...]


SearchAttributes: TypeAlias = dict[str, SearchAttribute]
SearchAttributeChanges: TypeAlias = dict[str, SearchAttribute | None]
"""By name; None removes."""
