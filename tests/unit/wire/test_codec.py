"""The only door for foreign bytes: whole Structs come through, everything else is one error."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.exceptions import MalformedMessageError
from orchestrator.limits import FAILURE_CAUSES_MAX, JSON_DEPTH_MAX, MESSAGE_DEPTH_MAX
from orchestrator.wire import codec
from orchestrator.wire.events import ActivityTaskFailed, EventAttributes, HistoryEvent
from orchestrator.wire.failure import ApplicationFailure, Failure
from orchestrator.wire.inbox import InboxBody
from orchestrator.wire.messages import Request
from orchestrator.wire.options import RetryOutcome
from orchestrator.wire.payload import Payload

_EVENT_KINDS = get_args(EventAttributes)
_INBOX_KINDS = get_args(InboxBody)
_DECODERS = (
    codec.workflow_task_decoder,
    codec.activity_task_decoder,
    codec.response_decoder,
    codec.failure_decoder,
    codec.payloads_decoder,
)


def _value(type_: msgspec.inspect.Type) -> object:
    """A value that JSON could hold for `type_`, with every required field of a Struct."""
    match type_:
        case msgspec.inspect.StructType():
            fields = {f.encode_name: _value(f.type) for f in type_.fields if f.required}
            return fields if type_.tag is None else {str(type_.tag_field): type_.tag, **fields}
        case msgspec.inspect.IntType():
            return 7
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.EnumType():
            return next(iter(type_.cls)).value
        case msgspec.inspect.LiteralType():
            return type_.values[0]
        case msgspec.inspect.UnionType():
            return _value(type_.types[0])
        case msgspec.inspect.DictType():
            return {}
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return [_value(type_.item_type)]
        case _:
            return "text"


def _example(kind: type) -> bytes:
    return msgspec.json.encode(_value(msgspec.inspect.type_info(kind)))


@pytest.mark.parametrize("kind", _EVENT_KINDS, ids=lambda kind: kind.__name__)
def test_an_event_comes_back_from_its_stream_entry(kind: type) -> None:
    attributes = msgspec.json.decode(_example(kind), type=kind)
    event = HistoryEvent(event_id=3, time_ms=1_700_000_000_123, attributes=attributes)
    type_, time, data = codec.event_fields(event)
    assert codec.decode_event(event_id=3, type_=type_, time=time, data=data) == event


@pytest.mark.parametrize("kind", _INBOX_KINDS, ids=lambda kind: kind.__name__)
def test_an_inbox_entry_comes_back_from_its_stream_entry(kind: type) -> None:
    body = msgspec.json.decode(_example(kind), type=kind)
    entry = codec.decode_inbox_entry(
        number=1, mark="m", time_ms=5, type_=kind.__name__, data=codec.encode(body)
    )
    assert entry.body == body


@given(data=st.binary(max_size=200), kind=st.sampled_from(_EVENT_KINDS))
def test_bytes_that_are_no_event_raise_one_error_only(data: bytes, kind: type) -> None:
    try:
        codec.decode_event(
            event_id=1, type_=kind.__name__, time="2026-01-01T00:00:00.000Z", data=data
        )
    except MalformedMessageError:
        return


@given(data=st.binary(max_size=200) | st.text(alphabet='{}[]":,0t\\', max_size=80).map(str.encode))
def test_bytes_that_are_no_message_raise_one_error_only(data: bytes) -> None:
    for decoder in _DECODERS:
        try:
            decoder.decode(data)
        except MalformedMessageError:
            continue


def test_an_event_of_a_later_release_asks_for_an_update() -> None:
    with pytest.raises(MalformedMessageError, match="update this worker"):
        codec.decode_event(event_id=1, type_="MoonLanded", time="2026-01-01T00:00:00Z", data=b"{}")


def test_an_event_without_a_time_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match="ISO 8601"):
        codec.decode_event(event_id=1, type_="TimerFired", time="soon", data=b"{}")


def test_unknown_fields_are_ignored_so_that_old_reads_new() -> None:
    (payload,) = codec.payloads_decoder.decode(b'[{"data": 1, "colour": "blue"}]')
    assert payload.content() == b"1"


def test_nesting_beyond_the_limit_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match="deeper"):
        codec.payloads_decoder.decode(b"[" * (MESSAGE_DEPTH_MAX + 1))


def test_the_deepest_value_is_read_in_the_longest_chain_of_causes() -> None:
    deepest = Payload.of_json(b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX)
    failure = Failure(message="", detail=ApplicationFailure(details=(deepest,)))
    for _ in range(FAILURE_CAUSES_MAX):
        failure = Failure(message="", detail=ApplicationFailure(), cause=failure)
    event = ActivityTaskFailed(
        scheduled_event_id=5,
        started_event_id=6,
        failure=failure,
        retry_outcome=RetryOutcome.TIMEOUT,
    )
    read = codec.decode_event(
        event_id=7,
        type_="ActivityTaskFailed",
        time="2026-01-01T00:00:00.000Z",
        data=codec.encode(event),
    )
    assert read.attributes == event


def test_brackets_inside_of_text_do_not_count_as_nesting() -> None:
    text = b'"' + b"[{" * JSON_DEPTH_MAX + b'\\"[[["'
    (payload,) = codec.payloads_decoder.decode(b'[{"data": ' + text + b"}]")
    assert payload.content() == text


def test_json_that_stays_as_it_is_must_be_utf8() -> None:
    with pytest.raises(MalformedMessageError, match="utf-8"):
        codec.payloads_decoder.decode(b'[{"data": "\xff"}]')


def test_a_request_loses_white_space_and_nothing_else() -> None:
    request = codec.decode_request(
        b'{ "type": "start", "workflow_id": "a", "workflow_type": "b", "task_queue": "c",'
        b' "input": [ {"n" : 1.10, "t": " \\u00e9\\n " } ] }'
    )
    assert [bytes(argument) for argument in request.input] == [b'{"n":1.10,"t":" \\u00e9\\n "}']


@given(
    data=st.binary(max_size=200) | st.text(alphabet='{}[]":,0t\\ud8', max_size=80).map(str.encode)
)
def test_bytes_that_are_no_request_raise_one_error_only(data: bytes) -> None:
    codec.name_request(data)
    with pytest.raises(MalformedMessageError):
        codec.decode_request(data)


def test_the_fields_of_requests_are_known_all_the_way_down() -> None:
    """A Struct that a request holds must refuse unknown fields too."""
    pending: list[msgspec.inspect.Type] = [msgspec.inspect.type_info(Request)]
    while pending:
        match pending.pop():
            case msgspec.inspect.StructType() as found:
                assert found.forbid_unknown_fields, found.cls
                pending.extend(field.type for field in found.fields)
            case msgspec.inspect.UnionType() as found:
                pending.extend(found.types)
            case msgspec.inspect.VarTupleType() as found:
                pending.append(found.item_type)
            case msgspec.inspect.DictType() as found:
                pending.append(found.value_type)
            case _:
                continue


@given(st.binary(max_size=100))
def test_a_binary_payload_keeps_its_bytes_on_the_wire(content: bytes) -> None:
    payload = Payload.of_bytes(content, encoding="binary/plain", metadata={"a": "b"})
    (copy,) = codec.payloads_decoder.decode(codec.encode((payload,)))
    assert (copy.content(), copy.encoding, copy.metadata) == (content, "binary/plain", {"a": "b"})
