"""The page of settings has all of them with their defaults, and its file can be read."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from orchestrator.config import Settings, resolve_settings
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/reference/settings.md"
_ROW = re.compile(r"^\| `(\w+)` \| `([^`]*)` \| .+ \|$", re.M)


def test_every_setting_stands_in_its_table_with_its_default() -> None:
    _, *parts = re.split(r"^## `\[(\w+)\]`$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    shown = {
        section: dict(_ROW.findall(text))
        for section, text in zip(parts[::2], parts[1::2], strict=True)
    }
    settings = Settings()
    assert shown == {
        section: {name: str(value) for name, value in msgspec.structs.asdict(table).items()}
        for section, table in msgspec.structs.asdict(settings).items()
    }


def test_the_file_that_the_page_shows_can_be_read() -> None:
    (shown,) = [block.text for block in blocks(PAGE) if block.language == "toml"]

    def read_file(path: Path) -> str:
        return shown

    found = resolve_settings({}, environment={}, read_file=read_file)
    assert found.connection.namespace == "shop"
    assert found.worker.max_concurrent_activities == 20
    assert found.engine.retention_ms == 30 * 24 * 3600 * 1000
