"""A whole history as one JSON document: to keep, to send, to replay.

`{"workflow_id": …, "run_id": …, "events": [{"event_id": 1, "time": …, "type": …, "data": …}, …]}`,
each event as its stream entry has it, one event a line so that a person can read and compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from orchestrator.exceptions import MalformedMessageError
from orchestrator.wire import codec
from orchestrator.wire.base import WireStruct
from orchestrator.wire.events import HistoryEvent, WorkflowExecutionStarted


class _Event(WireStruct, frozen=True, kw_only=True):
    event_id: int
    time: str
    type: str
    data: msgspec.Raw


class _Document(WireStruct, frozen=True, kw_only=True):
    workflow_id: str = ""
    run_id: str = ""
    events: tuple[_Event, ...]


_decoder: codec.Decoder[_Document] = codec.Decoder("a history as JSON", _Document)


@dataclass(frozen=True)
class WorkflowHistory:
    """The events of one run, from event 1 on."""

    workflow_id: str
    events: Sequence[HistoryEvent] = field(repr=False)
    run_id: str = ""

    @property
    def started(self) -> WorkflowExecutionStarted:
        """The attributes of event 1.

        Raises:
            MalformedMessageError: the history does not begin with the start of a run.
        """
        first = self.events[0] if self.events else None
        if first is None or not isinstance(first.attributes, WorkflowExecutionStarted):
            found = "nothing" if first is None else f"event {first.event_id} {first.type}"
            raise MalformedMessageError("a history that begins with its start", f"found {found}")
        return first.attributes

    @staticmethod
    def from_json(
        workflow_id: str,
        history: str | bytes | Mapping[str, Any],  # Any: what a JSON reader gives
    ) -> WorkflowHistory:
        """Read what `to_json` wrote.

        Args:
            workflow_id: What workflow code is told; empty: what the document says.
            history: The document, as text or already read.

        Raises:
            MalformedMessageError: it is no history, an event's type is unknown, or event ids do not
                follow one another from 1 on.
        """
        body = history if isinstance(history, str | bytes) else msgspec.json.encode(history)
        document = _decoder.decode(body.encode() if isinstance(body, str) else body)
        events = [
            codec.decode_event(event_id=one.event_id, type_=one.type, time=one.time, data=one.data)
            for one in document.events
        ]
        found = [event.event_id for event in events]
        if not found or found != list(range(1, len(found) + 1)):
            raise MalformedMessageError("events 1, 2, 3 …", f"found {found[:20]}")
        return WorkflowHistory(workflow_id or document.workflow_id, events, document.run_id)

    def to_json(self) -> str:
        """The whole history, one event a line."""
        lines: list[bytes] = []
        for event in self.events:
            type_, time, data = codec.event_fields(event)
            one = _Event(event_id=event.event_id, time=time, type=type_, data=msgspec.Raw(data))
            lines.append(codec.encode(one))
        head = msgspec.json.encode({"workflow_id": self.workflow_id, "run_id": self.run_id})
        return (head[:-1] + b',"events":[\n' + b",\n".join(lines) + b"\n]}\n").decode()

    def to_json_dict(self) -> dict[str, Any]:  # Any: what a JSON reader gives
        """As `to_json`, already read."""
        read: dict[str, Any] = msgspec.json.decode(self.to_json())  # Any: as above
        return read
