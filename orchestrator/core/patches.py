"""Markers of patches: how they are written, and how they are known again in a history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.core.search_attributes import CHANGE_VERSION
from orchestrator.exceptions import ConversionError
from orchestrator.wire import commands as c
from orchestrator.wire import events as e
from orchestrator.wire.events import PATCH_MARKER, EventAttributes
from orchestrator.wire.payload import Payload

_DETAIL = "patch-data"


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch's marker says. The marker of a deprecated one may be missing in today's code."""

    id: str
    deprecated: bool = False


_decoder = msgspec.json.Decoder(Patch)


def marker_of(patch: Patch) -> c.RecordMarker:
    """The command that notes a patch."""
    detail = Payload.of_json(msgspec.json.encode(patch))
    return c.RecordMarker(marker_name=PATCH_MARKER, details={_DETAIL: (detail,)})


def patch_of(noted: c.Command | EventAttributes | None) -> Patch | None:
    """The patch that a marker or its command notes; None: it is something else."""
    if (
        not isinstance(noted, c.RecordMarker | e.MarkerRecorded)
        or noted.marker_name != PATCH_MARKER
    ):
        return None
    for payload in noted.details.get(_DETAIL, ()):
        try:
            return _decoder.decode(payload.content())
        except (msgspec.DecodeError, ConversionError):
            return None  # Not written by us; it is compared like any other marker.
    return None


def changes_versions(noted: c.Command | EventAttributes | None) -> bool:
    """Whether this is the change of search attributes that goes with a patch's marker."""
    if not isinstance(noted, c.UpsertSearchAttributes | e.UpsertWorkflowSearchAttributes):
        return False
    return list(noted.search_attributes) == [CHANGE_VERSION]


def patch_ids(commands: Sequence[c.Command]) -> tuple[str, ...]:
    """The patches whose markers are among `commands`."""
    found = (patch_of(command) for command in commands)
    return tuple(patch.id for patch in found if patch is not None)
