"""Writes the reference of all commands from their own help, so that the two cannot differ:

python -m orchestrator.cli.reference > docs/reference/cli.md
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from cyclopts import App
from rich.console import Console

from orchestrator.cli.commands import load_all, make_app

_HEAD = """# The command line

`orchestrator` and `python -m orchestrator` are the same program; both need the extra `cli`
(`pip install '.[cli]'`). This page is generated from the program's own help.
"""
_WIDTH = 100_000


def render() -> str:
    """The page."""
    sections = [f"## `{' '.join(path)}`\n\n```text\n{text}```\n" for path, text in _helps()]
    return "\n".join([_HEAD, *sections])


def _helps() -> Iterator[tuple[tuple[str, ...], str]]:
    """The words that call a command, and its help: of the program, then of each command."""
    app = make_app(plain=True)
    load_all(app)
    yield ("orchestrator",), _help(app, ())
    for name in _names(app):
        yield ("orchestrator", name), _help(app, (name,))
        for inner in _names(app[name]):
            yield ("orchestrator", name, inner), _help(app, (name, inner))


def _names(app: App) -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _help(app: App, path: tuple[str, ...]) -> str:
    out = io.StringIO()
    app.help_print(list(path), console=Console(file=out, width=_WIDTH, no_color=True))
    lines = [line.rstrip() for line in out.getvalue().strip().splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
