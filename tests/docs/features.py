"""Every feature with the test that shows it, or the reason why it is not there."""

from __future__ import annotations

import ast
from functools import cache
from itertools import groupby
from pathlib import Path

import msgspec

from tests.docs.places import places

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/features.md"
_ROWS = Path(__file__).with_name("features.toml")
_HEAD = """\
# Features

What the programming model has, each feature with the tests that show it. Names and meanings are
Temporal's: `temporalio.X` is `orchestrator.X`. Generated from `tests/docs/features.toml` by
`UPDATE_DOCS=1 pytest tests/docs/test_features.py`. *Shown on* says where these tests run: in
memory, on real servers, and whether the histories that they make are replayed afterwards.
"""
_TABLE_HEAD = "| | names | meaning | shown on | shown by |\n| --- | --- | --- | --- | --- |\n"


class Feature(msgspec.Struct, forbid_unknown_fields=True):
    """A row: it has tests, or says why it has none."""

    section: str
    name: str
    api: str = ""
    says: str = ""
    tests: list[str] = []
    why: str = ""


def features() -> list[Feature]:
    """All rows, in the order of the page."""
    table = msgspec.toml.decode(_ROWS.read_bytes(), type=dict[str, list[Feature]])
    return table["feature"]


def page() -> str:
    """What the page says."""
    parts = [_HEAD]
    for section, rows in groupby(features(), key=lambda row: row.section):
        parts += [f"\n## {section}\n\n", _TABLE_HEAD]
        parts += [_line(row) for row in rows]
    return "".join(parts)


def shown_on(row: Feature) -> str:
    """Where the tests of a row run, in words."""
    found = {place for test in row.tests for place in places(test)}
    return ", ".join(place for place in ("memory", "servers", "replay") if place in found)


@cache
def names_of_tests(path: str) -> frozenset[str]:
    """The names of the test functions in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def _line(row: Feature) -> str:
    names = ", ".join(f"`{name.strip()}`" for name in row.api.split(",") if name)
    shown = "; ".join(_link(test) for test in row.tests) or f"— {row.why}"
    return f"| {row.name} | {names} | {row.says} | {shown_on(row)} | {shown} |\n"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../../{path})"
