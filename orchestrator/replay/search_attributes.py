"""Search attributes between the words of users and the Structs that travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from orchestrator.common import (
    Priority,
    SearchAttributeIndexedValueType,
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)
from orchestrator.core.search_attributes import checked
from orchestrator.exceptions import InvalidSearchAttributeError
from orchestrator.wire.options import NO_PRIORITY
from orchestrator.wire.options import Priority as PriorityOptions
from orchestrator.wire.search_attributes import (
    IndexedValueType,
    SearchAttribute,
    SearchAttributeChanges,
    SearchAttributes,
)

_Plain = bool | int | float | str | tuple[str, ...]


def to_search_attributes(attributes: TypedSearchAttributes | None) -> SearchAttributes:
    """The attributes as they are stored.

    Raises:
        InvalidSearchAttributeError: one cannot be stored.
    """
    return checked({pair.key.name: _to_wire(pair.key, pair.value) for pair in attributes or ()})


def to_search_attribute(
    key: SearchAttributeKey[Any], value: object
) -> SearchAttributes:  # Any: of any type
    """One attribute as it is stored; raises as `to_search_attributes`."""
    return checked({key.name: _to_wire(key, value)})


def to_changes(
    updates: Iterable[SearchAttributeUpdate[Any]],
) -> SearchAttributeChanges:  # Any: of any types
    """Changes of attributes as they are stored; the last one of a name counts.

    Raises:
        InvalidSearchAttributeError: one cannot be stored.
    """
    changes: SearchAttributeChanges = {}
    for update in updates:
        name = update.key.name
        if update.value is None:
            changes[name] = None
        else:
            changes |= checked({name: _to_wire(update.key, update.value)})
    return changes


def from_search_attributes(attributes: Mapping[str, SearchAttribute]) -> TypedSearchAttributes:
    """The inverse of `to_search_attributes`."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(
                SearchAttributeKey[Any](  # Any: the type is told by the attribute
                    name, SearchAttributeIndexedValueType[attribute.type.name]
                ),
                _from_wire(attribute),
            )
            for name, attribute in attributes.items()
        ]
    )


def values_of(attribute: SearchAttribute) -> Sequence[Any]:  # Any: of any type
    """The values of one attribute, one or many."""
    value = _from_wire(attribute)
    return cast("list[str]", value) if isinstance(value, list) else [value]


def to_priority(priority: Priority | None) -> PriorityOptions:
    """A priority as it travels."""
    if priority is None or priority == Priority.default:
        return NO_PRIORITY
    found = PriorityOptions(
        priority_key=priority.priority_key or 0,
        fairness_key=priority.fairness_key or "",
        fairness_weight=priority.fairness_weight or 0.0,
    )
    return NO_PRIORITY if found == NO_PRIORITY else found


def inherited_priority(given: Priority | None, before: PriorityOptions) -> PriorityOptions:
    """The priority of what a run starts: part by part its own, else the run's."""
    own = to_priority(given)
    if own == NO_PRIORITY:
        return before
    return PriorityOptions(
        priority_key=own.priority_key or before.priority_key,
        fairness_key=own.fairness_key or before.fairness_key,
        fairness_weight=own.fairness_weight or before.fairness_weight,
    )


def from_priority(options: PriorityOptions) -> Priority:
    """The inverse of `to_priority`."""
    return Priority(
        priority_key=options.priority_key or None,
        fairness_key=options.fairness_key or None,
        fairness_weight=options.fairness_weight or None,
    )


def _to_wire(key: SearchAttributeKey[Any], value: object) -> SearchAttribute:  # Any: of any type
    type_ = IndexedValueType[key.indexed_value_type.name]
    if isinstance(value, datetime) and type_ is IndexedValueType.DATETIME:
        value = value.isoformat()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        value = tuple(cast("Sequence[object]", value))
    if not isinstance(value, bool | int | float | str | tuple):
        raise InvalidSearchAttributeError(
            key.name, f"expected a value for type {type_.value}, found {value!r}"
        )
    return SearchAttribute(type=type_, value=cast("_Plain", value))


def _from_wire(attribute: SearchAttribute) -> object:
    value = attribute.value
    if attribute.type is IndexedValueType.DATETIME and isinstance(value, str):
        return datetime.fromisoformat(value)
    return list(value) if isinstance(value, tuple) else value
