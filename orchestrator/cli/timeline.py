"""A history as a timeline that a person reads: number, time since the start, type, what it says.

Pure. Every attribute that differs from its default is shown, under its own name, so that nobody has
to ask which event kinds were forgotten here; only bookkeeping between events is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import cast

import msgspec

from orchestrator.cli.output import show_duration
from orchestrator.converter import DefaultPayloadConverter
from orchestrator.converter.hidden_failures import shown
from orchestrator.wire.events import HistoryEvent
from orchestrator.wire.failure import ApplicationFailure, Failure, TimeoutFailure
from orchestrator.wire.payload import BINARY_NULL, JSON_PLAIN, Payload

COLUMNS = ("ID", "TIME", "EVENT", "WHAT")
_LEFT_OUT = frozenset(
    {
        "task_completed_event_id",
        "operation_id",
        "loop_version",
        "python",
        "sdk_version",
        "command_count",
        "history_bytes",
        "first_run_id",
        "execution_deadline_ms",
    }
)


def timeline(events: Sequence[HistoryEvent]) -> Iterator[tuple[str, str, str, str]]:
    """A row of `COLUMNS` for each event."""
    begun_ms = events[0].time_ms if events else 0
    for event in events:
        since = f"+{(event.time_ms - begun_ms) / 1000:.3f}s"
        yield str(event.event_id), since, event.type, summary(event.attributes)


def summary(attributes: msgspec.Struct) -> str:
    """The attributes of an event as `name=value`, payloads as the JSON that they are."""
    parts: list[str] = []
    for field in msgspec.structs.fields(attributes):
        value: object = getattr(attributes, field.name)
        if field.name in _LEFT_OUT or _is_default(field, value):
            continue
        name = field.name.removesuffix("_ms") if _is_duration(field.name, value) else field.name
        parts.append(f"{name}={_shown(field.name, value)}")
    return " ".join(parts)


def show_payload(payload: Payload) -> str:
    """A payload as JSON; of other encodings the size is told."""
    if payload.encoding == JSON_PLAIN:
        return bytes(payload.data).decode()
    if payload.encoding == BINARY_NULL:
        return "null"
    return f"<{payload.encoding}, {len(payload.content())} bytes>"


def show_failure(failure: Failure) -> str:
    """A failure and its causes on one line, the outermost first."""
    parts: list[str] = []
    link: Failure | None = failure
    while link is not None:
        parts.append(_kind_of(link) + shown(link, DefaultPayloadConverter()).message)
        link = link.cause
    return " ← ".join(parts)


def _is_default(field: msgspec.structs.FieldInfo, value: object) -> bool:
    if field.default_factory is not msgspec.NODEFAULT:
        default: object = field.default_factory()
    else:
        default = field.default
    return bool(value == default)


def _is_duration(name: str, value: object) -> bool:
    return name.endswith("_ms") and isinstance(value, int)


def _shown(name: str, value: object) -> str:
    match value:
        case Payload():
            return show_payload(value)
        case Failure():
            return f"({show_failure(value)})"
        case Enum():
            return str(value.value)
        case msgspec.Struct():
            return f"({summary(value)})"
        case tuple():
            return f"[{', '.join(_shown('', one) for one in cast('tuple[object, ...]', value))}]"
        case dict():
            pairs = cast("Mapping[str, object]", value).items()
            return "{" + ", ".join(f"{key}: {_shown('', one)}" for key, one in pairs) + "}"
        case int() if _is_duration(name, value):
            return show_duration(timedelta(milliseconds=value))
        case _:
            return str(value)


def _kind_of(failure: Failure) -> str:
    match failure.detail:
        case ApplicationFailure(error_type=error_type) if error_type:
            return f"{error_type}: "
        case TimeoutFailure(timeout=timeout):
            return f"{timeout.value} time-out: "
        case _:
            return ""
