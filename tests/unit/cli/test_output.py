"""What is printed: whole and plain for programs, readable for people, harmless for terminals."""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta

import pytest

from orchestrator.cli.output import (
    show_duration,
    write_fields,
    write_json,
    write_line,
    write_table,
)

LONG = "x" * 500


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **variables}.items():
        monkeypatch.setenv(name, value)
    return terminal


def test_a_table_for_programs_is_neither_wrapped_nor_cut_nor_coloured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_table(("STATUS", "WHAT"), [("FAILED", LONG), ("RUNNING", "b")])
    assert capsys.readouterr().out == f"STATUS   WHAT\nFAILED   {LONG}\nRUNNING  b\n"


def test_a_table_without_rows_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("A", "B"), [])
    assert capsys.readouterr().out == ""


def test_a_table_at_a_terminal_has_colours_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    write_table(("STATUS", "WHAT"), [("FAILED", LONG)])
    shown = terminal.getvalue()
    assert "\x1b[31mFAILED" in shown
    assert shown.count("x") == len(LONG)
    assert len(shown.splitlines()) > 5


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch, NO_COLOR="1")
    write_table(("STATUS",), [("FAILED",)])
    assert "\x1b[3" not in terminal.getvalue()


def test_brackets_in_a_cell_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    write_table(("WHAT",), [("[red]not red[/red]",)])
    assert "[red]not red[/red]" in terminal.getvalue()


def test_control_characters_are_escaped_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "a\x1b[2J\x9b\u202e\nb"
    write_line(bad)
    write_table(("X",), [(bad,)])
    write_fields({"x": bad})
    write_json({"x": bad})
    out = capsys.readouterr().out
    assert not set("\x1b\x9b\u202e") & set(out)
    assert out.count("\n") == 5
    assert json.loads(out.splitlines()[-1]) == {"x": bad}


def test_json_takes_bytes_and_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"bytes": b"ab", "complex": 1j})
    assert capsys.readouterr().out == '{"bytes":"YWI=","complex":"1j"}\n'


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    write_fields({"id": "order-1", "closed": "", "events": "3"})
    assert capsys.readouterr().out == "id      order-1\nevents  3\n"


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "0ms"),
        (250, "250ms"),
        (1500, "1.5s"),
        (10_000, "10s"),
        (59_999, "59.999s"),
        (120_000, "2m"),
        (5_400_000, "1h30m"),
        (7 * 86_400_000, "7d"),
        (90_061_000, "1d1h"),
        (-5_000, "-5s"),
        (-5_400_000, "-1h30m"),
    ],
)
def test_durations_are_shown_as_people_say_them(ms: int, shown: str) -> None:
    assert show_duration(timedelta(milliseconds=ms)) == shown
