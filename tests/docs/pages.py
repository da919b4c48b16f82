"""What a page shows: its fenced blocks, and what of a command's output may differ between runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^```(?P<language>[\w-]*)[ \t]*(?P<note>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S
)
_VARIABLE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"redis://127\.0\.0\.1:\d+/\d+"), "redis://127.0.0.1:6379/0"),
    (re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?Z?"), "<time>"),
    (re.compile(r"\b[\w.-]+-\d+-[0-9a-f]{8}\b"), "<process>"),
    (re.compile(r"\b\d+@[\w.-]+"), "<identity>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<mark>"),
    (re.compile(r"\b1\d{12}\b"), "<ms>"),
    (re.compile(r'((?:python|sdk_version)\\?":\\?")[^"\\]+'), r"\1<version>"),
    (re.compile(r'(history_bytes\\?":)\d+'), r"\1<bytes>"),
    (re.compile(r"\+\d+\.\d{3}s"), "<offset>"),
)
"""Times, names of processes, random ids; everything else must be as the page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind it, its text, and its line in the page."""

    language: str
    note: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command of a `console` block, and what the page says it prints."""

    line: str
    output: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["note"].strip(),
            found["text"],
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a `console` block: lines that begin with `$ `, each with what follows it."""
    parts = re.split(r"^\$ ", block.text, flags=re.M)
    assert not parts[0].strip(), f"a console block begins with a command, found {parts[0]!r}"
    found: list[Command] = []
    for part in parts[1:]:
        line, _, output = part.partition("\n")
        found.append(Command(line, output))
    return found


def normal(output: str) -> str:
    """`output` without what differs from run to run."""
    for pattern, replacement in _VARIABLE:
        output = pattern.sub(replacement, output)
    return "\n".join(line.rstrip() for line in output.strip().splitlines())
