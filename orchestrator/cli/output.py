"""What commands print: tables for people, JSON lines and ids for programs.

At a terminal a table may have colours and fold long cells. Anywhere else nothing is wrapped, cut or
coloured: one row is one line. Control characters of foreign texts are escaped in both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

Format: TypeAlias = Annotated[
    Literal["table", "json", "ids"],
    Parameter(
        name=("--output", "-o"), help="table for people, json (one object a line), ids (bare ids)."
    ),
]
SumFormat: TypeAlias = Annotated[
    Literal["table", "json"],
    Parameter(name=("--output", "-o"), help="table for people, json (one object)."),
]
"""For what has no ids."""
_STYLES: Mapping[str, str] = {
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "TERMINATED": "red",
    "CANCELED": "yellow",
    "CONTINUED_AS_NEW": "blue",
    "ok": "green",
    "warning": "yellow",
    "error": "red",
}
"""Cells that are coloured at a terminal."""


def write_line(text: str) -> None:
    """One line of output, whatever `text` holds."""
    from orchestrator.telemetry.escaping import escape_controls

    sys.stdout.write(escape_controls(text) + "\n")


def write_json(value: object) -> None:
    """`value` as one line of JSON; bytes as base64, what JSON does not know as text."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=str).decode()
    sys.stdout.write(_printable_json(encoded) + "\n")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; nothing at all when there are no rows."""
    from orchestrator.telemetry.escaping import escape_controls

    cells = [[escape_controls(cell) for cell in row] for row in rows]
    if not cells:
        return
    if sys.stdout.isatty():
        _write_for_people(columns, cells)
        return
    widths = [max(len(line[place]) for line in (columns, *cells)) for place in range(len(columns))]
    for line in (columns, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def write_fields(fields: Mapping[str, str]) -> None:
    """Names and values, one pair a line; pairs without a value are left out."""
    shown = {name: value for name, value in fields.items() if value}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        write_line(f"{name.ljust(width)}  {value}")


def show_time(moment: datetime | None) -> str:
    """ISO 8601 in UTC, to the second; empty for None."""
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def show_duration(duration: timedelta) -> str:
    """As people say it: `250ms`, `1.5s`, `10s`, `2m`, `1h30m`, `3d4h`: at most two units."""
    ms = round(duration / timedelta(milliseconds=1))
    if abs(ms) < 1000:
        return f"{ms}ms"
    if abs(ms) < 60_000:
        return f"{ms / 1000:g}s"
    seconds, sign = abs(ms) // 1000, "-" if ms < 0 else ""
    for size, name, lesser_size, lesser in _UNITS:
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            part = rest // lesser_size
            return f"{sign}{whole}{name}" + (f"{part}{lesser}" if part else "")
    raise AssertionError("a minute is the least unit here")


_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def _printable_json(encoded: str) -> str:
    """JSON may hold control characters above U+007F as they are; as `\\uXXXX` it means the same."""
    from orchestrator.telemetry.escaping import escape_controls

    if encoded == escape_controls(encoded):
        return encoded
    return "".join(one if one == escape_controls(one) else f"\\u{ord(one):04x}" for one in encoded)


def _write_for_people(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)
