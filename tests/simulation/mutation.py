"""Histories that somebody has changed: an event dropped, doubled, swapped with the next, or forged.

Whoever changes a history numbers it anew and keeps its times in order, so that it takes more than
counting to see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from msgspec.structs import replace

from orchestrator.testing.checker.workflows import RunName
from orchestrator.wire.events import HistoryEvent, MarkerRecorded


@dataclass(frozen=True)
class Change:
    """The history of `name` after the change."""

    name: RunName
    what: str
    events: list[HistoryEvent]


def mutate(history: Sequence[HistoryEvent], name: RunName, random: Random) -> Change:
    """Change one thing at a place of the dice's choice."""
    while True:
        events = list(history)
        kind = random.choice(["drop", "double", "swap", "forge"])
        place = random.randrange(len(events) - 1)
        what = f"{kind} {events[place].type}"
        match kind:
            case "drop":
                del events[place]
            case "double":
                behind = random.randint(place + 1, len(events))
                events.insert(behind, replace(events[place], time_ms=events[behind - 1].time_ms))
            case "swap":
                first, second = events[place : place + 2]
                events[place] = replace(second, time_ms=first.time_ms)
                events[place + 1] = replace(first, time_ms=second.time_ms)
                what += f", {second.type}"
            case _:
                events[place] = _forged(events[place], events, random)
                what += f" as {events[place].attributes}"
        renumbered = [replace(event, event_id=number) for number, event in enumerate(events, 1)]
        if renumbered != list(history) and not _as_good(kind, history[place : place + 2]):
            return Change(name, what, renumbered)


def _as_good(kind: str, events: Sequence[HistoryEvent]) -> bool:
    """Local activities that ran at the same time may have ended in either order."""
    return kind == "swap" and all(isinstance(one.attributes, MarkerRecorded) for one in events)


def _forged(event: HistoryEvent, events: Sequence[HistoryEvent], random: Random) -> HistoryEvent:
    """The event refers to a neighbour of what it refers to; or it is another one altogether."""
    attributes = event.attributes
    references = [name for name in attributes.__struct_fields__ if name.endswith("event_id")]
    if not references:
        return replace(event, attributes=random.choice(events).attributes)
    name = random.choice(references)
    other = getattr(attributes, name) + random.choice([-1, 1])
    return replace(event, attributes=replace(attributes, **{name: other}))
