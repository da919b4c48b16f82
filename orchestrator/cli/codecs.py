"""The converter that an operator names with `--codec`, so that commands can read what is encoded.

The name comes from the command line alone, never from a message or a store: it is imported.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from orchestrator.cli.exits import CommandError
from orchestrator.converter import DataConverter, PayloadCodec


def load_converter(where: str | None, *, folder: Path) -> DataConverter:
    """What `module:attribute` names: a DataConverter or a PayloadCodec, looked for in `folder`
    first. None: the default converter.

    Raises:
        CommandError: there is no such thing, or it is something else.
    """
    if where is None:
        return DataConverter.default
    module, _, attribute = where.partition(":")
    if not module or not attribute:
        raise CommandError(f"--codec: expected module:attribute, found {where!r}")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"--codec {where}: {error}") from error
    if isinstance(found, DataConverter):
        return found
    if isinstance(found, PayloadCodec):
        return DataConverter(payload_codec=found)
    raise CommandError(
        f"--codec {where}: expected a DataConverter or a PayloadCodec, found {found!r:.80}"
    )
