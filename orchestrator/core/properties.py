"""What is noted of a run beside its progress, memo and search attributes, and how a commit changes
it."""

from __future__ import annotations

import msgspec

from orchestrator.core.state import ExecutionState
from orchestrator.exceptions import PayloadTooLargeError
from orchestrator.limits import MEMO_BYTES_MAX
from orchestrator.wire.payload import Payload
from orchestrator.wire.search_attributes import SearchAttributes


class PropertiesChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is noted of the run, as it is after a commit that changed it; None: that is as before.

    Listings found the run by `indexed` before, and find it by `search_attributes` from now on.
    """

    memo: dict[str, Payload] | None = None
    search_attributes: SearchAttributes | None = None
    indexed: SearchAttributes = {}


def properties_change(
    state: ExecutionState, memo: dict[str, Payload], attributes: SearchAttributes
) -> PropertiesChange | None:
    """What has changed since they were `memo` and `attributes`: neither is changed in place."""
    if state.memo is memo and state.search_attributes is attributes:
        return None
    unchanged = state.search_attributes is attributes
    return PropertiesChange(
        memo=None if state.memo is memo else state.memo,
        search_attributes=None if unchanged else state.search_attributes,
        indexed=attributes,
    )


def check_memo(memo: dict[str, Payload]) -> dict[str, Payload]:
    """Return `memo` when a run may have it.

    Raises:
        PayloadTooLargeError: all notes together are over the limit.
    """
    size_bytes = sum(len(name.encode()) + len(memo[name].data) for name in memo)
    if size_bytes > MEMO_BYTES_MAX:
        raise PayloadTooLargeError("the memo", size_bytes, MEMO_BYTES_MAX)
    return memo
