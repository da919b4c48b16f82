"""What stands in the markers of a history, by kind of marker.

A marker's details hold payloads by name; `data` is ours, the rest is the user's. A local activity
has no other event than its marker: it is written when it has ended, or when its next attempt is so
far away that a durable timer waits for it.
"""

from __future__ import annotations

from orchestrator.wire import codec
from orchestrator.wire.base import WireStruct
from orchestrator.wire.commands import RecordMarker
from orchestrator.wire.events import EventAttributes, MarkerRecorded
from orchestrator.wire.failure import Failure
from orchestrator.wire.options import RetryOutcome
from orchestrator.wire.payload import Payload

LOCAL_ACTIVITY = "local_activity"


class LocalActivityEnd(WireStruct, frozen=True, kw_only=True):
    """How a local activity ended after `attempt`, or that it goes on after `backoff_ms`.

    `first_scheduled_at_ms` is what its schedule-to-close time counts from.
    """

    activity_id: str
    activity_type: str
    attempt: int = 1
    backoff_ms: int | None = None
    first_scheduled_at_ms: int = 0
    retry_outcome: RetryOutcome | None = None
    summary: str = ""


_end_decoder: codec.Decoder[LocalActivityEnd] = codec.Decoder(
    "the marker of a local activity", LocalActivityEnd
)


def local_activity_marker(
    end: LocalActivityEnd, outcome: Payload | Failure | None, *, time_ms: int
) -> RecordMarker:
    """The marker of an end; `outcome` None: it returned nothing."""
    details: dict[str, tuple[Payload, ...]] = {"data": (Payload.of_json(codec.encode(end)),)}
    if isinstance(outcome, Payload):
        details["result"] = (outcome,)
    return RecordMarker(
        marker_name=LOCAL_ACTIVITY,
        details=details,
        failure=outcome if isinstance(outcome, Failure) else None,
        time_ms=time_ms,
    )


def is_local_activity(attributes: EventAttributes | RecordMarker) -> bool:
    """Whether this is the marker of a local activity."""
    return (
        isinstance(attributes, MarkerRecorded | RecordMarker)
        and attributes.marker_name == LOCAL_ACTIVITY
    )


def read_local_activity(marker: MarkerRecorded | RecordMarker) -> LocalActivityEnd:
    """What a marker of a local activity says.

    Raises:
        MalformedMessageError: it says nothing that this release can read.
    """
    data = marker.details.get("data", ())
    return _end_decoder.decode(data[0].content() if data else b"")
