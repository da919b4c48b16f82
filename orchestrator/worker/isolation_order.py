"""What a worker tells the child process in which it tries a run, and what it hears back.

JSON on the child's standard input, and one line of JSON a step on its output. Classes are told by
module and name: the worker takes these from classes that were registered with it, never from a
message; no value is pickled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from orchestrator.core.updates import UpdateRequest
from orchestrator.limits import ISOLATION_MEMORY_BYTES, ISOLATION_TIMEOUT_MS
from orchestrator.replay.facts import Activation, RunFacts
from orchestrator.wire import codec
from orchestrator.wire.events import HistoryEvent


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the child may use. `memory_bytes` counts from what it has when all is imported."""

    timeout_ms: int = ISOLATION_TIMEOUT_MS
    memory_bytes: int = ISOLATION_MEMORY_BYTES


class ClassName(msgspec.Struct, frozen=True, kw_only=True):
    """A class of this process: `module` and the name in it, dotted where it is nested."""

    module: str
    name: str

    @staticmethod
    def of(found: type) -> ClassName:
        """The name of a class.

        Raises:
            ValueError: no other process can find it.
        """
        if "<locals>" in found.__qualname__:
            raise ValueError(f"{found.__qualname__} is made inside of a function")
        if found.__module__ == "__main__" and main_module() is None:
            raise ValueError(f"{found.__qualname__} was typed in: its module is no file")
        return ClassName(module=found.__module__, name=found.__qualname__)


class MainModule(msgspec.Struct, frozen=True, kw_only=True):
    """The program of this process, for classes that stand in it. Not run as `__main__` again."""

    path: str
    package: str = ""


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as its stream entry holds it."""

    event_id: int
    type: str
    time: str
    data: msgspec.Raw


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One activation; the fields are those of `Activation`."""

    time_ms: int
    events: tuple[StoredEvent, ...]
    updates: tuple[UpdateRequest, ...]
    replaying: bool
    recorded: tuple[StoredEvent, ...] | None
    recorded_complete: bool
    build_id: str
    patches: tuple[str, ...]
    history_length: int
    history_bytes: int
    continue_as_new_suggested: bool


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All that the child needs."""

    workflow: ClassName
    payload_converter: ClassName
    failure_converter: ClassName
    interceptors: tuple[ClassName, ...]
    main: MainModule | None
    paths: tuple[str, ...]
    facts: RunFacts
    steps: tuple[Step, ...]
    bounds: Bounds


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says: what it does next, or (`verdict`) how it went; "" means well. `ended`:
    the run itself ends the process now."""

    doing: str = ""
    verdict: str | None = None
    ended: bool = False


def is_importable(found: type) -> bool:
    """Whether the class stands in its module under its name, where another process finds it."""
    place: object = sys.modules.get(found.__module__)
    for part in found.__qualname__.split("."):
        place = getattr(place, part, None)
    return place is found and (found.__module__ != "__main__" or main_module() is not None)


def main_module() -> MainModule | None:
    """The program that this process runs, if it is a file."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if path is None:
        return None
    return MainModule(path=path, package=getattr(main, "__package__", None) or "")


def to_step(activation: Activation) -> Step:
    """An activation, ready to be encoded."""
    recorded = activation.recorded
    return Step(
        time_ms=activation.time_ms,
        events=_stored(activation.events),
        updates=activation.updates,
        replaying=activation.replaying,
        recorded=None if recorded is None else _stored(recorded),
        recorded_complete=activation.recorded_complete,
        build_id=activation.build_id,
        patches=activation.patches,
        history_length=activation.history_length,
        history_bytes=activation.history_bytes,
        continue_as_new_suggested=activation.continue_as_new_suggested,
    )


def to_activation(step: Step) -> Activation:
    """The inverse of `to_step`.

    Raises:
        MalformedMessageError: an event is of a kind that this release does not know.
    """
    return Activation(
        time_ms=step.time_ms,
        events=_events(step.events),
        updates=step.updates,
        replaying=step.replaying,
        recorded=None if step.recorded is None else _events(step.recorded),
        recorded_complete=step.recorded_complete,
        build_id=step.build_id,
        patches=step.patches,
        history_length=step.history_length,
        history_bytes=step.history_bytes,
        continue_as_new_suggested=step.continue_as_new_suggested,
    )


def _stored(events: Iterable[HistoryEvent]) -> tuple[StoredEvent, ...]:
    found: list[StoredEvent] = []
    for event in events:
        type_, time, data = codec.event_fields(event)
        found.append(
            StoredEvent(event_id=event.event_id, type=type_, time=time, data=msgspec.Raw(data))
        )
    return tuple(found)


def _events(stored: Iterable[StoredEvent]) -> tuple[HistoryEvent, ...]:
    return tuple(
        codec.decode_event(
            event_id=each.event_id, type_=each.type, time=each.time, data=bytes(each.data)
        )
        for each in stored
    )
