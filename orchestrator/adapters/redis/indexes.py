"""The indexes by search attribute that a script must touch: their keys are given to it behind the
others, and its arguments name them by their numbers."""

from __future__ import annotations

from typing import Any

from orchestrator.adapters.redis.keys import Keys, member
from orchestrator.core.transition import NewRun, Transition
from orchestrator.ids import WorkflowId
from orchestrator.wire.codec import encode, search_attributes_decoder


def join(keys: list[str], names: Keys, workflow_id: WorkflowId, run: NewRun) -> list[int]:
    """Append to `keys` the indexes that a new run joins; their numbers."""
    return _appended(keys, names.attributes(workflow_id, run.started.search_attributes))


def leave(
    keys: list[str], names: Keys, workflow_id: WorkflowId, attributes: bytes | None
) -> list[int]:
    """Append to `keys` the indexes in which a run of these stored attributes stands."""
    found = search_attributes_decoder.decode(attributes or b"{}")
    return _appended(keys, names.attributes(workflow_id, found))


def change(
    keys: list[str], names: Keys, transition: Transition
) -> dict[str, Any]:  # Any: what msgpack carries
    """What a commit changes of its run's record, with the indexes that the run leaves and joins
    appended to `keys`."""
    changed, workflow_id = transition.properties, transition.workflow_id
    if changed is None:
        raise AssertionError("a commit that changes nothing of the record")
    fields: dict[str, str] = {}
    if changed.memo is not None:
        fields["memo"] = encode(changed.memo).decode()
    before = after = names.attributes(workflow_id, changed.indexed)
    if changed.search_attributes is not None:
        fields["search_attributes"] = encode(changed.search_attributes).decode()
        after = names.attributes(workflow_id, changed.search_attributes)
    return {
        "fields": fields,
        "member": member(workflow_id, transition.run_id),
        "leave": _appended(keys, [key for key in before if key not in after]),
        "join": _appended(keys, [key for key in after if key not in before]),
    }


def _appended(keys: list[str], more: list[str]) -> list[int]:
    first = len(keys) + 1
    keys.extend(more)
    return list(range(first, first + len(more)))
