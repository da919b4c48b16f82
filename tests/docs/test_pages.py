"""What the docs name exists, and what they show as Python is Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, commands, normal

_PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
_FILE = re.compile(r"`((?:orchestrator|workers|tests|compose|schemas|docs)/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    missing += [name for name in _FILE.findall(text) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_are_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text, filename=f"{page.name}:{block.line}")


def test_a_console_block_is_read_as_commands_with_their_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n```console\n$ echo a\na\n$ true\n```\n", encoding="utf-8")
    (block,) = blocks(page)
    assert block.line == 2
    assert [(one.line, one.output) for one in commands(block)] == [("echo a", "a\n"), ("true", "")]


def test_what_differs_between_runs_is_left_out_and_nothing_else() -> None:
    shown = '1) "time" "2026-11-24T12:00:00.123Z" host-12-0a1b2c3d 1795564742000 "pizza"'
    assert normal(shown) == '1) "time" "<time>" <process> <ms> "pizza"'
    escaped = r"{\"python\":\"3.11\",\"history_bytes\":145,\"attempt\":2}"
    kept = r"{\"python\":\"<version>\",\"history_bytes\":<bytes>,\"attempt\":2}"
    assert normal(escaped) == kept
