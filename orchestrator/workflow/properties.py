"""What workflow code notes about its run: memo, search attributes, details; and what the runs
before this one have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

from orchestrator.common import SearchAttributeUpdate
from orchestrator.replay.context import current_run
from orchestrator.replay.search_attributes import to_changes

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")
_ABSENT = object()


def memo() -> Mapping[str, Any]:  # Any: user's values
    """The notes of the run as plain data: those of its start, and what its code has changed."""
    current = current_run()
    notes = current.properties.memo
    return dict(zip(notes, current.values.from_payloads(list(notes.values())), strict=True))


@overload
def memo_value(key: str) -> Any: ...  # Any: a user's value
@overload
def memo_value(key: str, *, type_hint: type[_Value]) -> _Value: ...
@overload
def memo_value(key: str, default: object) -> Any: ...  # Any: a user's value or the default
@overload
def memo_value(key: str, default: _Default, *, type_hint: type[_Value]) -> _Value | _Default: ...
def memo_value(
    key: str,
    default: Any = _ABSENT,  # Any: the caller's own
    *,
    type_hint: Any = None,  # Any: annotations are of no common type
) -> Any:  # Any: as above
    """One of the notes of the run.

    Raises:
        KeyError: there is none of this name, and no default.
        ConversionError: it is not of the type asked for.
    """
    current = current_run()
    payload = current.properties.memo.get(key)
    if payload is not None:
        return current.values.from_payloads([payload], [type_hint])[0]
    if default is _ABSENT:
        raise KeyError(f"the run has no memo {key!r}")
    return default


def upsert_memo(updates: Mapping[str, Any]) -> None:  # Any: user's values
    """Set notes of the run; None removes one.

    Raises:
        ConversionError: a value cannot be converted.
        PayloadTooLargeError: the memo would grow over its limit.
        ReadOnlyContextError: the caller is a query, a validator or a condition.
    """
    current = current_run()
    given = [name for name, value in updates.items() if value is not None]
    payloads = current.values.to_payloads([updates[name] for name in given])
    changes = dict.fromkeys(updates) | dict(zip(given, payloads, strict=True))
    if changes:
        current.properties.upsert_memo(changes)


def upsert_search_attributes(
    attributes: Sequence[SearchAttributeUpdate[Any]],  # Any: of any types
) -> None:
    """Set search attributes by `key.value_set(…)`, or remove them by `key.value_unset()`. Listings
    find the run by them once its task is done; `workflow.info()` shows them at once.

    Raises:
        InvalidSearchAttributeError: a name or value cannot be stored, or they would be too many.
        ReadOnlyContextError: the caller is a query, a validator or a condition.
    """
    changes = to_changes(attributes)
    if changes:
        current_run().properties.upsert_search_attributes(changes)


def set_current_details(details: str) -> None:
    """Say, in Markdown, how the run stands. It is kept in memory and made again by replays; the
    query `__temporal_workflow_metadata` tells it, and so does `orchestrator describe --details`.

    Raises:
        ReadOnlyContextError: the caller is a query, a validator or a condition.
    """
    current_run().properties.set_current_details(details)


def get_current_details() -> str:
    """What `set_current_details` has set last; empty: nothing."""
    return current_run().properties.current_details


def has_last_completion_result() -> bool:
    """Whether an earlier run of the cron schedule has returned something."""
    return current_run().facts.started.last_completion_result is not None


@overload
def get_last_completion_result() -> Any | None: ...  # Any: a user's value
@overload
def get_last_completion_result(type_hint: type[_Value]) -> _Value | None: ...
def get_last_completion_result(
    type_hint: Any = None,  # Any: annotations are of no common type
) -> Any | None:  # Any: a user's value
    """What the last run of the cron schedule that succeeded has returned; None: none has.

    Raises:
        ConversionError: it is not of the type asked for.
    """
    current = current_run()
    payload = current.facts.started.last_completion_result
    return None if payload is None else current.values.from_payloads([payload], [type_hint])[0]


def get_last_failure() -> BaseException | None:
    """Why the run before this one failed, if this one was made because of it: it is tried again, or
    the next of a cron schedule."""
    current = current_run()
    failure = current.facts.started.continued_failure
    return None if failure is None else current.values.from_failure(failure)
