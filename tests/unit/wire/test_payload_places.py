"""A codec sees every value of a user's, and nothing that must be readable on the way."""

from __future__ import annotations

from orchestrator.core.patches import Patch, marker_of
from orchestrator.wire import commands as c
from orchestrator.wire.payload import Payload
from orchestrator.wire.payload_places import change_payloads

PLAIN, CODED = Payload.of_json(b'"plain"'), Payload.of_json(b'"coded"')


def coded(command: c.Command) -> c.Command:
    return change_payloads(command, lambda payloads: [CODED for _ in payloads])


def test_notes_of_the_memo_are_seen_and_their_removal_stays() -> None:
    found = coded(c.ModifyWorkflowProperties(upserted_memo={"a": PLAIN, "b": None}))
    assert found == c.ModifyWorkflowProperties(upserted_memo={"a": CODED, "b": None})


def test_the_name_of_a_patch_stays_readable() -> None:
    marker = marker_of(Patch(id="p"))
    assert coded(marker) == marker
    other = c.RecordMarker(marker_name="note", details={"a": (PLAIN,)})
    assert coded(other) == c.RecordMarker(marker_name="note", details={"a": (CODED,)})
