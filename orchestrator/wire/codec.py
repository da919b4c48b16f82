"""Bytes to Structs and back: the only door through which foreign bytes enter.

Encoding a Struct checks nothing, decoding checks everything: types, tags, required fields, nesting.
A decoder raises `MalformedMessageError` and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, get_args

import msgspec

from orchestrator.exceptions import MalformedMessageError
from orchestrator.limits import MESSAGE_DEPTH_MAX
from orchestrator.units import format_time, parse_time
from orchestrator.wire import events, inbox, strict_json
from orchestrator.wire.base import WireStruct
from orchestrator.wire.events import EventAttributes, HistoryEvent
from orchestrator.wire.failure import Failure
from orchestrator.wire.inbox import InboxBody, InboxEntry
from orchestrator.wire.messages import Request, RequestName, Response, UpdateReply
from orchestrator.wire.options import ActivityOptions
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import SearchAttributes
from orchestrator.wire.tasks import ActivityTask, InlineEntry, QueryTask, WorkflowTask

_T = TypeVar("_T")
_encoder = msgspec.json.Encoder()


def encode(
    value: WireStruct | tuple[WireStruct, ...] | tuple[str, ...] | Mapping[str, WireStruct],
) -> bytes:
    """JSON of a Struct, or of several, or of names; payloads pass through as they are."""
    return _encoder.encode(value)


class Decoder(Generic[_T]):
    """Decodes one kind of message, or says in one sentence why not."""

    def __init__(self, expected: str, type_: Any) -> None:  # Any: no spelling covers unions
        self._expected = expected
        self._decoder: msgspec.json.Decoder[_T] = msgspec.json.Decoder(type_)

    def decode(self, body: bytes | memoryview) -> _T:
        """Return the message in `body`.

        Raises:
            MalformedMessageError: it is not JSON in UTF-8, nests deeper than
                `limits.MESSAGE_DEPTH_MAX`, or is not this message.
        """
        try:
            _check_utf8(body)
            strict_json.check_depth(body, depth_max=MESSAGE_DEPTH_MAX)
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise MalformedMessageError(self._expected, str(error)) from error


workflow_task_decoder: Decoder[WorkflowTask | QueryTask] = Decoder(
    "a workflow task or a query task",
    WorkflowTask | QueryTask,
)
activity_task_decoder: Decoder[ActivityTask] = Decoder("an activity task", ActivityTask)
response_decoder: Decoder[Response] = Decoder(
    "a response",
    Response,
)
memo_decoder: Decoder[dict[str, Payload]] = Decoder("a memo", dict[str, Payload])
search_attributes_decoder: Decoder[SearchAttributes] = Decoder(
    "search attributes", SearchAttributes
)
_request_decoder: Decoder[Request] = Decoder("a request", Request)
update_reply_decoder: Decoder[UpdateReply] = Decoder("a reply to an update", UpdateReply)
failure_decoder: Decoder[Failure] = Decoder("a failure", Failure)
options_decoder: Decoder[ActivityOptions] = Decoder("options of an activity", ActivityOptions)
names_decoder: Decoder[tuple[str, ...]] = Decoder("names", tuple[str, ...])
payloads_decoder: Decoder[tuple[Payload, ...]] = Decoder("payloads", tuple[Payload, ...])

_EVENT_DECODERS: Mapping[str, Decoder[EventAttributes]] = {
    kind.__name__: Decoder(f"a {kind.__name__} event", kind)
    for kind in get_args(events.EventAttributes)
}
_INBOX_DECODERS: Mapping[str, Decoder[InboxBody]] = {
    kind.__name__: Decoder(f"a {kind.__name__} inbox entry", kind)
    for kind in get_args(inbox.InboxBody)
}


def decode_request(body: bytes) -> Request:
    """Read a request, which anybody may have written: strict JSON, and no field that this release
    does not know, because a misspelt name would silently change what was asked for.

    White space between tokens goes, so that histories show arguments on one line; numbers and texts
    stay as they were written.

    Raises:
        MalformedMessageError: it is not strict JSON, or not a request.
    """
    try:
        strict_json.parse(body)
        on_one_line = msgspec.json.format(body, indent=-1)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedMessageError("a request", str(error)) from error
    return _request_decoder.decode(on_one_line)


def name_request(body: bytes) -> RequestName:
    """What a refused request calls itself, as far as that can be read; never raises."""
    try:
        content = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return RequestName()
    return RequestName(
        type=_text(content.get("type")),
        request_id=_text(content.get("request_id")) or _text(content.get("workflow_id")),
    )


def event_fields(event: HistoryEvent) -> tuple[str, str, bytes]:
    """The three fields of an event's stream entry: type, time, data."""
    return event.type, format_time(event.time_ms), _encoder.encode(event.attributes)


def decode_event(*, event_id: int, type_: str, time: str, data: bytes) -> HistoryEvent:
    """Read an event from its stream entry.

    Raises:
        MalformedMessageError: the type is unknown to this release, or the data does not fit.
    """
    decoder = _EVENT_DECODERS.get(type_)
    if decoder is None:
        raise MalformedMessageError("a known event type", f"found {type_!r}; update this worker")
    return HistoryEvent(
        event_id=event_id, time_ms=_parse_time(time), attributes=decoder.decode(data)
    )


def decode_inbox_entry(
    *, number: int, mark: str, time_ms: int, type_: str, data: bytes | memoryview
) -> InboxEntry:
    """Read an inbox entry from its stream fields or from a wake-up.

    Raises:
        MalformedMessageError: the type is unknown to this release, or the data does not fit.
    """
    decoder = _INBOX_DECODERS.get(type_)
    if decoder is None:
        raise MalformedMessageError("a known inbox entry", f"found {type_!r}; update this worker")
    return InboxEntry(number=number, mark=mark, time_ms=time_ms, body=decoder.decode(data))


def decode_inline_entry(inline: InlineEntry) -> InboxEntry:
    """Read the entry that travelled in a wake-up; raises as `decode_inbox_entry` does."""
    return decode_inbox_entry(
        number=inline.number,
        mark=inline.mark,
        time_ms=inline.time_ms,
        type_=inline.type,
        data=bytes(inline.data),
    )


def _check_utf8(body: bytes | memoryview) -> None:
    """msgspec reads texts, but not the JSON that stays as it is (`msgspec.Raw`).

    Raises:
        UnicodeDecodeError: `body` is not UTF-8.
    """
    str(body, "utf-8")


def _text(raw: msgspec.Raw | None) -> str:
    try:
        return "" if raw is None else msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, ValueError):
        return ""


def _parse_time(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise MalformedMessageError("an ISO 8601 time", repr(text)) from error
