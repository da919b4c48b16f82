"""What the person at the terminal sees of the demo: a live table there, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.cli.demo.progress import Progress
from orchestrator.testing.audit import Check

_LINE_SECONDS = 1.0
_PLAIN_WIDTH = 100_000
"""Output that is not a terminal is never wrapped."""
_VIOLATIONS_SHOWN = 10


class Show:
    """Use it as `with`; a terminal gets its cursor back whatever happens."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._line_due_s = 0.0
        self._progress_is_over = False
        self._started_s = time.monotonic()
        if not self._console.is_terminal:
            self._console.width = _PLAIN_WIDTH

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_progress()

    @property
    def seconds(self) -> float:
        """Since the show began."""
        return time.monotonic() - self._started_s

    def say(self, text: str, *, style: str = "") -> None:
        """One line that stays."""
        line = Text(f"{self.seconds:5.1f} s  {text}", style=style)
        self._console.print(line, soft_wrap=True)

    def progress(self, moment: Progress, *, now: bool = False) -> None:
        """Show a moment: in place at a terminal, else as a line a second."""
        if self._progress_is_over:
            return
        if self._live is not None:
            self._live.update(_live_table(moment))
        elif now or self.seconds >= self._line_due_s:
            self._line_due_s = self.seconds + _LINE_SECONDS
            self._console.print(Text(moment.line()), soft_wrap=True)

    def end_progress(self) -> None:
        """Leave the last moment where it is; what follows is printed below it."""
        self._progress_is_over = True
        if self._live is not None:
            self._live.stop()
            self._live = None

    def lines(self, title: str, lines: Sequence[str]) -> None:
        """Text that is shown as it is."""
        self._console.print()
        self._console.print(Text(title, style="bold"), soft_wrap=True)
        for line in lines:
            self._console.print(Text(line), soft_wrap=True)

    def checks(self, checks: Sequence[Check]) -> None:
        """Each promise, what was measured, and whether it was kept."""
        self._console.print()
        if self._console.is_terminal:
            self._console.print(_check_table(checks))
        else:
            for check in checks:
                verdict = "ok    " if check.kept else "FAILED"
                self._console.print(Text(f"{verdict}  {check.promise}: {check.measured}"))
        for check in checks:
            for violation in check.violations[:_VIOLATIONS_SHOWN]:
                self._console.print(Text(f"  {violation}", style="red"), soft_wrap=True)
            more = len(check.violations) - _VIOLATIONS_SHOWN
            if more > 0:
                self._console.print(Text(f"  … and {more} more of: {check.promise}"))


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None)
    for heading in ("", "check", "measured"):
        table.add_column(heading)
    for check in checks:
        verdict = "[green]ok[/]" if check.kept else "[red]FAILED[/]"
        table.add_row(verdict, escape(check.promise), escape(check.measured))
    return table


def _live_table(moment: Progress) -> Group:
    head = Table.grid(padding=(0, 1))
    head.add_row(
        "orders",
        ProgressBar(total=max(1, moment.placed), completed=moment.ended, width=40),
        f"{moment.ended}/{moment.placed}",
        ", ".join(f"{count} {name}" for name, count in sorted(moment.outcomes.items())),
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    for heading in ("running", "completed", "failed", "lost"):
        table.add_column(heading, justify="right")
    for name, step in moment.steps.items():
        numbers = (step.running, step.completed, step.failed, step.lost)
        table.add_row(name, *(str(number) if number else "·" for number in numbers))
    return Group(head, table, Text(f"{moment.workers} workers"))
