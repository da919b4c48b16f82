"""The base of every wire Struct, and the rules by which they may change.

Add optional fields freely; never rename a field, never reuse a name, never make one required.
Decoders ignore unknown fields, so an old process reads what a new one wrote; only requests, which
strangers write by hand, refuse them. Building a Struct checks nothing; decoding does: foreign bytes
enter through `orchestrator.wire.codec` only.
"""

from __future__ import annotations

import msgspec


class WireStruct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Frozen, and silent about fields that hold their default. msgspec does not inherit `kw_only`,
    so each Struct says it again."""
