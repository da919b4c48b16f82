"""Where the payloads of a message are, whatever its kind: what a codec has to see, and no list of
kinds to keep.

Headers, search attributes and the markers of patches are left alone: what carries a call on must be
readable on the way, what is searched for cannot be encrypted, and a patch's name is the library's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from orchestrator.wire.commands import RecordMarker
from orchestrator.wire.events import PATCH_MARKER, MarkerRecorded
from orchestrator.wire.payload import Payload

_T = TypeVar("_T")
Change = Callable[[Sequence[Payload]], Sequence[Payload]]
"""Takes the payloads of one place (arguments together, anything else alone)."""
_PLAIN_FIELDS = frozenset({"header", "search_attributes"})


def change_payloads(value: _T, change: Change) -> _T:
    """`value` (a Struct, a payload, or a list, tuple or dict of such) with the payloads of each
    place as `change` gives them. Places come in a fixed order; what has none is returned as it is.

    Raises:
        ValueError: `change` gave another number of payloads than one for a place that holds one.
    """
    return cast("_T", _changed(value, change))


def _changed(value: Any, change: Change) -> Any:  # Any: fields of any Struct
    if isinstance(value, Payload):
        return _only(change([value]))
    if isinstance(value, msgspec.Struct):
        return _changed_struct(value, change)
    if isinstance(value, tuple | list):
        return _changed_items(cast("Sequence[Any]", value), change)  # Any: as above
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)  # Any: as above
        return {key: _changed(entry, change) for key, entry in entries.items()}
    return value


def _changed_items(
    items: Sequence[Any],  # Any: as above
    change: Change,
) -> Sequence[Any]:  # Any: as above
    if items and all(isinstance(item, Payload) for item in items):
        changed = list(change(items))
    else:
        changed = [_changed(item, change) for item in items]
    return changed if isinstance(items, list) else tuple(changed)


def _changed_struct(value: msgspec.Struct, change: Change) -> msgspec.Struct:
    if isinstance(value, RecordMarker | MarkerRecorded) and value.marker_name == PATCH_MARKER:
        return value
    fields: dict[str, Any] = {}  # Any: as above
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if not isinstance(field, msgspec.Struct | tuple | list | dict) or name in _PLAIN_FIELDS:
            continue
        changed = _changed(field, change)
        if changed is not field:
            fields[name] = changed
    return msgspec.structs.replace(value, **fields) if fields else value


def _only(payloads: Sequence[Payload]) -> Payload:
    if len(payloads) != 1:
        raise ValueError(f"expected 1 payload in place of 1, found {len(payloads)}")
    return payloads[0]
